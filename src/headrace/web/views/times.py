"""Times in requests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def in_utc(time: datetime) -> datetime:
    """The same time in UTC.

    Raises:
        ValueError: In UTC it is before the year 1 or after the year 9999.
    """
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is before the year 1 or after the year 9999") from None


Time = Annotated[AwareDatetime, AfterValidator(in_utc)]
"""A time with its zone."""
