"""The files that the demo reads, against what they are made from."""

import pytest

from scripts.make_examples import DOCUMENTS, make

MADE = make()


class TestExamples:
    @pytest.mark.parametrize("name", sorted(MADE))
    def test_a_file_is_what_its_source_gives(self, name: str) -> None:
        assert (DOCUMENTS / name).read_bytes() == MADE[name]
