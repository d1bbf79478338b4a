"""A PostgreSQL of the project's own, for those who name no database."""

from headrace.store.embedded.database import EmbeddedDatabase

__all__ = ["EmbeddedDatabase"]
