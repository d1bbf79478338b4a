"""/v1/admin: what operators see and do across all tenants. Off unless HEADRACE_ADMIN_API is true.

Each call takes a reason and leaves a row in `headrace.admin_audit`: who, what, why, before, after.
"""

from headrace.web.routes.admin import (
    api_keys,
    audit,
    breakers,
    dead_letters,
    inbox_sources,
    jobs,
    locks,
    operations,
    quarantine,
    queues,
    quotas,
    rates,
    retention,
    schedules,
    tenants,
    workers,
)

ADMIN = (
    *(jobs, dead_letters, queues, workers, api_keys, rates, quotas, retention),
    *(tenants, breakers, locks, inbox_sources, quarantine, operations, schedules, audit),
)
"""Modules with a `router`."""
