"""Events of who may come in."""

from __future__ import annotations

from headrace.telemetry.events import Event, Level, event


@event(Level.INFO)
class CredentialRefused(Event):
    """A request came with a credential that is not accepted; nothing of it is told."""

    reason: str


@event(Level.INFO)
class IssuerKeysFetched(Event):
    """The keys of an identity provider were read; `keys` of them can be used."""

    issuer: str
    keys: int


@event(Level.WARNING)
class IssuerUnreachable(Event):
    """The keys of an identity provider could not be had; those in hand are used up to 10 min."""

    issuer: str
    error: str
