"""What most views are: the attributes of something under the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel


def taken(view: type[BaseModel], source: object, **others: Any) -> dict[str, Any]:
    """The members of a view.

    Args:
        view: Its model.
        source: Has an attribute for each of its fields, but for those that are given.
        others: The fields that are something else.
    """
    return {
        name: others[name] if name in others else getattr(source, name)
        for name in view.model_fields
    }
