"""Pipelines of steps in processes, for a worker that runs them as jobs."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

from headrace import Each, Pipeline, Retry, Signal, SyncContext

squares = Pipeline("squares", input=int, output=int)
children = Pipeline("children", input=str, output=str)
answering = Pipeline("answering", input=list[int], output=list[int])
asking = Pipeline("asking", input=str, output=str)
bad = Pipeline("bad", input=str, output=str)
slow = Pipeline("slow", input=str, output=str)
patient = Pipeline("patient", input=str, output=str)


@squares.step(runs_in="process")
def spread(upto: int) -> list[int]:
    return list(range(upto))


@squares.step(runs_in="process", parallel=2, memory=256)
def square(number: int = Each(spread)) -> int:
    return number * number


@squares.step(runs_in="process")
def add(square: list[int], ctx: SyncContext) -> int:
    def total() -> int:
        return sum(square)

    return ctx.once("total", total)


@children.step(runs_in="process")
def parent(name: str, ctx: SyncContext) -> str:
    return ctx.submit(squares, 4).id if name == "parent" else name


@answering.step(runs_in="process")
def answer(numbers: list[int], ctx: SyncContext) -> list[bool]:
    return [ctx.send("total", number) for number in numbers]


@answering.step
def take(answer: list[bool], total: int = Signal()) -> list[int]:
    return [total, *map(int, answer)]


@asking.step(runs_in="process")
def ask(title: str, ctx: SyncContext) -> str:
    return ctx.signal_url("approval", valid=timedelta(hours=1), title=title)


@asking.step
def decide(ask: str, *, approval: bool = Signal(timeout=2)) -> str | None:
    return ask if approval else None


@bad.step(runs_in="process", retry=Retry(attempts=1), memory=64)
def misbehave(how: str, ctx: SyncContext) -> str:
    if how == "lock":
        with ctx.lock("repo:42"):
            return how
    if how == "exit":
        os._exit(9)
    if how == "hog":
        return str(len(bytearray(1 << 30)))
    return how


@slow.step(runs_in="process", timeout=0.2, retry=Retry(attempts=1))
def oversleep(how: str) -> str:
    while how:
        time.sleep(0.01)
    return how


@patient.step(runs_in="process")
def wait(folder: str) -> str:
    draft = Path(folder, "pid.draft")
    draft.write_text(str(os.getpid()), encoding="ascii")
    draft.rename(Path(folder, "pid"))
    while True:
        time.sleep(0.01)
