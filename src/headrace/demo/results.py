"""The end of the demo: what came of each file, and the index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.demo.files import BROKEN_NAME
from headrace.demo.pipeline import Library, library
from headrace.demo.problem import DemoError
from headrace.errors import JobFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace import Headrace, JobHandle
    from headrace.demo.pipeline import Document, Page


@dataclass(frozen=True, slots=True)
class Results:
    """The pages of the files that could be read, and why the broken one could not."""

    pages: list[Page]
    refusal: JobFailedError


async def collect(jobs: Sequence[JobHandle[Page]], files: Sequence[Document]) -> Results:
    """The results of all jobs.

    Raises:
        DemoError: A file failed that is not broken, or the broken one did not.
    """
    pages = []
    refusal = None
    for job, file in zip(jobs, files, strict=True):
        try:
            pages.append(await job.result())
        except JobFailedError as error:
            if file.name != BROKEN_NAME:
                raise DemoError(f"{file.name} failed: {error}") from error
            refusal = error
    if refusal is None:
        raise DemoError(f"{BROKEN_NAME} did not fail")
    return Results(pages, refusal)


async def write_index(app: Headrace, title: str, pages: list[Page]) -> str:
    """Write the index in one more job; gives its path."""
    job = await app.submit(library, Library(title, pages))
    return await job.result()
