"""Dependencies of routes: the caller's identity, and the scopes that a route needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from headrace.telemetry.events import emit
from headrace.telemetry.identity_events import CredentialRefused
from headrace.web.auth.identity import Identity, Scope
from headrace.web.auth.refusal import Reason
from headrace.web.gate.envelope import HEADERS, IDENTITY
from headrace.web.problems import ProblemError
from headrace.web.state import service_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.store.rates import Kind

AUTHORIZATION: Final = b"authorization"
CHALLENGE: Final = 'Bearer realm="headrace"'


async def identify(request: Request) -> Identity:
    """The identity of a request; asked again it costs nothing.

    Raises:
        ProblemError: `AUTH_REQUIRED`: no credential, or one that is not accepted. `UNAVAILABLE`:
            nobody can tell whether it is good.
        DatabaseUnavailableError: The database does not answer.
    """
    scope = request.scope
    known: Identity | None = scope.get(IDENTITY)
    if known is None:
        credential = credential_of(request)
        known = scope[IDENTITY] = await service_of(request).verifier.verify(credential)
    return known


def credential_of(request: Request) -> str:
    """What stands in the one place where a credential may be.

    Raises:
        ProblemError: `AUTH_REQUIRED`: nothing, or something else.
    """
    scope = request.scope
    given: bytes | None = scope[HEADERS].get(AUTHORIZATION)
    kind, _, credential = (given or b"").decode("latin-1").partition(" ")
    is_one = len(scope[HEADERS]) == len(scope["headers"]) or (
        sum(name == AUTHORIZATION for name, _ in scope["headers"]) == 1
    )
    if kind.lower() != "bearer" or not credential or not is_one:
        emit(CredentialRefused(reason=Reason.MISSING if given is None else Reason.NOT_BEARER))
        advice = "send one header `Authorization: Bearer ...`, with an API key or a token"
        raise ProblemError("AUTH_REQUIRED", advice, headers={"WWW-Authenticate": CHALLENGE})
    return credential


class Requirement(SecurityBase):
    """A dependency that gives the identity of a request, if it has all the scopes that it needs.

    It also counts the request for its tenant, where tenants have limits.
    """

    scheme_name = "bearer"
    model = HTTPBearer(
        bearerFormat="JWT, or an API key `hr_...`",
        description="A token of a trusted identity provider, or an API key of "
        "`headrace api-keys create`.",
    )

    def __init__(self, scopes: frozenset[Scope]) -> None:
        self.scopes = scopes
        self._kind = _kind_of(scopes)
        names = " ".join(sorted(scopes))
        self._headers: Mapping[str, str] = {
            "WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{names}"'
        }

    async def __call__(self, request: Request) -> Identity:
        """The identity of the caller."""
        identity = await identify(request)
        if not identity.scopes >= self.scopes:
            missing = ", ".join(sorted(self.scopes - identity.scopes))
            raise ProblemError("FORBIDDEN", f"it takes the scope {missing}", headers=self._headers)
        rates = service_of(request).rates
        if rates is not None:
            kind = self._kind
            if kind is None and Scope.TENANT_ADMIN in self.scopes:
                kind = "reads" if request.method == "GET" else "writes"
            if kind is not None:
                await rates.spend(identity.tenant, kind)
        return identity


def _kind_of(scopes: frozenset[Scope]) -> Kind | None:
    """As what a request counts for its tenant, by its scopes; what operators do counts not."""
    if Scope.JOBS_WRITE in scopes:
        return "writes"
    return "reads" if Scope.JOBS_READ in scopes else None


def requires(*scopes: Scope) -> Requirement:
    """A dependency that gives the identity of a request, if it has all of these scopes.

    In the parameters of a route `Security(requires(...), scopes=[...])` shows them in the document.
    """
    return Requirement(frozenset(scopes))


operates: Final = requires(Scope.OPERATOR)
"""For a part of a route that is for operators alone: call it with the request."""
Caller = Annotated[Identity, Security(requires())]
"""Anybody with a credential."""
Reader = Annotated[Identity, Security(requires(Scope.JOBS_READ), scopes=[Scope.JOBS_READ.value])]
Writer = Annotated[Identity, Security(requires(Scope.JOBS_WRITE), scopes=[Scope.JOBS_WRITE.value])]
TenantAdmin = Annotated[
    Identity, Security(requires(Scope.TENANT_ADMIN), scopes=[Scope.TENANT_ADMIN.value])
]
Operator = Annotated[Identity, Security(requires(Scope.OPERATOR), scopes=[Scope.OPERATOR.value])]
