"""Short ways for tests to read a file, or to see it refused."""

import re

import pytest

from headrace.pipelines.documents.parsing import Parsed, ParseLimits, kind_of, parse


def read(data: bytes, name: str = "", **limits: int) -> Parsed:
    """As a caller does: find out the kind, then parse."""
    chosen = ParseLimits(**limits)
    return parse(data, kind_of(data, name, chosen), chosen)


def refused(data: bytes, error: type[Exception], message: str, **limits: int) -> None:
    """Check that a file is refused with this error and these words."""
    with pytest.raises(error, match=re.escape(message)):
        read(data, **limits)
