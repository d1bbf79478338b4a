"""What holds where a setting is not given, as far as that depends on the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.settings.names import ADDRESS_PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

TENANT_RATES: Final = ("rate_tenant_costly", "rate_tenant_writes", "rate_tenant_reads")
"""Of no use to a developer, and off in development."""
THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1")


def usual(given: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults that follow from what is given."""
    address = not (ADDRESS_PARTS | {"database_url"}).isdisjoint(given)
    env = given.get("env", "production" if address else "development")
    pushed = {"pubsub_jobs_per_ring": 1} if given.get("push_audience") else {}
    if env != "development":
        return {"env": env, "log_level": "INFO", **pushed}
    return {
        "env": env,
        **pushed,
        "log_level": "DEBUG",
        "webhook_private_hosts": THIS_MACHINE,
        **dict.fromkeys(TENANT_RATES, 0),
    }
