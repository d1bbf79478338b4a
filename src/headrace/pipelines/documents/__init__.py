"""The pipeline `documents`: files come in, are parsed, split, embedded, and can be searched.

    from headrace.pipelines.documents import Library, app

    async with app:
        library = Library(app)
        added = await library.add(Path("handbook.pdf"))
        await added.job.result()
        for hit in await library.search("Who opens the sluice?", limit=3):
            print(hit.score, hit.name, hit.position, hit.text)

It needs `pip install 'headrace[documents,embeddings]'`, workers that carry `documents`, and a
PostgreSQL with pgvector 0.8, as the embedded one. Settings begin with HEADRACE_DOCUMENTS_.
"""

from headrace import Headrace
from headrace.pipelines.documents.errors import (
    DocumentNotFoundError,
    FileRefusedError,
    FilesUnavailableError,
    OtherDimensionError,
    OtherSpaceError,
    QuestionRefusedError,
)
from headrace.pipelines.documents.intake import Added
from headrace.pipelines.documents.library import Library
from headrace.pipelines.documents.model import Chunk, Document, DocumentStatus, Hit, Ingested
from headrace.pipelines.documents.pipeline import documents, is_ours
from headrace.pipelines.documents.shown import DocumentPage
from headrace.pipelines.documents.stages import Stage

__all__ = [
    "Added",
    "Chunk",
    "Document",
    "DocumentNotFoundError",
    "DocumentPage",
    "DocumentStatus",
    "FileRefusedError",
    "FilesUnavailableError",
    "Hit",
    "Ingested",
    "Library",
    "OtherDimensionError",
    "OtherSpaceError",
    "QuestionRefusedError",
    "Stage",
    "app",
    "documents",
    "is_ours",
]

app = Headrace(pipelines=[documents])
"""Carries `documents` alone; add it to your own: `Headrace(pipelines=[documents, ...])`."""
