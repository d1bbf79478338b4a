import pytest

from headrace.testing.pubsub import RefusedError
from headrace.testing.pubsub.filters import parse


def keeps(text: str, **attributes: str) -> bool:
    found = parse(text)
    assert found is not None
    return found(attributes)


class TestFilters:
    @pytest.mark.parametrize(
        ("text", "kept", "kept_out"),
        [
            ('attributes.kind = "job"', {"kind": "job"}, {"kind": "jobs"}),
            ('attributes.kind = "job"', {"kind": "job", "a": "b"}, {}),
            ('attributes.kind != "job"', {"kind": "ring"}, {"kind": "job"}),
            ('attributes.kind != "job"', {}, {"kind": "job"}),
            ('NOT attributes.kind = "job"', {}, {"kind": "job"}),
            ('-attributes.kind="job"', {"kind": "ring"}, {"kind": "job"}),
            ("attributes:kind", {"kind": ""}, {"other": "kind"}),
            ('attributes:"my key"', {"my key": "x"}, {"my": "key"}),
            ("attributes:my-key", {"my-key": "x"}, {"my": "key"}),
            ('hasPrefix(attributes.kind, "jo")', {"kind": "job"}, {"kind": "ajo"}),
            ('hasPrefix(attributes.kind, "")', {"kind": "job"}, {}),
            ('attributes.a = "1" AND attributes.b = "2"', {"a": "1", "b": "2"}, {"a": "1"}),
            ('attributes.a = "1" OR attributes.b = "2"', {"b": "2"}, {"b": "1"}),
            (
                "(attributes:a OR attributes:b) AND NOT attributes:c",
                {"b": "2"},
                {"b": "1", "c": ""},
            ),
            (r'attributes.a = "say \"\u00e9\""', {"a": 'say "é"'}, {"a": "say"}),
        ],
    )
    def test_a_filter_keeps_what_fits(
        self, text: str, kept: dict[str, str], kept_out: dict[str, str]
    ) -> None:
        assert keeps(text, **kept)
        assert not keeps(text, **kept_out)

    def test_an_empty_one_keeps_all(self) -> None:
        assert parse("  ") is None

    @pytest.mark.parametrize(
        "text",
        [
            "kind",
            "attributes",
            "attributes:",
            "attributes.kind",
            "attributes.kind = job",
            'attributes.kind == "job"',
            'attributes.kind = "job',
            'attributes.kind = "job" extra',
            "attributes:a AND attributes:b OR attributes:c",
            "attributes:a AND",
            "(attributes:a",
            "attributes:AND",
            "hasPrefix(attributes:a)",
            "attributes:a & attributes:b",
            f'attributes.kind = "{"x" * 250}"',
        ],
    )
    def test_what_is_none_is_refused_with_its_text(self, text: str) -> None:
        with pytest.raises(RefusedError, match="filter"):
            parse(text)
