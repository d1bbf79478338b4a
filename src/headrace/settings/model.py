"""The settings themselves: names, types, ranges, meanings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from headrace.errors import SettingsError
from headrace.settings.addresses import address_of
from headrace.settings.breakers import BreakerSettings
from headrace.settings.checks import contradictions
from headrace.settings.issuers import EXAMPLE
from headrace.settings.kinds import (
    Address,
    Claim,
    Endpoint,
    Headers,
    Hosts,
    Issuers,
    LogLevel,
    Names,
    Origins,
    Port,
    Proxies,
    SigningKeys,
)
from headrace.settings.listening import ListeningSettings
from headrace.settings.names import ADDRESS_PARTS, PREFIX
from headrace.settings.pubsub import PubSubSettings
from headrace.settings.push import PushSettings
from headrace.settings.rates import RateSettings
from headrace.settings.schedulers import SchedulerSettings
from headrace.settings.timings import timing_of
from headrace.settings.usual import usual
from headrace.telemetry.events import Level
from headrace.worker.timing import Timing

KIB: Final = 1_024
MIB: Final = 1_024 * KIB


class Settings(
    ListeningSettings,
    PubSubSettings,
    PushSettings,
    SchedulerSettings,
    RateSettings,
    BreakerSettings,
):
    """What an operator may choose. Times end in `_s` (seconds) or `_d` (days), sizes in `_bytes`.

    Raises:
        SettingsError: Two settings contradict each other, or production would run on the embedded
            database.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    env: Literal["development", "testing", "production"] = Field(
        "development",
        description="How strict the checks at the start are; production refuses the embedded "
        "database.",
        json_schema_extra={"default_text": "production with a database address, else development"},
    )
    log_level: LogLevel = Field(
        "INFO",
        description="The least level that is logged.",
        json_schema_extra={"default_text": "DEBUG in development, else INFO"},
    )
    log_format: Literal["json", "text"] | None = Field(
        None,
        description="One JSON object a line with Cloud Logging's names, or text for people.",
        json_schema_extra={"default_text": "text on a terminal, else json"},
    )

    database_url: Address | None = Field(
        None,
        description="The PostgreSQL to use: `postgresql://user:password@host:port/name`.",
        json_schema_extra={"default_text": "none: the embedded database"},
    )
    direct_database_url: Address | None = Field(
        None,
        description="The same database past a transaction pooler, for presence, LISTEN and "
        "migrations.",
        json_schema_extra={"default_text": "the database address"},
    )
    data_dir: Path | None = Field(
        None,
        description="Folder of the embedded database and of local artifacts.",
        json_schema_extra={"default_text": "the user's data folder"},
    )
    db_host: str = Field(
        "localhost",
        min_length=1,
        description="Host, or socket folder, in place of DATABASE_URL. Any DB_HOST, DB_PORT, "
        "DB_NAME, DB_USER or DB_PASSWORD means that there is a database.",
    )
    db_port: Port = Field(5_432, description="Port of that database.")
    db_name: str = Field("headrace", min_length=1, description="Name of that database.")
    db_user: str = Field("postgres", min_length=1, description="User of that database.")
    db_password: SecretStr | None = Field(None, min_length=1, description="That user's password.")
    db_pool_max: int = Field(
        15,
        ge=1,
        le=200,
        description="Most connections of a client; an API takes four more, a worker as many again "
        "for its steps, and up to eight of its own.",
    )

    metrics_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="Bearer token for /metrics; without it the API tells no metrics in production.",
        json_schema_extra={"default_text": "none"},
    )
    otel_endpoint: Endpoint | None = Field(
        None,
        description="Where traces go, by OTLP over HTTP: `http://collector:4318`; needs "
        "`headrace[otel]`.",
        json_schema_extra={"default_text": "none: no traces"},
    )
    otel_sample: float = Field(
        0.1, ge=0, le=1, description="The part of all traces that is recorded."
    )
    otel_project: Claim | None = Field(
        None,
        description="The Google Cloud project of the traces, by which Cloud Logging shows the "
        "lines of a trace; the platform's GOOGLE_CLOUD_PROJECT is taken where this is not set.",
        json_schema_extra={"default_text": "none"},
    )

    concurrency: int = Field(
        10, ge=1, le=1_000, description="Jobs that a worker runs at once; also its threads."
    )
    claim_batch: int = Field(100, ge=1, le=1_000, description="Most jobs taken by one claim.")
    queues: Names = Field(("default",), description="Queues that a worker serves.")
    doorbell: Literal["listen", "poll", "pubsub"] = Field(
        "listen",
        description="How a worker is woken, beside polling: by LISTEN/NOTIFY, by Google Cloud "
        "Pub/Sub, which needs `headrace[pubsub]`, or not at all.",
    )
    poll_interval_s: float = Field(
        5, ge=0.1, le=300, description="Longest sleep of an idle worker, should a ring be lost."
    )
    poll_error_interval_s: float = Field(
        10, ge=1, le=300, description="Longest sleep after claims that failed, one after another."
    )
    sweep_interval_s: float = Field(
        10, ge=1, le=300, description="Between two passes of the janitor."
    )

    lease_s: float = Field(
        30, ge=10, le=600, description="A worker silent for so long may be declared lost."
    )
    heartbeat_s: float = Field(
        3, ge=1, le=30, description="Between two renewals; a third of LEASE_S at most."
    )
    cancel_kill_s: float = Field(
        5, ge=1, le=60, description="A step that ignores its cancellation so long is abandoned."
    )
    shutdown_grace_s: float = Field(
        30, ge=1, le=600, description="Time for running steps after SIGTERM; set 8 on Cloud Run."
    )

    step_timeout_s: float = Field(300, ge=10, le=1_800, description="Limit of one try of a step.")
    job_timeout_s: float = Field(
        1_800, ge=60, le=7_200, description="Running time of a job, all claims of a run added."
    )
    max_lease_losses: int = Field(
        3, ge=1, le=20, description="Deaths of its worker after which a job fails."
    )
    max_wait_s: float = Field(
        86_400, ge=60, le=2_592_000, description="Longest wait of a job that uses no attempt."
    )
    priority_step_s: float = Field(
        60, ge=0, le=600, description="Head start in a queue for each point of priority."
    )

    fanout_max: int = Field(10_000, ge=1, le=100_000, description="Items of one step.")
    ledger_max: int = Field(500, ge=1, le=5_000, description="Records of one group commit.")
    ledger_queue: int = Field(
        5_000, ge=100, le=100_000, description="Records that may wait before callers are slowed."
    )
    checkpoint_max_bytes: int = Field(
        MIB, ge=64 * KIB, le=16 * MIB, description="Step output stored in the database."
    )
    artifact_max_bytes: int = Field(
        100 * MIB, ge=MIB, le=2_048 * MIB, description="Step output stored as an artifact."
    )
    max_payload_bytes: int = Field(
        512 * KIB, ge=KIB, le=32_000_000, description="Input of a job stored in its row."
    )

    max_body_bytes: int = Field(
        10_000_000, ge=KIB, le=32_000_000, description="Body of a request that is not JSON."
    )
    max_json_bytes: int = Field(
        5_000_000, ge=KIB, le=32_000_000, description="JSON body of a request."
    )
    max_upload_bytes: int = Field(
        25 * MIB, ge=KIB, le=1_024 * MIB, description="File that is sent to the API."
    )
    auth_issuers: Issuers = Field(
        (),
        description="Identity providers whose tokens are accepted: of each its `issuer` and our "
        "`audience`; where they differ from its discovery document `jwks_url`, and `algorithms`; "
        "`tenant`, of which all its tokens are; `scopes` of tokens that name none.",
        json_schema_extra={
            "default_text": "none: API keys only",
            "takes": f"a JSON list, as `{EXAMPLE}`",
        },
    )
    auth_tenant_claim: Claim = Field(
        "tenant",
        description="Claim of a token that names the tenant; `a.b` also finds `b` inside `a`.",
    )
    auth_owner_claim: Claim = Field("sub", description="Claim that names the owner.")
    cors_origins: Origins = Field(
        (),
        description="Origins whose pages may use the API, as `https://app.example.com`; no "
        "wildcard.",
        json_schema_extra={
            "default_text": "http://localhost:5173 in development, else none",
            "takes": "origins as https://app.example.com, with commas; no wildcard",
        },
    )
    cors_allow_headers: Headers = Field(
        (
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "Last-Event-ID",
            "X-Request-ID",
            "traceparent",
        ),
        description="Headers that those pages may send.",
    )
    trusted_proxies: Proxies = Field(
        ("127.0.0.1",),
        description="Addresses or networks whose X-Forwarded-For tells the client's address; `*` "
        "where only a proxy reaches the port, as on Cloud Run.",
    )
    request_limit_s: float = Field(
        30, ge=1, le=300, description="A request takes no longer; streams and uploads do."
    )
    sync_wait_s: float = Field(
        60,
        ge=0,
        le=60,
        description="So long is a caller kept waiting who asks for a result at once, as of "
        "`/v1/consensus/review`; then the answer is where to look.",
    )
    admin_api: bool = Field(
        default=False,
        description="Whether operators have /v1/admin, for what is of all tenants.",
        json_schema_extra={"default_text": "false", "takes": "true or false"},
    )

    signing_keys: SigningKeys = Field(
        (),
        description="Master key of the signatures of webhooks: every key that signs is made from "
        "it. A second one is the one before, with which is signed as well.",
        json_schema_extra={
            "default_text": "a key of its own for the embedded database, else none: no webhooks",
            "takes": "32 characters at least; two while it is changed, with a comma",
        },
    )
    webhook_private_hosts: Hosts = Field(
        (),
        description="Hosts that webhooks reach though they are not public, at any port and without "
        "TLS; not in production.",
        json_schema_extra={"default_text": "localhost,127.0.0.1,::1 in development, else none"},
    )
    webhook_concurrency: int = Field(
        4, ge=1, le=25, description="Events of a process that are on their way to one host at once."
    )

    idempotency_ttl_s: int = Field(
        86_400, ge=60, le=2_592_000, description="An answer to an idempotency key is kept so long."
    )
    idempotency_pending_s: int = Field(
        300, ge=1, le=3_600, description="A request with a key that never ended may be sent again."
    )

    retain_jobs_d: int = Field(30, ge=1, le=3_650, description="Ended jobs are kept so long.")
    retain_checkpoints_d: int = Field(
        7, ge=1, le=3_650, description="Outputs of steps, after the job completed."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the names are pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the call only; `load_settings` reads the environment."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _choose_by_environment(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**usual(values), **values}

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        problems = list(contradictions(self))
        if problems:
            raise SettingsError(problems)
        return self

    @property
    def embedded(self) -> bool:
        """Whether no address is given, so that the embedded database is used."""
        return self.database_url is None and ADDRESS_PARTS.isdisjoint(self.model_fields_set)

    @property
    def level(self) -> Level:
        """The log level."""
        return Level[self.log_level]

    def database_address(self) -> str | None:
        """Return the address to connect to, password included; None: the embedded database."""
        return address_of(self)

    def direct_database_address(self) -> str | None:
        """Return the address past a pooler; the usual one where no other is given."""
        if self.direct_database_url is not None:
            return self.direct_database_url.get_secret_value()
        return self.database_address()

    def timing(self) -> Timing:
        """Return the worker's durations; those that follow from the lease keep their share."""
        return timing_of(self)
