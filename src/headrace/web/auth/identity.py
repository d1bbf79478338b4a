"""Whose request it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Scope(StrEnum):
    """What an identity may do."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    TENANT_ADMIN = "tenant:admin"
    """Sees and does within its tenant what any owner may."""
    OPERATOR = "operator"
    """Runs the service: what concerns all tenants."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, as a credential proved it; never from a body or a header."""

    tenant: str
    owner: str
    scopes: frozenset[Scope]
    subject: str
    """Who it is, for the audit."""
    kind: Literal["jwt", "api_key"]

    def sees_owner(self) -> str | None:
        """The owner whose things it sees; None, for all of its tenant, with `tenant:admin`."""
        return None if Scope.TENANT_ADMIN in self.scopes else self.owner
