"""The codec of a type that is stored, or the error that says why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ForwardRef

from headrace.model.annotations import members, origin_of, parts, vagueness
from headrace.model.codec import TypeNotStorableError, codec_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.model.annotations import Annotation
    from headrace.model.codec import Codec
    from headrace.model.site import Site


def storable(annotation: Annotation, site: Site, what: str) -> Codec[Any]:
    """The codec of a type that is stored.

    Args:
        annotation: The type.
        site: For errors.
        what: What has the type, as "the output".

    Raises:
        DefinitionError: RETURN_VAGUE or TYPE_NOT_STORABLE.
    """
    vague = vagueness(annotation)
    if vague is not None:
        raise site.error("RETURN_VAGUE", f"{what}: {vague}; write the type in full")
    if any(part is type or origin_of(part) is type for part in parts(annotation)):
        raise site.error("TYPE_NOT_STORABLE", f"{what}: a class has no JSON form; store its name")
    try:
        # pydantic lets a union be that has one member with a JSON form
        for member in _union_members(annotation):
            codec_for(member)
        return codec_for(annotation)
    except TypeNotStorableError as error:
        raise site.error("TYPE_NOT_STORABLE", f"{what}: {error}") from error


def _union_members(annotation: Annotation) -> Iterator[Annotation]:
    """The members of each union in a type, except those that name a type by a text."""
    for part in parts(annotation):
        options = members(part)
        for option in options if len(options) > 1 else ():
            if not any(isinstance(inner, str | ForwardRef) for inner in parts(option)):
                yield option
