"""From the settings to the parser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headrace.pipelines.documents.external.generic import Generic, SignedHeaders, Stamped
from headrace.pipelines.documents.external.llamaparse import LlamaParse
from headrace.pipelines.documents.settings import documents_settings

if TYPE_CHECKING:
    from headrace.pipelines.documents.external.calls import Call
    from headrace.pipelines.documents.external.provider import Provider
    from headrace.pipelines.documents.settings import DocumentsSettings


@dataclass(frozen=True, slots=True)
class Parser:
    """The other system, as the settings have it.

    Attributes:
        kind: `generic`, `llamaparse` or `stamped`.
        provider: What is particular to it.
        url: Where files are sent.
        api_key: Sent to it.
        secrets: The master keys of callbacks, the newest first.
        callback_base: The address of our API.
        timeout_s: Of a request.
    """

    kind: str
    provider: Provider
    url: str
    api_key: str | None = field(repr=False)
    secrets: list[bytes] = field(repr=False)
    callback_base: str
    timeout_s: float

    @property
    def name(self) -> str:
        """Names it in errors, and tells what it made from what others did."""
        parts = urlsplit(self.url)
        return f"the {self.kind} parser {parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"

    @property
    def host(self) -> str:
        """Its host, as it stands in addresses: results may lie there whatever its address is."""
        return urlsplit(self.url).hostname or ""

    @property
    def headers(self) -> dict[str, str]:
        """What it is shown with each request of ours."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def keys(self, call: Call) -> list[str]:
        """The keys of a call's callbacks, the newest first."""
        return [call.key(secret) for secret in self.secrets]

    def callback_url(self, call: Call) -> str:
        """Where it answers."""
        base = self.callback_base.rstrip("/")
        return f"{base}/v1/webhooks/{self.kind}?job={call.job}&run={call.run}"


def open_parser() -> Parser:
    """The parser of the settings, which have one."""
    parser = parser_of(documents_settings())
    if parser is None:
        raise RuntimeError("no parser is set, and a step asks for it")
    return parser


def parser_of(settings: DocumentsSettings) -> Parser | None:
    """The other system; None where nothing is known of one."""
    url, base = settings.parser_url, settings.parser_callback_url
    if not (url and base and settings.parser_secret):
        return None
    key = settings.parser_api_key
    return Parser(
        kind=settings.parser_provider,
        provider=_provider(settings, url),
        url=url,
        api_key=key.get_secret_value() if key else None,
        secrets=settings.parser_secrets,
        callback_base=base,
        timeout_s=settings.parser_timeout_s,
    )


def _provider(settings: DocumentsSettings, url: str) -> Provider:
    options = settings.options_of_parser
    if settings.parser_provider == "llamaparse":
        return LlamaParse(url, options)
    headers = SignedHeaders(
        settings.parser_signature_header.lower(),
        settings.parser_timestamp_header.lower(),
        settings.parser_nonce_header.lower(),
    )
    kind = Stamped if settings.parser_provider == "stamped" else Generic
    return kind(url, headers, options)
