"""A pipeline whose steps run in processes, and do there what steps do on bad days."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace import (
    CancelJob,
    PermanentError,
    Pipeline,
    Retry,
    RetryAfter,
    Skip,
    SyncContext,
    Use,
    UserError,
)

MIB = 1 << 20


@dataclass
class Order:
    """The input of every step here; `place` is a folder for what a step shows of itself."""

    place: str = ""
    amount: int = 0
    word: str = ""


@dataclass
class Receipt:
    pid: int
    words: list[str]


class Opened:
    """A client that says where it was opened and closed."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.calls = 0


@contextmanager
def client() -> Iterator[Opened]:
    opened = Opened()
    yield opened
    folder = os.environ.get("PROCESS_APP_PLACE")
    if folder:
        (Path(folder) / f"closed-{opened.pid}").touch()


async def async_client() -> Opened:
    return Opened()


class Unpicklable:
    def __reduce__(self) -> str:
        raise TypeError("this is never pickled")


def show(order: Order, name: str, text: str = "") -> None:
    """Write a file at once."""
    draft = Path(order.place, f"{name}.draft")
    draft.write_text(text, encoding="ascii")
    draft.rename(Path(order.place, name))


steps = Pipeline("steps", input=Order, output=Receipt)
other = Pipeline("other", input=Order, output=int)


@other.step
def single(order: Order) -> int:
    return order.amount


@steps.step(runs_in="process")
def typed(order: Order) -> Receipt:
    return Receipt(os.getpid(), [order.word, str(order.amount)])


@steps.step(runs_in="process")
def second(typed: Receipt) -> str:
    return " ".join(typed.words)


@steps.step(runs_in="process", timeout=0.3)
def endless(order: Order) -> int:
    show(order, "started", str(os.getpid()))
    while True:
        time.sleep(0.01)


@steps.step(runs_in="process")
def obedient(order: Order, ctx: SyncContext) -> str:
    show(order, "started")
    while not ctx.cancelled:
        time.sleep(0.01)
    return "stopped when it was told"


@steps.step(runs_in="process", memory=64)
def hog(order: Order) -> int:
    return len(bytearray(order.amount * MIB))


@steps.step(runs_in="process", memory=64)
def careless(order: Order) -> int:
    """Code that does not check what malloc gave it."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    parts = []
    for _ in range(order.amount):
        part = libc.malloc(MIB)
        ctypes.memset(part or 1, 1, MIB)
        parts.append(part)
    return len(parts)


@steps.step(runs_in="process")
def dies(order: Order) -> int:
    if order.word == "segfault":
        ctypes.string_at(0)
    if order.word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if order.word == "deaf":
        os.closerange(3, 1_000)
        time.sleep(60)
    os._exit(order.amount)


@steps.step(runs_in="process", retry=Retry(unless=(KeyError,)))
def raises(order: Order) -> Receipt | None:
    if order.word == "odd":
        raise ExceptionGroup("odd", [RuntimeError("\ud800 \0")])
    if order.word == "nameless":
        raise NamelessError
    raise {
        "permanent": PermanentError("no"),
        "user": UserError("say this"),
        "later": RetryAfter(7, "busy"),
        "skip": Skip("not needed"),
        "cancel": CancelJob("enough"),
        "unless": KeyError("gone"),
        "connection": ConnectionResetError("cut"),
        "exit": SystemExit(3),
        "else": RuntimeError("broken"),
    }[order.word]


class NamelessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@steps.step(runs_in="process")
def wrong_type(order: Order) -> int:
    return order.word  # type: ignore[return-value]


@steps.step(runs_in="process")
def unpicklable(order: Order) -> str:
    if order.word:
        raise RuntimeError(Unpicklable(), threading.Lock())
    return type(Unpicklable()).__name__


@steps.step(runs_in="process")
def huge(order: Order) -> str:
    return "x" * order.amount


@steps.step(runs_in="process")
def recorded(order: Order, ctx: SyncContext) -> int:
    def expensive(amount: int) -> int:
        with Path(order.place, "expensive").open("a", encoding="ascii") as effects:
            effects.write("x")
        return amount * 2

    return ctx.once("expensive", expensive, order.amount)


@steps.step(runs_in="process")
def twice(ctx: SyncContext) -> int:
    def one() -> int:
        return 1

    return ctx.once("one", one) + ctx.once("one", one)


@steps.step(runs_in="process")
def reports(order: Order, ctx: SyncContext) -> list[str]:
    ctx.progress(1, 3, "begun")
    show(order, "started")
    while not Path(order.place, "seen").exists():
        time.sleep(0.01)
    ctx.log.warning("half done", password=order.word, amount=order.amount)
    facts = (ctx.job_id, ctx.run, ctx.attempt, ctx.item, ctx.tenant, ctx.owner, ctx.preset)
    limit = 0 < ctx.remaining().total_seconds() < 300
    return [*map(str, facts), str(dict(ctx.parameters)), ctx.idempotency_key, str(limit)]


@steps.step(runs_in="process")
def submits(order: Order, ctx: SyncContext) -> str:
    return ctx.submit(other, Order(amount=order.amount), key="child", priority=7).id


@steps.step(runs_in="process")
def submits_unknown(ctx: SyncContext) -> str:
    return ctx.submit(Pipeline("unknown", input=int, output=int), 1).id


@steps.step(runs_in="process")
def uses(one: Opened = Use(client), two: Opened = Use(async_client)) -> list[int]:
    one.calls += 1
    return [one.pid, one.calls, two.pid]


@steps.step(runs_in="process")
def leaves(order: Order) -> int:
    if order.word == "thread":
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        return os.getpid()
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    return program.pid


@steps.step(runs_in="process")
def spawns(order: Order) -> int:
    """Starts programs, one in the group and one that has left it, and waits to be killed."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    programs = [subprocess.Popen(command, start_new_session=away) for away in (False, True)]
    pids = [os.getpid(), *(program.pid for program in programs)]
    show(order, "pids", " ".join(map(str, pids)))
    while True:
        time.sleep(0.01)
