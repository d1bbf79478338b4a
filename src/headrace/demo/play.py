"""The demo from the first file to the last line."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import Headrace
from headrace.demo.examples import DUPLICATE, FAILING, QUESTIONS, are_examples
from headrace.demo.kill import Kill, Recovery
from headrace.demo.place import fresh_database
from headrace.demo.problem import DemoError
from headrace.demo.proof import Proof, prove
from headrace.pipelines.documents import FileRefusedError, Library, Stage, documents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.demo.show import Show
    from headrace.pipelines.documents import DocumentStatus


@dataclass(slots=True)
class Intake:
    """What became of the files at the door.

    Attributes:
        names: Of the documents, by their ids.
        jobs: That ingest them.
        copies: Names of files whose content was there, with the name under which it was.
        refused: Names of files that are not accepted, with the reason.
    """

    names: dict[str, str] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Play:
    """One run of the demo.

    Attributes:
        files: What is ingested.
        questions: What is asked; the examples' own where it is empty.
        folder: For the documents and the logs.
        data_folder: HEADRACE_DATA_DIR, where the user wants the database server's data to be.
        show: Tells about it.
    """

    files: Sequence[Path]
    questions: Sequence[str]
    folder: Path
    data_folder: Path | None
    show: Show

    async def run(self, limit_s: float) -> None:
        """Run it.

        Args:
            limit_s: A run that takes longer hangs.

        Raises:
            DemoError: Something is not as it was promised.
        """
        async with fresh_database(self.data_folder) as database:
            app = Headrace(pipelines=[documents], database=database)
            await app.migrate()
            async with app:
                library = Library(app)
                try:
                    async with asyncio.timeout(limit_s):
                        await self._run(app, library, database)
                except TimeoutError:
                    raise DemoError(f"it did not end within {limit_s:.0f} s") from None
                finally:
                    await library.close()

    async def _run(self, app: Headrace, library: Library, database: str) -> None:
        self.show.say(f"working in {self.folder}, on a database of its own")
        intake = await self._take_in(library)
        with Kill(app, library, database, self.folder, self.show) as kill:
            shown = await kill.happen()
            recovery = await kill.recovery(intake.jobs)
            proof = await prove(database, self.folder, kill.victim)
        done = [document for document in shown if document.stage is Stage.COMPLETE]
        failed = [document for document in shown if document.stage is not Stage.COMPLETE]
        self._check(intake, failed, proof)
        self._tell(intake, failed, recovery, proof)
        await self._ask(library)
        chunks = sum(document.chunks_total for document in done)
        self.show.say("")
        self.show.say(
            f"demo ok: documents={len(done)} chunks={chunks} resumed={recovery.jobs}"
            f" recovery_s={recovery.seconds:.1f}"
        )

    async def _take_in(self, library: Library) -> Intake:
        intake = Intake()
        for path in self.files:
            try:
                added = await library.add(path)
            except FileRefusedError as error:
                intake.refused[path.name] = str(error)
                continue
            if added.is_new:
                intake.names[added.document] = path.name
                intake.jobs.append(added.job.id)
            else:
                intake.copies[path.name] = intake.names[added.document]
        if not intake.jobs:
            raise DemoError(f"none of the {len(self.files)} files is accepted")
        self.show.say(f"{len(self.files)} files of {self.files[0].parent}: {len(intake.jobs)} jobs")
        for name, original in intake.copies.items():
            self.show.say(f"reused: {name} has the same content as {original}, which is there")
        for name, reason in intake.refused.items():
            self.show.say(f"refused: {name}: {reason}")
        return intake

    def _tell(
        self, intake: Intake, failed: Sequence[DocumentStatus], recovery: Recovery, proof: Proof
    ) -> None:
        for document in failed:
            reason = document.problem.message if document.problem else "no reason is known"
            self.show.say(f"failed, and why: {document.name}: {reason} ({document.stage})")
        self.show.say(
            f"resumed: {recovery.jobs} of {len(intake.jobs)} jobs, which worker A was running;"
            f" worker B had them {recovery.seconds:.1f} s after the kill"
        )
        self.show.say(
            f"compared with the embedder's own log of its calls: of the {proof.kept} batches that"
            f" worker A had stored none was embedded again; cut off by the kill and embedded anew:"
            f" {proof.repeated}, at most one a document"
        )

    def _check(self, intake: Intake, failed: Sequence[DocumentStatus], proof: Proof) -> None:
        if proof.problems:
            raise DemoError(f"{len(proof.problems)} things went wrong: {proof.problems[0]}")
        if not proof.kept:
            raise DemoError("worker A had stored nothing when it was killed")
        names = {document.name for document in failed}
        if not are_examples(self.files):
            return
        if names != FAILING:
            raise DemoError(f"{', '.join(sorted(names ^ FAILING))}: failed, or should have")
        if DUPLICATE not in intake.copies:
            raise DemoError(f"{DUPLICATE} was not known to be a copy")

    async def _ask(self, library: Library) -> None:
        for text in self.questions:
            self.show.passages(text, await library.search(text, limit=3))
        if self.questions or not are_examples(self.files):
            return
        for question in QUESTIONS:
            hits = await library.search(question.text, limit=3)
            self.show.passages(question.text, hits)
            if not hits or not question.is_answered_by(hits[0]):
                raise DemoError(f"the answer is in {question.file}: {question.words!r}")
