"""The files that the demo reads, against what they are made from."""

import shutil
from pathlib import Path

import pytest

from headrace.demo.examples import are_examples, find_files
from headrace.demo.problem import DemoError
from scripts.make_examples import DOCUMENTS, make

MADE = make()


class TestExamples:
    @pytest.mark.parametrize("name", sorted(MADE))
    def test_a_file_is_what_its_source_gives(self, name: str) -> None:
        assert (DOCUMENTS / name).read_bytes() == MADE[name]

    def test_they_are_found_beside_the_code(self) -> None:
        files = find_files(None)
        assert {file.name for file in files} == {file.name for file in DOCUMENTS.iterdir()}
        assert are_examples(files)


class TestFolders:
    def test_files_come_largest_first_without_hidden_ones(self, tmp_path: Path) -> None:
        (tmp_path / "deep" / ".git").mkdir(parents=True)
        for name, size in (("a", 1), ("deep/b", 3), ("c", 2), (".d", 4), ("deep/.git/e", 5)):
            (tmp_path / name).write_bytes(b"x" * size)
        assert [file.name for file in find_files(tmp_path)] == ["b", "c", "a"]

    def test_copies_of_the_examples_in_another_folder_are_known(self, tmp_path: Path) -> None:
        shutil.copytree(DOCUMENTS, tmp_path / "copy")
        assert are_examples(find_files(tmp_path))
        (tmp_path / "copy" / "logbook.txt").unlink()
        assert not are_examples(find_files(tmp_path))

    def test_an_empty_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DemoError, match="there are no files in"):
            find_files(tmp_path)
