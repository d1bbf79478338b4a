"""What makes a run of the demo a failed one."""


class DemoError(Exception):
    """The run did not go as it must; the text says how."""
