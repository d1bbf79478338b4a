"""What an operator may choose about documents: variables that begin with HEADRACE_DOCUMENTS_."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from headrace import project_folder, read_settings
from headrace.errors import Problem, SettingsError

PREFIX: Final = "HEADRACE_DOCUMENTS_"
MIB: Final = 1_024 * 1_024

SHORTEST_SECRET: Final = 32
"""Characters: 128 random bits in hexadecimal digits."""


def _split(given: object) -> object:
    if not isinstance(given, str):
        return given
    return tuple(part.strip() for part in given.split(",") if part.strip())


def _check_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if len(text) < SHORTEST_SECRET or not text.isprintable() or " " in text:
        raise ValueError("no secret")
    return secret


def _check_options(text: str) -> str:
    if not isinstance(json.loads(text), dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - what pydantic catches
    return text


_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Address = Field(max_length=500, pattern=r"^https?://[^\s@/?#]+(/[^\s?#]*)?$")
_Header = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9-]+$")]
_Options = Annotated[str, AfterValidator(_check_options)]
_Secrets = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_check_secret)], ...],
    NoDecode,
    BeforeValidator(_split),
    Field(max_length=2),
]


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

    parser: Literal["local", "external"] = Field(
        default="local", description="Who parses: the worker, or another system that calls back."
    )
    parser_provider: Literal["generic", "llamaparse", "stamped"] = Field(
        default="generic",
        description="What the other system speaks: our own protocol, LlamaParse's, or our own "
        "with signatures over job and time alone.",
    )
    parser_url: Annotated[str | None, _Address] = Field(
        default=None,
        description="Address to which files are sent; of `llamaparse` that of its API.",
        json_schema_extra={"takes": "http(s)://host:port/path"},
    )
    parser_api_key: SecretStr | None = Field(
        default=None, min_length=1, description="Key for it, sent as a bearer token."
    )
    parser_secret: _Secrets = Field(
        default=(),
        description="Master key of the signatures of its callbacks: each run of a job has a key "
        "made from it. A second one is the one before, with which callbacks may be signed still.",
        json_schema_extra={
            "default_text": "none",
            "takes": "32 characters at least; two while it is changed, with a comma",
        },
    )
    parser_callback_url: Annotated[str | None, _Address] = Field(
        default=None,
        description="Address of the API as that system reaches it, without a path of the API's.",
        json_schema_extra={"takes": "http(s)://host:port/path"},
    )
    parser_timeout_s: float = Field(
        default=120, ge=1, le=600, description="Limit of a request to it."
    )
    parser_callback_s: int = Field(
        default=1_800, ge=60, le=86_400, description="How long a document waits for its callback."
    )
    parser_signature_header: _Header = Field(
        default="X-Parser-Signature",
        description="Header with the signature of a callback; of `llamaparse` it is LC-Signature.",
    )
    parser_timestamp_header: _Header = Field(
        default="X-Parser-Timestamp",
        description="Header with the time of a callback, but for `llamaparse`.",
    )
    parser_nonce_header: _Header = Field(
        default="X-Parser-Nonce", description="Header with its nonce, for `generic`."
    )
    parser_options: _Options = Field(
        default="{}",
        description="A JSON object that goes with each file: to `llamaparse` in its configuration, "
        "to others as the field `options`.",
        json_schema_extra={"takes": 'a JSON object, as {"tier": "agentic"}'},
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

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        needed = {
            "parser_url": "give the address to which files are sent",
            "parser_secret": "give 32 random characters at least, the same to all processes",
            "parser_callback_url": "give the address of the API as the parser reaches it",
        }
        problems = [
            Problem(PREFIX + name.upper(), f"is needed with {PREFIX}PARSER=external: {what}")
            for name, what in needed.items()
            if self.parser == "external" and not getattr(self, name)
        ]
        if problems:
            raise SettingsError(problems)
        return self

    @property
    def parser_secrets(self) -> list[bytes]:
        """The master keys of callbacks, the newest first."""
        return [secret.get_secret_value().encode() for secret in self.parser_secret]

    @property
    def options_of_parser(self) -> dict[str, Any]:
        """What goes to the parser with each file."""
        options: dict[str, Any] = json.loads(self.parser_options)
        return options

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
