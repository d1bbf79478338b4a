"""An app whose import starts a thread, as drivers and metrics libraries do."""

from __future__ import annotations

import os
import threading

from headrace import Pipeline
from tests.worker.process_app import Order

threading.Thread(target=threading.Event().wait, daemon=True).start()

threaded = Pipeline("threaded", input=Order, output=list[int])


@threaded.step(runs_in="process")
def count(order: Order) -> list[int]:
    return [order.amount, os.getpid(), threading.active_count()]
