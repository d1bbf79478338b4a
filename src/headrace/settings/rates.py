"""The settings of how often may be asked."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from headrace.settings.kinds import per_minute, per_tenant


class RateSettings(BaseSettings):
    """Requests in a minute, of addresses and of tenants; a part of `Settings`."""

    rate_submit: int = per_minute(30, "Submissions of one address in a minute; 0: any number.")
    rate_status: int = per_minute(60, "Questions of one address about single jobs in a minute.")
    rate_health: int = per_minute(1_000, "Calls of one address to /health and /ready in a minute.")
    rate_other: int = per_minute(100, "Other requests of one address in a minute.")
    rate_tenant_costly: int = per_tenant(
        10, "Submissions of one tenant in a minute to pipelines that are marked as costly."
    )
    rate_tenant_writes: int = per_tenant(
        60, "Writing requests of one tenant in a minute, in all processes; 0: any number."
    )
    rate_tenant_reads: int = per_tenant(
        300, "Reading requests of one tenant in a minute, in all processes."
    )
