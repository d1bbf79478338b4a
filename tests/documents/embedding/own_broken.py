"""A module of a user's own that cannot be imported."""

import no_such_module  # noqa: F401 - not there
