"""What an operator may choose about reviews: variables that begin with HEADRACE_CONSENSUS_."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from headrace import read_settings

PREFIX: Final = "HEADRACE_CONSENSUS_"
PLACEHOLDER: Final = re.compile(
    r"(?i)^(<.*>|\.+|x+|(sk-)?(x{3,}|\.{3,}|your[-_ ].*|change[-_ ]?me|placeholder|example|test)"
    r"|none|null|todo|(my|open)?ai?[-_ ]?(api)?[-_ ]?key)$"
)
"""What stands in examples where a key belongs."""

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class ConsensusSettings(BaseSettings):
    """Which model reviews ideas, how long they may be, and what becomes of revisions."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    client: _Name | None = Field(
        default=None,
        description="What answers: `openai` (any server with its protocol), `offline` (a stand-in "
        "that computes its answers from the idea's words), or a factory of your own as "
        "`module:attribute`.",
        pattern=r"^(openai|offline|[\w.]+:[\w.]+)$",
        json_schema_extra={
            "default_text": "`openai` where its key or its address is set here, else `offline`",
            "takes": "openai, offline, or module:attribute",
        },
    )
    model: _Name = Field(default="gpt-5.1", description="Model of all steps.")
    expand_model: _Name | None = Field(
        default=None,
        description="Model that expands ideas.",
        json_schema_extra={"default_text": "MODEL"},
    )
    review_model: _Name | None = Field(
        default=None, description="Model that reviews.", json_schema_extra={"default_text": "MODEL"}
    )
    expand_temperature: float = Field(
        default=0.7, ge=0, le=1, description="Temperature at which ideas are expanded."
    )
    review_temperature: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Temperature of all reviews.",
        json_schema_extra={"default_text": "the persona's own, 0.2"},
    )
    openai_api_key: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="Key for the server of `openai`.",
        json_schema_extra={
            "default_text": "OPENAI_API_KEY, where CLIENT is `openai`",
            "takes": "a key, and no placeholder of one",
        },
    )
    openai_base_url: str | None = Field(
        default=None,
        pattern=r"^https?://\S+$",
        description="Address of that server, with its version: `http://localhost:8080/v1`.",
        json_schema_extra={"default_text": "OpenAI's", "takes": "http(s)://host:port/path"},
    )
    llm_timeout_s: int = Field(
        default=300, ge=10, le=1_800, description="Limit of one question with its repair turn."
    )
    llm_max_output_tokens: int = Field(
        default=16_000,
        ge=256,
        le=1_000_000,
        description="Most tokens of an answer, what the model thinks included.",
    )
    llm_stream: bool = Field(
        default=False,
        description="Whether answers are asked for as streams: for servers behind something that "
        "cuts connections on which nothing is said.",
        json_schema_extra={"default_text": "false", "takes": "true or false"},
    )
    llm_requests_per_min: int = Field(
        default=500, ge=1, le=1_000_000, description="Questions of all workers in a minute."
    )
    llm_tokens_per_min: int = Field(
        default=500_000,
        ge=1_000,
        le=1_000_000_000,
        description="Tokens of all workers in a minute, questions and answers.",
    )
    llm_burst_s: float = Field(
        default=60,
        ge=0.02,
        le=60,
        description="What may pass at once is what those limits let pass in this time.",
    )
    llm_tokens_per_day: int | None = Field(
        default=None,
        ge=1_000,
        le=1_000_000_000_000,
        description="Tokens of a tenant in a day (UTC); jobs that would need more wait for the "
        "next one.",
        json_schema_extra={"default_text": "any number"},
    )
    llm_tokens_per_job: int | None = Field(
        default=None,
        ge=1_000,
        le=1_000_000_000,
        description="Tokens of a job in all its runs; it fails where it would need more.",
        json_schema_extra={"default_text": "any number"},
    )
    max_retries: int = Field(
        default=3,
        ge=1,
        le=10,
        description="How often the model is asked for an expansion, and for each review.",
    )

    max_idea_length: int = Field(
        default=10_000, ge=100, le=100_000, description="Characters of an idea."
    )
    max_extra_context_length: int = Field(
        default=50_000, ge=100, le=500_000, description="Characters of its context, as JSON."
    )
    max_edited_proposal_length: int = Field(
        default=100_000, ge=1_000, le=1_000_000, description="Characters of an edited proposal."
    )
    max_edit_notes_length: int = Field(
        default=10_000, ge=100, le=100_000, description="Characters of the notes of a revision."
    )

    persona_template_version: _Name = Field(
        default="1.0.0", description="Set of prompts that is used where a job names none."
    )
    min_persona_count: int = Field(
        default=1, ge=1, le=10, description="Fewest personas of a set of prompts."
    )
    max_persona_count: int = Field(
        default=10, ge=1, le=20, description="Most personas of a set of prompts."
    )
    default_persona_name: _Name = Field(
        default="GenericReviewer", description="Who writes the one review of `consensus-quick`."
    )
    default_persona_instructions: str | None = Field(
        default=None,
        min_length=1,
        max_length=10_000,
        description="What that reviewer is told to do.",
        json_schema_extra={"default_text": "those of the set of prompts"},
    )

    rerun_threshold: float = Field(
        default=0.70,
        ge=0,
        le=1,
        description="A revision asks again for reviews whose confidence is below.",
    )
    revision_depth: int = Field(
        default=20, ge=1, le=100, description="Most revisions of revisions in a row."
    )

    @field_validator("openai_api_key")
    @classmethod
    def _refuse_placeholder(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and is_placeholder(key.get_secret_value()):
            raise ValueError(
                "is blank or a placeholder: give a key, or unset it to work without a model"
            )
        return key

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        if self.min_persona_count > self.max_persona_count:
            raise ValueError("MIN_PERSONA_COUNT is more than MAX_PERSONA_COUNT")
        return self

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
    def chosen_client(self) -> str:
        """What answers."""
        if self.client is not None:
            return self.client
        is_set = self.openai_api_key is not None or self.openai_base_url is not None
        return "openai" if is_set else "offline"


def is_placeholder(key: str) -> bool:
    """Whether a text is no key, but stands where one belongs."""
    return not key.strip() or PLACEHOLDER.match(key.strip()) is not None


@cache
def consensus_settings() -> ConsensusSettings:
    """The settings of this environment, read once.

    Raises:
        SettingsError: Something is not accepted; its one line names each variable.
    """
    return read_settings(ConsensusSettings)
