"""What the steps work with, as the settings say; opened once a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.pipelines.documents.embedding import EmbedderOptions, open_embedder, token_counter
from headrace.pipelines.documents.files import FileStore
from headrace.pipelines.documents.parsing import ParseLimits
from headrace.pipelines.documents.settings import documents_settings

if TYPE_CHECKING:
    from headrace.pipelines.documents.chunking import Counter
    from headrace.pipelines.documents.embedding import Embedder


@dataclass(frozen=True, slots=True)
class SplitRules:
    """How text is split."""

    chunker: str
    lines: int
    count: Counter


def open_files() -> FileStore:
    """The files of all documents."""
    return FileStore(documents_settings().place)


async def open_configured() -> Embedder:
    """The embedder that HEADRACE_DOCUMENTS_EMBEDDER names."""
    return await open_embedder(documents_settings().embedder, embedder_options())


def open_rules() -> SplitRules:
    """How text is split for that embedder, whose model is not needed for it."""
    settings = documents_settings()
    count = token_counter(settings.embedder, embedder_options())
    return SplitRules(settings.chunker, settings.chunk_lines, count)


def embedder_options() -> EmbedderOptions:
    """What the settings say about embedders."""
    settings = documents_settings()
    return EmbedderOptions(
        model_folder=settings.model_folder,
        threads=settings.threads,
        api_key=settings.openai_api_key,
        base_url=settings.openai_base_url,
        model=settings.openai_model,
        version=settings.openai_version,
        dimension=settings.openai_dimension,
        most_tokens=settings.openai_max_tokens,
        requests_per_min=settings.openai_requests_per_min,
        tokens_per_min=settings.openai_tokens_per_min,
        timeout_s=settings.openai_timeout_s,
    )


def parse_limits() -> ParseLimits:
    """What the settings say about parsing."""
    settings = documents_settings()
    return ParseLimits(
        pages=settings.max_pages,
        characters=settings.max_characters,
        html_elements=settings.max_html_elements,
        zip_entries=settings.max_zip_entries,
        zip_ratio=settings.max_zip_ratio,
        zip_bytes=settings.max_zip_bytes,
        xml_nodes=settings.max_xml_nodes,
        xml_depth=settings.max_xml_depth,
    )
