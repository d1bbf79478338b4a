"""What can be wrong with reviews and revisions."""

from __future__ import annotations

from headrace import ConflictError, InvalidError, NotFoundError, PermanentError


class ModelClientError(InvalidError):
    """What answers cannot be opened as it is configured; the text says what to do."""

    code = "model_client_unusable"


class PromptSetError(InvalidError):
    """A set of prompts is not there, or not as it must be; the text says what is wrong."""

    code = "prompt_set_invalid"


class SchemaUnknownError(NotFoundError):
    """No schema of this name, or none in this version, is registered."""

    code = "schema_not_found"

    def __init__(self, name: str, version: str | None, known: tuple[str, ...]) -> None:
        super().__init__(name, version, known)
        self.name, self.version, self.known = name, version, known

    def __str__(self) -> str:
        what = self.name if self.version is None else f"{self.name} {self.version}"
        return f"there is no schema {what}; there are {', '.join(self.known)}"


class DecisionError(PermanentError):
    """The reviews are not those of all personas, so there is no decision."""

    code = "AGGREGATION_FAILED"


class RevisionRefusedError(InvalidError):
    """A revision says nothing, or what cannot be: no edit, an unknown persona, no such parent."""

    code = "revision_refused"


class ParentNotFoundError(NotFoundError):
    """No job has this id, or it belongs to somebody else."""

    code = "parent_not_found"

    def __init__(self, job: object) -> None:
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        return f"no job {self.job} with a review"


class ParentNotCompletedError(ConflictError):
    """Only a job that completed can be revised."""

    code = "parent_not_completed"

    def __init__(self, job: object, state: str) -> None:
        super().__init__(job, state)
        self.job, self.state = job, state

    def __str__(self) -> str:
        return f"job {self.job} is {self.state}: only a completed one can be revised"


class RevisionDepthError(ConflictError):
    """There are as many revisions of revisions as may be."""

    code = "revision_depth"

    def __init__(self, job: object, most: int) -> None:
        super().__init__(job, most)
        self.job, self.most = job, most

    def __str__(self) -> str:
        return (
            f"job {self.job} is revision {self.most} in a row, and no more may follow: submit the "
            "idea anew, or raise HEADRACE_CONSENSUS_REVISION_DEPTH"
        )
