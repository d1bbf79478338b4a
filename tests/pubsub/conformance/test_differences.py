from pathlib import Path

from tests.pubsub.conformance.differences import DIFFERENCES


class TestDifferences:
    def test_each_one_is_tried(self) -> None:
        here = Path(__file__).parent
        text = "".join(path.read_text(encoding="utf-8") for path in here.glob("test_*.py"))
        assert [what for what in DIFFERENCES if f'expected(site, "{what}")' not in text] == []

    def test_in_each_the_servers_differ(self) -> None:
        same = [what for what, each in DIFFERENCES.items() if each.headrace == each.pstest]
        assert same == []
