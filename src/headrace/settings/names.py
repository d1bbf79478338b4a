"""How fields and environment variables are called, and which of them belong together."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "HEADRACE_"
ADDRESS_PARTS: Final = frozenset({"db_host", "db_port", "db_name", "db_user", "db_password"})
"""Any of these fields, or `database_url`, means that there is a database."""


def variable(field: str) -> str:
    """Return the environment variable of a field: `HEADRACE_LEASE_S` for `lease_s`."""
    return PREFIX + field.upper()
