"""`CircuitBreaker`: stops calls to something that is in trouble, in all workers at once."""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload
from weakref import WeakKeyDictionary

from headrace.errors import BreakerOpenError, DefinitionError, HeadraceError, Steering
from headrace.model.duration import Duration, to_timedelta
from headrace.reliability.blocking import ask_loop
from headrace.reliability.breaker_call import Passage, enter
from headrace.reliability.breaker_view import View
from headrace.reliability.outage import is_outage
from headrace.reliability.surroundings import surroundings
from headrace.store.breakers import Key, Rules
from headrace.telemetry.breaker_events import FallbackUsed
from headrace.telemetry.events import emit

if TYPE_CHECKING:
    from datetime import timedelta
    from types import TracebackType

    from headrace.reliability.surroundings import Surroundings
    from headrace.store.breakers import Verdict
    from headrace.store.pool import Pool

P = ParamSpec("P")
T = TypeVar("T")
Counts = (
    type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool] | None
)

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
FAILURES_MOST: Final = 100
SUCCESSES_MOST: Final = 10
LONGEST_S: Final = 3_600.0
VIEWS_MOST: Final = 10_000
"""Tenants of a breaker whose state a process keeps in mind."""


class CircuitBreaker:
    """Stops calls to something that is in trouble, in all workers at once; made at module level.

        openai = CircuitBreaker("openai")

        async with openai:
            answer = await client.ask(question)

    After 5 failures within 60 s it is open: calls raise `BreakerOpenError` at once, and a step that
    lets it out waits without using an attempt. 30 s later one call at a time is tried, in the whole
    fleet; 2 that go well close it, one that fails opens it again.

    In plain functions write `with`. As a decorator, `@openai` or `@openai(fallback=...)`, it guards
    an async or plain function.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int | None = None,
        within: Duration | None = None,
        open_for: Duration | None = None,
        successes: int | None = None,
        probe_timeout: Duration = 30,
        per_tenant: bool = False,
        counts: Counts = None,
    ) -> None:
        """Nothing is asked or stored yet.

        What is left out is as the settings have it (`HEADRACE_BREAKER_...`): 5 failures within 60 s
        open it for 30 s, 2 successes close it.

        Args:
            name: Of what is called, the same in all code that shares it: up to 100 letters, digits,
                dots, dashes and underscores.
            failures: Failures that open it, 1 to 100.
            within: The time within which they happen, 1 to 3,600 s.
            open_for: How long it lets no call through, 1 to 3,600 s.
            successes: Calls that go well and close it, 1 to 10.
            probe_timeout: How long a call that is tried keeps others out, 1 to 3,600 s. It is not
                cancelled then, and still counts; write more than what a call takes.
            per_tenant: One for each tenant, in place of one that all share.
            counts: What counts as a failure: exception types, or a function that tells; `is_outage`
                if left out. Steering, errors of headrace and cancelled calls never do.

        Raises:
            DefinitionError: A value is out of its range.
        """
        if not NAME.fullmatch(str(name)):
            raise self._wrong(
                name, f"the name is {name!r}; write up to 100 letters, digits, dots, dashes"
            )
        self.name = name
        given: dict[str, Any] = {
            "failures": self._whole("failures", failures, FAILURES_MOST),
            "within": self._time("within", within),
            "open_for": self._time("open_for", open_for),
            "successes": self._whole("successes", successes, SUCCESSES_MOST),
            "probe_timeout": self._time("probe_timeout", probe_timeout),
        }
        self._given = {name: value for name, value in given.items() if value is not None}
        self._made: tuple[Rules, Rules] | None = None
        self._per_tenant = per_tenant
        self._counts = self._predicate(counts)
        self._views: WeakKeyDictionary[Pool, dict[str, View]] = WeakKeyDictionary()
        self._entered: ContextVar[tuple[tuple[Passage, bool], ...]] = ContextVar(
            f"breaker {name}", default=()
        )

    def __repr__(self) -> str:
        return f"CircuitBreaker({self.name!r})"

    @staticmethod
    def is_outage(error: BaseException) -> bool:
        """Whether an exception says that what was called is away, too slow or failed by itself.

        So do `ConnectionError`, `TimeoutError`, an HTTP status from 500 on and the transport errors
        of httpx, openai, aiohttp, requests and other clients; HTTP 4xx, 429 too, does not.
        """
        return is_outage(error)

    # --- as a context manager ---------------------------------------------------------------------

    async def __aenter__(self) -> None:
        """Let the call through.

        Raises:
            BreakerOpenError: The breaker is open.
            DefinitionError: It is used outside of a step and of `app.primitives(...)`.
        """
        if self._enter_again():
            return
        around = surroundings()
        passage = self._pass(around)
        if passage is None:
            work = self._ask(around)
            passage = await (work if _is_here(around) else _elsewhere(around, work))
        self._push(passage, is_outer=True)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Report what came of the call.

        Raises:
            BreakerOpenError: In a step, in the place of a failure because of which the breaker is
                open: the step waits, and has used no attempt.
        """
        passage = self._pop()
        if passage is None:
            return
        verdict = self._judge(error, passage.around)
        work = passage.leave(verdict, error)
        opened = await (work if _is_here(passage.around) else _elsewhere(passage.around, work))
        if opened is not None:
            raise opened from error

    def __enter__(self) -> None:
        """As `__aenter__`, in plain functions."""
        if self._enter_again():
            return
        around = surroundings()
        _refuse_loop(self)
        passage = self._pass(around) or ask_loop(around.loop, self._ask(around), repr(self))
        self._push(passage, is_outer=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """As `__aexit__`, in plain functions."""
        passage = self._pop()
        if passage is None:
            return
        verdict = self._judge(error, passage.around)
        if passage.probe is None and verdict != "failure":
            return
        opened = ask_loop(passage.around.loop, passage.leave(verdict, error), repr(self))
        if opened is not None:
            raise opened from error

    # --- as a decorator ---------------------------------------------------------------------------

    @overload
    def __call__(self, function: Callable[P, T], /) -> Callable[P, T]: ...

    @overload
    def __call__(
        self, /, *, fallback: Callable[P, T]
    ) -> Callable[[Callable[P, T]], Callable[P, T]]: ...

    def __call__(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        fallback: Callable[..., Any] | None = None,
    ) -> Any:
        """Guard a function: each of its calls is one through the breaker.

        Args:
            function: Async or plain; not a generator.
            fallback: Called with the same arguments, and async where the function is, when the
                breaker is open. That it was is stored with the step and shown with its job.

        Raises:
            DefinitionError: It is no such function.
        """
        if function is None:
            if fallback is None:
                raise self._wrong(self.name, "write @breaker or @breaker(fallback=...)")
            return functools.partial(self._guard, fallback=fallback)
        return self._guard(function, fallback=fallback)

    def _guard(
        self, function: Callable[..., Any], *, fallback: Callable[..., Any] | None
    ) -> Callable[..., Any]:
        self._check_function(function)
        is_async = inspect.iscoroutinefunction(function)
        if fallback is not None and inspect.iscoroutinefunction(fallback) != is_async:
            kind = "async" if is_async else "plain"
            raise self._wrong(
                self.name, f"the fallback of a function that is {kind} is {kind}, too"
            )

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's
            try:
                async with self:
                    return await function(*args, **kwargs)
            except BreakerOpenError as error:
                return await self._instead(error, fallback)(*args, **kwargs)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's
            try:
                with self:
                    return function(*args, **kwargs)
            except BreakerOpenError as error:
                return self._instead(error, fallback)(*args, **kwargs)

        return call_async if is_async else call

    def _check_function(self, function: Callable[..., Any]) -> None:
        if inspect.isclass(function) or not callable(function):
            raise self._wrong(self.name, f"it guards functions, not {function!r}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise self._wrong(
                self.name,
                f"{function.__qualname__} is a generator, which does nothing when it is called: "
                "write `async with` or `with` around what it does",
            )

    def _instead(
        self, error: BreakerOpenError, fallback: Callable[..., Any] | None
    ) -> Callable[..., Any]:
        """The fallback, if there is one for this error; that it is used is kept."""
        if fallback is None or error.name != self.name:
            raise error
        around = surroundings()
        used = getattr(fallback, "__qualname__", repr(fallback))
        if around.annotate is not None:
            around.annotate({f"fallback:{self.name}": used})
        tenant = self._key(around).tenant or None
        emit(FallbackUsed(dependency=self.name, tenant=tenant, fallback=used))
        return fallback

    # --- a call -----------------------------------------------------------------------------------

    def _rules(self, around: Surroundings) -> Rules:
        """What was given, and else what the settings say; put together once for a process's app."""
        usual = around.breaker_rules
        if self._made is None or self._made[0] is not usual:
            self._made = usual, replace(usual, **self._given)
        return self._made[1]

    def _key(self, around: Surroundings) -> Key:
        return Key(self.name, around.tenant if self._per_tenant else "")

    def _pass(self, around: Surroundings) -> Passage | None:
        """Let a call through without asking, where it is known that the breaker is closed."""
        key = self._key(around)
        view = self._views.get(around.pool, {}).get(key.tenant)
        epoch = None if view is None else view.closed_epoch()
        if view is None or epoch is None:
            return None
        return Passage(around, key, self._rules(around), view, epoch)

    async def _ask(self, around: Surroundings) -> Passage:
        key = self._key(around)
        return await enter(around, key, self._rules(around), self._view(around, key))

    def _view(self, around: Surroundings, key: Key) -> View:
        views = self._views.setdefault(around.pool, {})
        view = views.get(key.tenant)
        if view is None:
            if len(views) >= VIEWS_MOST:
                views.pop(next(iter(views))).forget()
            view = views[key.tenant] = View(key, around)
        return view

    def _enter_again(self) -> bool:
        """A call inside of a call is a part of it."""
        entered = self._entered.get()
        if not entered or entered[-1][0].is_over:  # left by the task that started this one
            return False
        self._push(entered[-1][0], is_outer=False)
        return True

    def _push(self, passage: Passage, *, is_outer: bool) -> None:
        self._entered.set((*self._entered.get(), (passage, is_outer)))

    def _pop(self) -> Passage | None:
        """The call that ends here; None where it goes on around this one."""
        entered = self._entered.get()
        if not entered:
            raise RuntimeError(f"{self!r} is left in another task than it was entered in")
        self._entered.set(entered[:-1])
        passage, is_outer = entered[-1]
        if not is_outer:
            return None
        passage.is_over = True
        return passage

    def _judge(self, error: BaseException | None, around: Surroundings) -> Verdict:
        if error is None:
            return "success"
        if isinstance(error, asyncio.CancelledError):
            # The limit of its step, if it has none of its own, is what ends a call that hangs.
            is_late = around.remaining is not None and not around.remaining()
            return "failure" if is_late else "neither"
        if isinstance(error, HeadraceError | Steering) or not isinstance(error, Exception):
            return "neither"
        return "failure" if self._counts(error) else "neither"

    # --- options ----------------------------------------------------------------------------------

    def _wrong(self, name: object, problem: str) -> DefinitionError:
        return DefinitionError(f"CircuitBreaker({name!r})", problem, "BREAKER_INVALID")

    def _whole(self, what: str, given: object, most: int) -> int | None:
        if given is None:
            return None
        if type(given) is not int or not 1 <= given <= most:
            raise self._wrong(self.name, f"{what} is {given!r}; write a whole number, 1 to {most}")
        return given

    def _time(self, what: str, given: Duration | None) -> timedelta | None:
        if given is None:
            return None
        try:
            return to_timedelta(given, what, least=1, most=LONGEST_S)
        except ValueError as error:
            raise self._wrong(self.name, str(error)) from None

    def _predicate(self, counts: Counts) -> Callable[[BaseException], bool]:
        if counts is None:
            return is_outage
        types = counts if isinstance(counts, tuple) else (counts,)
        if all(isinstance(one, type) and issubclass(one, BaseException) for one in types):
            return lambda error: isinstance(error, types)  # type: ignore[arg-type]
        if isinstance(counts, tuple | type) or not callable(counts):
            raise self._wrong(
                self.name, f"counts is {counts!r}; write exception types, or a function"
            )
        return counts


def _is_here(around: Surroundings) -> bool:
    return asyncio.get_running_loop() is around.loop


async def _elsewhere(around: Surroundings, work: Any) -> Any:  # noqa: ANN401 - what it returns
    """Do something on the loop that has the connections, from another loop."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, around.loop))


def _refuse_loop(breaker: CircuitBreaker) -> None:
    """What is plain blocks its thread, where a breaker has to be asked."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise DefinitionError(
        repr(breaker), "in an async function write `async with`, not `with`", "ASYNC_WITH"
    )
