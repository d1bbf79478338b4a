"""Dependencies of routes: the caller's identity, and the scopes that a route needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from headrace.web.auth.identity import Identity, Scope
from headrace.web.problems import ProblemError
from headrace.web.state import service_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def identify(request: Request) -> Identity:
    """The identity of a request.

    Raises:
        ProblemError: `AUTH_REQUIRED`: no credential, or one that is not accepted.
    """
    kind, _, credential = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not credential:
        raise ProblemError("AUTH_REQUIRED", headers={"WWW-Authenticate": "Bearer"})
    return await service_of(request).verifier.verify(credential)


def requires(*scopes: Scope) -> Callable[[Request], Awaitable[Identity]]:
    """A dependency that gives the identity of a request, if it has all of these scopes."""

    async def identified(request: Request) -> Identity:
        identity = await identify(request)
        if not identity.scopes.issuperset(scopes):
            raise ProblemError("FORBIDDEN")
        return identity

    return identified


Reader = Annotated[Identity, Depends(requires(Scope.JOBS_READ))]
Writer = Annotated[Identity, Depends(requires(Scope.JOBS_WRITE))]
TenantAdmin = Annotated[Identity, Depends(requires(Scope.TENANT_ADMIN))]
Operator = Annotated[Identity, Depends(requires(Scope.OPERATOR))]
