"""What can go wrong in a benchmark without ending it."""


class BenchError(Exception):
    """A subject cannot be measured, or a run of it failed; reported in the table."""
