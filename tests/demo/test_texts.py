from headrace.demo.texts import split_sections, study_section

MARKDOWN = """\
Before the first heading.

# The race
See [the mill](mill.md) and https://example.org/wheel.

```text
# no heading
```

## The wheel
It turns and turns.
"""
PYTHON = '''\
"""A module."""

# no heading
import os


class Wheel:
    def turn(self): ...


async def grind(): ...
'''


class TestSections:
    def test_markdown_is_split_at_headings_outside_of_code(self) -> None:
        sections = split_sections(MARKDOWN, python=False)
        assert [(part.title, part.level) for part in sections] == [
            ("", 0),
            ("The race", 1),
            ("The wheel", 2),
        ]

    def test_python_is_split_at_classes_and_functions_of_the_module(self) -> None:
        sections = split_sections(PYTHON, python=True)
        assert [part.title for part in sections] == ["", "Wheel", "grind"]

    def test_nothing_of_the_text_is_lost(self) -> None:
        assert "".join(part.text for part in split_sections(MARKDOWN, python=False)) == MARKDOWN

    def test_many_sections_are_joined_to_at_most_so_many(self) -> None:
        text = "".join(f"# {number}\n" for number in range(50))
        assert len(split_sections(text, python=False, most=12)) <= 12

    def test_an_empty_text_has_none(self) -> None:
        assert split_sections("\n\n", python=False) == []


class TestStudy:
    def test_words_and_links_are_found(self) -> None:
        _, race, wheel = split_sections(MARKDOWN, python=False)
        assert study_section(race).links == ["mill.md", "https://example.org/wheel."]
        assert study_section(wheel).common == {"turns": 2, "wheel": 1}
        assert study_section(wheel).words == 6
