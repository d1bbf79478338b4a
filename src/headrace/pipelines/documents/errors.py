"""What can be wrong with a call of the library of documents."""

from __future__ import annotations

from headrace import ConflictError, InvalidError, NotFoundError, UnavailableError


class FileRefusedError(InvalidError):
    """A file is not accepted: too large, of no kind that is read, or not what its hash says."""

    code = "file_refused"


class FileTooLargeError(FileRefusedError):
    """A file has more bytes than are accepted."""

    code = "file_too_large"


class FileKindError(FileRefusedError):
    """A file is of no kind that is read."""

    code = "file_kind"


class FilesUnavailableError(UnavailableError):
    """The folder of the files takes or gives none now: it is full, or not to be written to."""

    code = "files_unavailable"


class QuestionRefusedError(InvalidError):
    """A question, or a bound of its answers, is out of range."""

    code = "question_refused"


class DocumentNotFoundError(NotFoundError):
    """No document has this id, or it belongs to somebody else."""

    code = "document_not_found"

    def __init__(self, document: object) -> None:
        super().__init__(document)
        self.document = document

    def __str__(self) -> str:
        return f"no document {self.document}"


class OtherSpaceError(ConflictError):
    """The documents were embedded by another model than the one that is configured now."""

    code = "other_space"

    def __init__(self, configured: str, stored: tuple[str, ...]) -> None:
        super().__init__(configured, stored)
        self.configured, self.stored = configured, stored

    def __str__(self) -> str:
        return (
            f"the documents are embedded with {', '.join(self.stored)}, the embedder that is "
            f"configured is {self.configured}: set HEADRACE_DOCUMENTS_EMBEDDER as it was, or add "
            "the documents again (headrace documents add --again)"
        )


class OtherDimensionError(ConflictError):
    """Vectors of this model and version have another length in this database."""

    code = "other_dimension"

    def __init__(self, space: str, stored: int, given: int) -> None:
        super().__init__(space, stored, given)
        self.space, self.stored, self.given = space, stored, given

    def __str__(self) -> str:
        return (
            f"vectors of {self.space} have {self.stored:,} dimensions in this database, not "
            f"{self.given:,}: give the model that makes other ones another version"
        )
