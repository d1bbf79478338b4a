"""What an API says that it can do, and what it can do: the tests of every route begin here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from headrace.web.auth.identity import Scope

NO_ROUTES = {"/openapi.json", "/docs", "/docs/oauth2-redirect"}
"""What tells of the API itself."""


@dataclass(frozen=True)
class Operation:
    """A method of a path, as the OpenAPI document tells it."""

    method: str
    path: str
    scopes: frozenset[Scope] | None
    """None where it asks for no credential."""
    names: tuple[str, ...]
    """The parameters in the path."""
    body: Any
    """A body that fits; None where it takes none."""
    media_type: str
    tag: str
    told: Mapping[str, Any] = field(compare=False, repr=False)
    """All that the document tells of it."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def parameters(self, where: str) -> list[str]:
        """The names of the parameters in `path`, `query` or `header`."""
        return [one["name"] for one in self.told.get("parameters", ()) if one["in"] == where]

    def takes(self, name: str, document: Mapping[str, Any]) -> bool:
        """Whether its body has such a member."""
        form = self.told["requestBody"]["content"][self.media_type]
        return name in resolved(form["schema"], document).get("properties", ())

    def place(self, **values: object) -> str:
        """The path with these values of its parameters."""
        return self.path.format(**values)


def operations(document: dict[str, Any]) -> list[Operation]:
    """Every operation of an OpenAPI document, in its order."""
    return [
        _operation(document, method.upper(), path, told)
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]


def _operation(document: dict[str, Any], method: str, path: str, told: dict[str, Any]) -> Operation:
    required = told.get("security")
    content = told.get("requestBody", {}).get("content", {})
    media_type, form = next(iter(content.items()), ("", {}))
    return Operation(
        method=method,
        path=path,
        scopes=None if required is None else frozenset(Scope(name) for name in _scopes(required)),
        names=tuple(re.findall(r"{(\w+)}", path)),
        body=_example(form["schema"], document) if form else None,
        media_type=media_type,
        tag=told["tags"][0],
        told=told,
    )


def _scopes(required: list[dict[str, list[str]]]) -> Iterator[str]:
    for alternative in required:
        for names in alternative.values():
            yield from names


def _example(schema: dict[str, Any], document: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """The first example of a schema, else one that is made of its required members."""
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            return _example(document["components"]["schemas"][name], document)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if schema.get("type") == "object":
        members = schema.get("properties", {})
        return {name: _example(members[name], document) for name in schema.get("required", ())}
    return {"string": "text", "integer": 1, "boolean": True, "array": []}.get(
        schema.get("type", "")
    )


def resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a schema refers to, also as one of several."""
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            found: Mapping[str, Any] = document["components"]["schemas"][
                part["$ref"].rpartition("/")[2]
            ]
            return found
    return schema


def routes(api: FastAPI) -> set[tuple[str, str]]:
    """Every method and path that an application answers."""
    return {
        (method, context.path)
        for context in iter_route_contexts(api.routes)
        if context.path is not None and context.path not in NO_ROUTES
        for method in context.methods or {"any method"}
    }
