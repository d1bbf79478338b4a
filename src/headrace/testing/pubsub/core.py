"""The server itself, in its own event loop."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Coroutine
from typing import Any, Final

import grpc

from headrace.testing.pubsub.calls import Calls
from headrace.testing.pubsub.certificates import Certificates
from headrace.testing.pubsub.doorway import HOST, Doorway
from headrace.testing.pubsub.exchange import Exchange
from headrace.testing.pubsub.faults import Call, CloseStreams, Fail, Slow
from headrace.testing.pubsub.injection import Faults, Injection
from headrace.testing.pubsub.pushing import Pushing
from headrace.testing.pubsub.refusal import Code, RefusedError
from headrace.testing.pubsub.stream import Stream
from headrace.testing.pubsub.subscribing import Subscribing
from headrace.testing.pubsub.tokens import Tokens

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 << 20),  # what is too large is refused with a reason
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.max_ping_strikes", 0),  # Google's clients ping idle streams; never hang up on that
    ("grpc.so_reuseport", 0),
)
_GRACE_S: Final = 1.0


class Core:
    """All parts of a server; used in its own thread alone.

    Attributes:
        exchange: Its topics and subscriptions.
        subscribing: What answers the calls of subscribers.
        calls: What answers gRPC.
        doorway: What clients connect to.
        certificates: What serves the keys of push tokens.
        tokens: What signs them.
        faults: Those in force.
        pushing: What pushes.
    """

    def __init__(self, *, port: int, seed: int, least_ack_deadline_s: int) -> None:
        """A server that does not listen."""
        self.faults, self.tokens = Faults(seed), Tokens()
        numbers = itertools.count(time.time_ns() // 1_000)  # as long as Google's, and not used yet
        self.exchange = Exchange(self.faults, numbers, least_ack_deadline_s)
        self.pushing = Pushing(self.tokens, self._spawn)
        self.subscribing = Subscribing(self.exchange, self.pushing)
        self.calls = Calls(self.exchange, self.subscribing)
        self.doorway = Doorway(port, self._spawn)
        self.certificates = Certificates(self._keys)
        self._group: asyncio.TaskGroup | None = None
        self._grpc: Any = None
        self._closers: dict[Injection, asyncio.Task[None]] = {}

    async def live(self, ready: asyncio.Event, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        async with asyncio.TaskGroup() as self._group:
            try:
                await self.certificates.start()
                await self.up()
                ready.set()
                await stop.wait()
            finally:
                await self.down()
                await self.certificates.stop()
                for task in self._closers.values():
                    task.cancel()

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        if self._group is None:
            work.close()
            raise RuntimeError("the server does not live")
        return self._group.create_task(work)

    @property
    def is_up(self) -> bool:
        """Whether it listens."""
        return self._grpc is not None

    async def up(self) -> None:
        """Listen, and push; nothing happens when it does."""
        if self.is_up:
            return
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers(self.calls.handlers())
        inner = server.add_insecure_port(f"{HOST}:0")
        await server.start()
        self._grpc = server
        await self.doorway.open(inner)
        self.pushing.resume(self.exchange.subscriptions.values())

    async def down(self, *, gently: bool = False) -> None:
        """Listen no longer, and end all connections: by RST, or gently by GOAWAY first."""
        self.pushing.stop()
        server, self._grpc = self._grpc, None
        if not gently:
            self.doorway.close()
        if server is not None:
            await server.stop(_GRACE_S if gently else None)
        self.doorway.close()

    async def inject(self, injection: Injection) -> None:
        """Put a fault in force."""
        self.faults.add(injection)
        if isinstance(injection.fault, CloseStreams):
            self._closers[injection] = self._spawn(self._close_again(injection, injection.fault))

    async def remove(self, injection: Injection) -> None:
        """Take a fault out of force."""
        if not self.faults.remove(injection):
            return
        if injection in self._closers:
            self._closers.pop(injection).cancel()
        self.exchange.wake_all()

    async def _close_again(self, injection: Injection, fault: CloseStreams) -> None:
        while True:
            await asyncio.sleep(fault.every.total_seconds())
            injection.count += self.close_streams(fault.code, injection)

    def close_streams(self, code: Code | None, injection: Injection | None = None) -> int:
        """Close all streams, or those that a fault is for; how many there were."""
        streams = [
            consumer
            for subscription in self.exchange.subscriptions.values()
            if injection is None or injection.concerns(subscription.name)
            for consumer in subscription.consumers
            if isinstance(consumer, Stream)
        ]
        for stream in streams:
            stream.close(None if code is None else RefusedError(code, "The stream is closed."))
        return len(streams)

    async def _keys(self) -> object | None:
        name = ""
        slow = self.faults.draw(Slow, name, lambda fault: fault.call is Call.CERTIFICATES)
        if slow is not None:
            await asyncio.sleep(slow.by.total_seconds())
        self.calls.counts[Call.CERTIFICATES] += 1
        failure = self.faults.draw(Fail, name, lambda fault: fault.call is Call.CERTIFICATES)
        return None if failure else self.tokens.key_set()
