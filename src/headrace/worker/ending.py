"""The end of a process in which something will not stop."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from headrace.telemetry.logs import flush_logs


def end_process(code: int) -> NoReturn:
    """End this process at once, with all that it has said.

    An interpreter that ends in order waits for its threads, and an event loop for its tasks: a
    step that will not stop would keep both for ever.
    """
    flush_logs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
