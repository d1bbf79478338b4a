"""What an operator may choose about documents: variables that begin with HEADRACE_DOCUMENTS_."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from headrace import project_folder, read_settings

PREFIX: Final = "HEADRACE_DOCUMENTS_"
MIB: Final = 1_024 * 1_024

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class DocumentsSettings(BaseSettings):
    """Where documents lie, what is accepted, how they are split and embedded."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    folder: Path | None = Field(
        default=None,
        description="Folder of the uploaded and the parsed files. All processes share it.",
        json_schema_extra={"default_text": "`documents` in the project's data folder"},
    )
    max_bytes: int = Field(
        default=25 * MIB, ge=1, le=1_024 * MIB, description="Size of a file that is accepted."
    )
    max_pages: int = Field(default=2_000, ge=1, le=100_000, description="Pages of a PDF.")
    max_characters: int = Field(
        default=10_000_000, ge=1, le=200_000_000, description="Length of the text in a file."
    )
    max_zip_entries: int = Field(
        default=5_000, ge=1, le=100_000, description="Entries of a DOCX, which is a zip archive."
    )
    max_zip_bytes: int = Field(
        default=64 * MIB, ge=MIB, le=4_096 * MIB, description="Size of all XML in a DOCX, unpacked."
    )
    max_zip_ratio: int = Field(
        default=250,
        ge=2,
        le=1_032,
        description="Bytes that one byte of a DOCX may unpack to, once it is over 1 MiB.",
    )
    max_html_elements: int = Field(
        default=750_000, ge=100, le=10_000_000, description="Elements of an HTML page."
    )
    max_xml_nodes: int = Field(
        default=500_000,
        ge=100,
        le=10_000_000,
        description="Elements and attributes of one part of a DOCX.",
    )
    max_xml_depth: int = Field(
        default=100, ge=10, le=1_000, description="Elements inside each other."
    )
    parse_timeout_s: int = Field(
        default=120, ge=10, le=1_800, description="Time to parse a file, and to split its text."
    )
    parse_memory_mib: int = Field(
        default=1_024,
        ge=256,
        le=65_536,
        description="Memory to parse a file, and to split its text, MiB.",
    )

    chunker: Literal["markdown@1", "markdown-simple@1"] = Field(
        default="markdown@1",
        description="How text is split: by structure up to the embedder's limit, or before each "
        "heading and after CHUNK_LINES lines.",
    )
    chunk_tokens: int | None = Field(
        default=None,
        ge=16,
        le=8_191,
        description="Most tokens of a chunk; never more than the embedder takes.",
        json_schema_extra={"default_text": "what the embedder takes, 512 at most"},
    )
    max_chunks: int = Field(
        default=100_000, ge=1, le=1_000_000, description="Chunks of a document."
    )
    chunk_lines: int = Field(
        default=20, ge=1, le=200, description="Most lines, with markdown-simple@1."
    )

    embedder: _Name = Field(
        default="minilm",
        description="`minilm` (a local model), `openai` (any server with its protocol), `hashing` "
        "(words only, for tests), or a factory of your own as `module:attribute`.",
    )
    batch_texts: int = Field(default=256, ge=1, le=256, description="Texts embedded at once.")
    batch_tokens: int = Field(
        default=8_000, ge=100, le=300_000, description="Estimated tokens embedded at once."
    )
    model_folder: Path | None = Field(
        default=None,
        description="Folder with model.onnx and tokenizer.json, for `minilm`.",
        json_schema_extra={"default_text": "the packaged model"},
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Threads of `minilm`.",
        json_schema_extra={"default_text": "the processors that the process may use"},
    )
    openai_api_key: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="Key for the server of `openai`.",
        json_schema_extra={"default_text": "OPENAI_API_KEY"},
    )
    openai_base_url: str | None = Field(
        default=None,
        pattern=r"^https?://\S+$",
        description="Address of that server, with its version: `http://localhost:8080/v1`.",
        json_schema_extra={"default_text": "OpenAI's", "takes": "http(s)://host:port/path"},
    )
    openai_model: _Name = Field(default="text-embedding-3-small", description="Model of `openai`.")
    openai_version: _Name = Field(
        default="1", description="Raise it when the same name gives other vectors."
    )
    openai_dimension: int = Field(
        default=1_536, ge=1, le=2_000, description="Length of its vectors."
    )
    openai_max_tokens: int = Field(
        default=8_191, ge=16, le=100_000, description="Most tokens that it takes in one text."
    )
    openai_requests_per_min: int = Field(
        default=3_500, ge=1, le=1_000_000, description="Calls of all workers in a minute."
    )
    openai_tokens_per_min: int = Field(
        default=90_000,
        ge=1_000,
        le=1_000_000_000,
        description="Tokens of all workers in a minute, as estimated before a call and told after.",
    )
    openai_timeout_s: float = Field(default=60, ge=1, le=600, description="Limit of one call.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the names are pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the call only; `read_settings` reads the environment."""
        return (init_settings,)

    @property
    def place(self) -> Path:
        """The folder of the files."""
        return self.folder or project_folder() / "documents"


@cache
def documents_settings() -> DocumentsSettings:
    """The settings of this environment, read once.

    Raises:
        SettingsError: Something is not accepted; its one line names each variable.
    """
    return read_settings(DocumentsSettings)
