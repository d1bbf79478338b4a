"""Who may have tasks done: operators, and the one service account of a scheduler."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Request, Security

from headrace.settings.issuers import TrustedIssuer
from headrace.web.auth.depends import Requirement, credential_of
from headrace.web.auth.fetching import KeyFetcher
from headrace.web.auth.identity import Identity, Scope
from headrace.web.auth.refusal import Reason, RefusedError
from headrace.web.auth.sources import KeySource
from headrace.web.auth.telling import told_refusals
from headrace.web.auth.tokens import LONGEST_TOKEN, issuer_of, proven_claims
from headrace.web.gate.envelope import IDENTITY
from headrace.web.state import service_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.settings import Settings


class ServiceAccount:
    """Knows the tokens of one service account; `make_scheduler` makes it.

    Args:
        issuer: Who signs them, and what their audience is.
        email: Of the account.
        clock: Seconds that never go back.
    """

    def __init__(
        self, issuer: TrustedIssuer, email: str, clock: Callable[[], float] = monotonic
    ) -> None:
        self._fetcher = KeyFetcher()
        self._source = KeySource(issuer, self._fetcher, clock)
        self._email = email

    async def verify(self, token: str) -> Identity | None:
        """The account, as an operator; None where the token is of another issuer.

        Raises:
            RefusedError: It is not good, or of another account.
            KeysUnavailableError: The issuer does not answer.
        """
        if len(token) > LONGEST_TOKEN or token.count(".") != 2:  # noqa: PLR2004 - of a JWT
            return None
        if issuer_of(token) != self._source.issuer.issuer:
            return None
        claims, _ = await proven_claims(token, self._source)
        if claims.get("email") != self._email or claims.get("email_verified") is not True:
            raise RefusedError(Reason.WRONG_ACCOUNT)
        subject = f"service_account:{self._email}"
        return Identity("", "", frozenset({Scope.OPERATOR}), subject, "jwt")

    async def settle(self) -> None:
        """Return when no keys are being fetched: for a process that is frozen afterwards."""
        await self._source.settle()

    async def close(self) -> None:
        """End what is under way."""
        await self._source.close()
        await self._fetcher.close()


def make_scheduler(settings: Settings) -> ServiceAccount | None:
    """The account of the settings; None where there is none."""
    email, audience = settings.tasks_service_account, settings.tasks_audience
    if email is None or audience is None:
        return None
    return ServiceAccount(TrustedIssuer(issuer=settings.tasks_issuer, audience=audience), email)


class SchedulerRequirement(Requirement):
    """As that of operators; the service account of the settings has it without a scope."""

    async def __call__(self, request: Request) -> Identity:
        """The identity of the caller."""
        account = service_of(request).scheduler
        if account is not None:
            with told_refusals():
                identity = await account.verify(credential_of(request))
            if identity is not None:
                request.scope[IDENTITY] = identity
                return identity
        return await super().__call__(request)


_MAY: Final = SchedulerRequirement(frozenset({Scope.OPERATOR}))
Scheduler = Annotated[Identity, Security(_MAY, scopes=[Scope.OPERATOR.value])]
"""An operator, or the service account that calls tasks."""
