"""What cannot be done because of what is undone, or is to be."""

from __future__ import annotations

from headrace.errors.base import ConflictError


class UndoError(ConflictError):
    """Something stands in the way of undoing, or undoing of it.

    Attributes:
        job_id: The job that was asked for something.
    """

    code = "undo"

    def __init__(self, job_id: object, other: object) -> None:
        super().__init__(job_id, other)
        self.job_id, self.other = job_id, other


class UndoUnderWayError(UndoError):
    """What the job had done is being undone.

    Attributes:
        undo_job: The job that does it.
    """

    code = "undo_under_way"

    @property
    def undo_job(self) -> object:
        """The job that undoes."""
        return self.other

    def __str__(self) -> str:
        return (
            f"what job {self.job_id} had done is being undone by job {self.undo_job}: wait until "
            "that has ended"
        )


class UndoFailedError(UndoError):
    """Not all that the job had done is undone: its undo job failed.

    Attributes:
        undo_job: That job.
    """

    code = "undo_failed"

    @property
    def undo_job(self) -> object:
        """The job that was to undo."""
        return self.other

    def __str__(self) -> str:
        return (
            f"not all that job {self.job_id} had done is undone: job {self.undo_job}, which was to "
            "do it, has failed. Retry that one first; with force everything is done anew, beside "
            "what was not undone"
        )


class UndoJobError(UndoError):
    """An undo job is not cancelled, and goes on only where it stopped.

    Attributes:
        undo_of: The job that it undoes.
    """

    code = "undo_job"

    @property
    def undo_of(self) -> object:
        """The job that is undone."""
        return self.other

    def __str__(self) -> str:
        return (
            f"job {self.job_id} undoes job {self.undo_of}: it cannot be cancelled, and when it "
            "failed it goes on where it stopped, by a retry without more. An operator can end it "
            "as failed"
        )
