"""The registry of schemas: each by name and version, one of them current.

A new major version breaks what reads the old one, and comes with a path of its own; a minor one
adds; a patch changes no value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from headrace import InvalidError
from headrace.pipelines.consensus.errors import SchemaUnknownError
from headrace.pipelines.consensus.schemas import (
    SCHEMA_VERSION,
    DecisionAggregation,
    ExpandedProposal,
    IdeaInput,
    PersonaReview,
)

_VERSION: Final = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaVersion:
    """A schema in one version.

    Attributes:
        name: As `PersonaReview`.
        version: MAJOR.MINOR.PATCH.
        model: What validates values of it.
        is_current: Whether new values are of this version.
        is_deprecated: Whether it will be removed.
        migration_notes: How values of the version before become values of this one.
        prompt_set_version: The prompts whose answers it was made for; None where no model answers.
    """

    name: str
    version: str
    model: type[BaseModel]
    is_current: bool = True
    is_deprecated: bool = False
    migration_notes: str = ""
    prompt_set_version: str | None = None

    @property
    def version_key(self) -> tuple[int, int, int]:
        """The version as numbers, to compare."""
        return version_key(self.version)

    def json_schema(self) -> dict[str, Any]:
        """The schema for other programs, JSON Schema 2020-12."""
        return self.model.model_json_schema()


class SchemaRegistry:
    """Schemas by name and version."""

    def __init__(self) -> None:
        self._schemas: dict[str, dict[str, SchemaVersion]] = {}

    def add(self, schema: SchemaVersion) -> None:
        """Register a schema.

        Raises:
            InvalidError: The version is none or taken, a deprecated one is to be current, or
                another one is current.
        """
        version_key(schema.version)
        versions = self._schemas.get(schema.name, {})
        if schema.version in versions:
            raise InvalidError(f"{schema.name} {schema.version} is registered already")
        if schema.is_current and schema.is_deprecated:
            raise InvalidError(f"{schema.name} {schema.version} is deprecated, so not current")
        current = [other.version for other in versions.values() if other.is_current]
        if schema.is_current and current:
            raise InvalidError(f"{schema.name} {current[0]} is current; only one can be")
        self._schemas[schema.name] = {**versions, schema.version: schema}

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of their registration."""
        return tuple(self._schemas)

    def versions(self, name: str) -> list[SchemaVersion]:
        """All versions of a schema, the newest first.

        Raises:
            SchemaUnknownError: There is none of this name.
        """
        if name not in self._schemas:
            raise SchemaUnknownError(name, None, self.names)
        found = self._schemas[name].values()
        return sorted(found, key=lambda schema: schema.version_key, reverse=True)

    def find(self, name: str, version: str | None = None) -> SchemaVersion:
        """A schema: in one version, or the current one.

        Raises:
            SchemaUnknownError: There is none of this name, or none in this version.
        """
        versions = self.versions(name)
        for schema in versions:
            if schema.version == version or (version is None and schema.is_current):
                return schema
        raise SchemaUnknownError(name, version, tuple(str(other.version) for other in versions))

    def all(self) -> list[SchemaVersion]:
        """All versions of all schemas."""
        return [schema for name in self.names for schema in self.versions(name)]


def version_key(version: str) -> tuple[int, int, int]:
    """MAJOR.MINOR.PATCH as numbers.

    Raises:
        InvalidError: It is no such version.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise InvalidError(f"{version!r} is no MAJOR.MINOR.PATCH, as 1.0.0")
    major, minor, patch = map(int, match.groups())
    return major, minor, patch


def shipped_schemas() -> SchemaRegistry:
    """The schemas of this pipeline."""
    registry = SchemaRegistry()
    for model, prompts in (
        (IdeaInput, None),
        (ExpandedProposal, "1.0.0"),
        (PersonaReview, "1.0.0"),
        (DecisionAggregation, None),
    ):
        registry.add(
            SchemaVersion(
                name=model.__name__,
                version=SCHEMA_VERSION,
                model=model,
                migration_notes="The first version.",
                prompt_set_version=prompts,
            )
        )
    return registry


SCHEMAS: Final = shipped_schemas()
"""The schemas of the pipeline; others may be added, as that of a job's view."""
