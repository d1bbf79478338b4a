"""What the routes of one process share: `request.app.state.service`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from starlette.requests import Request

    from headrace.app import Headrace
    from headrace.pipelines.consensus import Reviews
    from headrace.settings import Settings
    from headrace.web.auth.identity import Identity
    from headrace.web.auth.schedulers import ServiceAccount
    from headrace.web.events.hub import Hub
    from headrace.web.library import Documents
    from headrace.web.push.desk import Desk
    from headrace.web.rates import TenantRates
    from headrace.web.service.monitor import Monitor
    from headrace.web.submitting import Submissions
    from headrace.web.wall import Wall


CONNECTION_WAIT_S: Final = 5.0
"""A request that waits longer for a connection is told to come again: the database is too slow."""


class Verifier(Protocol):
    """Tells whose a bearer credential is."""

    async def verify(self, credential: str) -> Identity:
        """The identity that a credential proves.

        Raises:
            ProblemError: `AUTH_REQUIRED`: it proves none. `UNAVAILABLE`: nobody can tell.
        """

    async def close(self) -> None:
        """End what is under way."""


@dataclass(slots=True)
class Service:
    """The parts of the HTTP room, made by `create_api`."""

    app: Headrace
    settings: Settings
    verifier: Verifier
    wall: Wall
    submissions: Submissions
    hub: Hub
    monitor: Monitor
    documents: Documents | None = None
    """Where the app carries them."""
    reviews: Reviews | None = None
    """Where the app carries them."""
    scheduler: ServiceAccount | None = None
    """Who may have tasks done besides operators, where the settings name one."""
    rates: TenantRates | None = None
    """Where tenants have limits."""
    desk: Desk | None = None
    """Where messages are pushed here."""
    pusher: ServiceAccount | None = None
    """Who may push them."""


def service_of(request: Request) -> Service:
    """The parts that the routes share."""
    return cast("Service", request.app.state.service)
