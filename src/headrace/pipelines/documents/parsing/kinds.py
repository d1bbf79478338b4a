"""The kinds of files that are read."""

from enum import StrEnum


class Kind(StrEnum):
    """What a file is, by its content."""

    PDF = "pdf"
    DOCX = "docx"
    HTML = "html"
    MARKDOWN = "markdown"
    TEXT = "text"

    @property
    def mime(self) -> str:
        """The media type, as `text/html`."""
        return _MIMES[self]

    @property
    def suffix(self) -> str:
        """The usual end of a file's name, as `.html`."""
        return _SUFFIXES[self]


_MIMES = {
    Kind.PDF: "application/pdf",
    Kind.DOCX: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    Kind.HTML: "text/html",
    Kind.MARKDOWN: "text/markdown",
    Kind.TEXT: "text/plain",
}
_SUFFIXES = {
    Kind.PDF: ".pdf",
    Kind.DOCX: ".docx",
    Kind.HTML: ".html",
    Kind.MARKDOWN: ".md",
    Kind.TEXT: ".txt",
}

ACCEPTED = "PDF, DOCX, HTML, Markdown and plain text are accepted"
