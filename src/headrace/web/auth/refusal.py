"""Why a credential is not accepted."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """What is wrong with a credential; goes to the log, and in general words to the client."""

    MISSING = "missing"
    NOT_BEARER = "not_bearer"
    MALFORMED = "malformed"
    TOO_LONG = "too_long"
    CRITICAL_HEADER = "critical_header"
    UNKNOWN_ISSUER = "unknown_issuer"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_ACCOUNT = "wrong_account"
    WRONG_SUBSCRIPTION = "wrong_subscription"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    NO_EXPIRY = "no_expiry"
    LIVES_TOO_LONG = "lives_too_long"
    BAD_CLAIM = "bad_claim"
    NO_TENANT = "no_tenant"
    UNKNOWN_API_KEY = "unknown_api_key"


class RefusedError(Exception):
    """A credential proves nothing."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class KeysUnavailableError(Exception):
    """Nobody can tell whether a token is good: the keys of its issuer cannot be had."""
