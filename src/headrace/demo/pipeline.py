"""The demo's pipelines: from a file to what can be said about it, and from those to an index.

Everything of headrace comes from the public names, as in any user's module. A worker for it is
`headrace worker headrace.demo.pipeline:app`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace import (
    Each,
    Headrace,
    PermanentError,
    Pipeline,
    Retry,
    StepContext,
    SyncContext,
    Use,
)
from headrace.demo.desk import Desk, open_desk
from headrace.demo.texts import (
    Section,
    Study,
    most_common,
    reading_minutes,
    split_sections,
    study_section,
)

# Counting words takes no time, and a run that is over at once cannot be killed halfway: a section
# pretends to be more work, the more the longer it is, as a call of a model would be.
LEAST_WORK_S: Final = 0.3
MOST_WORK_S: Final = 1.2
WORK_A_LETTER_S: Final = 0.000_4


@dataclass(frozen=True, slots=True)
class Document:
    """A file to be read, and the name under which it stands in the index."""

    name: str
    path: str

    @property
    def is_python(self) -> bool:
        """Whether it is source code; else it is Markdown."""
        return self.path.endswith(".py")


@dataclass(frozen=True, slots=True)
class Page:
    """What the index says about one file."""

    name: str
    words: int
    minutes: float
    outline: list[str]
    links: list[str]
    common: list[str]


@dataclass(frozen=True, slots=True)
class Library:
    """All pages of an index, in its order."""

    title: str
    pages: list[Page]


documents = Pipeline("documents", input=Document, output=Page, retry=Retry.fast)


@documents.step
def read(document: Document, ctx: SyncContext, desk: Desk = Use(open_desk)) -> str:
    """The text of the file. What is no text now will be none later: no further try can help."""
    with desk.log("read", ctx):
        raw = Path(document.path).read_bytes()
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise PermanentError(
                f"{document.name} is no UTF-8 text: byte 0x{raw[error.start]:02x} at {error.start}"
            ) from error
        if "\0" in text:
            raise PermanentError(f"{document.name} is no text: NUL at {raw.index(0)}")
        return text


@documents.step
def split(
    document: Document, read: str, ctx: SyncContext, desk: Desk = Use(open_desk)
) -> list[Section]:
    """The sections of the text."""
    with desk.log("split", ctx):
        return split_sections(read, python=document.is_python)


@documents.step(parallel=3)
async def study(
    ctx: StepContext, section: Section = Each(split), desk: Desk = Use(open_desk)
) -> Study:
    """What is in a section; each section of a file is an item with its own checkpoint."""
    with desk.log("study", ctx):
        work_s = LEAST_WORK_S + WORK_A_LETTER_S * len(section.text)
        await asyncio.sleep(min(work_s, MOST_WORK_S))
        return study_section(section)


@documents.step
def gather(
    document: Document, study: list[Study], ctx: SyncContext, desk: Desk = Use(open_desk)
) -> Page:
    """The file's entry in the index."""
    with desk.log("gather", ctx):
        words = sum(part.words for part in study)
        return Page(
            document.name,
            words,
            reading_minutes(words),
            [part.title for part in study if part.title],
            list(dict.fromkeys(link for part in study for link in part.links)),
            most_common(study),
        )


library = Pipeline("library", input=Library, output=str)


@library.step
def write_index(library: Library, ctx: SyncContext, desk: Desk = Use(open_desk)) -> str:
    """Write the index; gives its path."""
    with desk.log("write_index", ctx):
        lines = [f"# {library.title}", ""]
        for page in library.pages:
            lines += [f"## {page.name}", "", f"{page.words:,} words, {page.minutes} min"]
            lines += [f"about {', '.join(page.common)}"] if page.common else []
            lines += ["", *(f"- {title}" for title in page.outline)]
            lines += [f"- link: <{link}>" for link in page.links] + [""]
        return str(desk.write_index("\n".join(lines)))


app = Headrace(pipelines=[documents, library])
