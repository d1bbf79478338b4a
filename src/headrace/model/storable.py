"""The codec of a type that is stored, or the error that says why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.model.annotations import vagueness
from headrace.model.codec import TypeNotStorableError, codec_for

if TYPE_CHECKING:
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
    try:
        return codec_for(annotation)
    except TypeNotStorableError as error:
        raise site.error("TYPE_NOT_STORABLE", f"{what}: {error}") from error
