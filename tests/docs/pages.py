"""The README and the pages of docs/, as the blocks of code that stand in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, the words that follow it, and the line where it begins."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The name under which it is to be saved."""
        return next((word for word in self.words if "." in word), None)

    @property
    def exit_code(self) -> int:
        """What its last command ends with."""
        given = (word.partition("=")[2] for word in self.words if word.startswith("exit="))
        return int(next(given, "0"))


def read_blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    blocks = []
    for match in FENCE.finditer(text):
        language, *words = match["info"].split() or [""]
        line = text.count("\n", 0, match.start("text")) + 1
        blocks.append(Block(language, tuple(words), match["text"], line))
    return blocks


def read_links(page: Path) -> Iterator[str]:
    """The targets of links to other files, without their anchors."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for match in LINK.finditer(text):
        target = match["target"].partition("#")[0]
        if target and "://" not in target:
            yield target


@dataclass(frozen=True)
class Command:
    """A command of a console block, and the lines that it is shown to print."""

    text: str
    output: str


def read_commands(block: Block) -> list[Command]:
    commands: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line[2:], ""))
        elif commands and commands[-1].text.endswith("\\"):
            commands[-1] = Command(f"{commands[-1].text}\n{line.removeprefix('> ')}", "")
        else:
            last = commands[-1]
            commands[-1] = Command(last.text, f"{last.output}{line}\n")
    return commands


def fits(shown: str, printed: str) -> bool:
    """Whether the printed text is what is shown, where `...` stands for anything."""
    if not shown.strip():
        return True
    pattern = r".*?".join(re.escape(part) for part in shown.strip().split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None
