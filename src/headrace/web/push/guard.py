"""Who may push: the one service account by which the subscription signs its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from headrace.errors import Problem, SettingsError
from headrace.settings.issuers import TrustedIssuer
from headrace.telemetry.events import emit
from headrace.telemetry.identity_events import CredentialRefused
from headrace.web.auth.depends import credential_of
from headrace.web.auth.refusal import Reason, RefusedError
from headrace.web.auth.schedulers import ServiceAccount
from headrace.web.auth.telling import told_refusals
from headrace.web.problems import ProblemError
from headrace.web.state import service_of

if TYPE_CHECKING:
    from headrace.settings import Settings

NOT_ALLOWED = frozenset({Reason.WRONG_AUDIENCE, Reason.WRONG_ACCOUNT})
"""Good tokens that are for somebody else, or of somebody else."""


def make_pusher(settings: Settings) -> ServiceAccount:
    """The account that may push.

    Raises:
        SettingsError: The settings name none.
    """
    email, audience = settings.push_service_account, settings.push_audience
    if email is None or audience is None:
        raise SettingsError(
            [
                Problem(
                    "HEADRACE_PUSH_SERVICE_ACCOUNT",
                    "--push needs it and HEADRACE_PUSH_AUDIENCE; set both, as the subscription "
                    "has them",
                )
            ]
        )
    issuer = TrustedIssuer(
        issuer=settings.push_issuer, audience=audience, jwks_url=settings.push_keys_url
    )
    return ServiceAccount(issuer, email)


class PusherRequirement(SecurityBase):
    """Lets only the service account of the settings pass."""

    scheme_name = "pubsub"
    model = HTTPBearer(bearerFormat="JWT", description="The OIDC token of a push subscription.")

    async def __call__(self, request: Request) -> None:
        """Pass, or refuse.

        Raises:
            ProblemError: `AUTH_REQUIRED`, `FORBIDDEN`, or `UNAVAILABLE` where the keys cannot be
                had.
        """
        account = service_of(request).pusher
        assert account is not None  # noqa: S101 - the route is there only where it is
        token = credential_of(request)
        with told_refusals():
            reason = await _reason_against(account, token)
            if reason in NOT_ALLOWED:
                emit(CredentialRefused(reason=reason))
                raise ProblemError("FORBIDDEN", "this account may not push here")
            if reason is not None:
                raise RefusedError(reason)
        await account.settle()


async def _reason_against(account: ServiceAccount, token: str) -> Reason | None:
    """Why a token is not accepted; None where it is."""
    try:
        return Reason.UNKNOWN_ISSUER if await account.verify(token) is None else None
    except RefusedError as error:
        return error.reason
