from __future__ import annotations

import socket
import struct

import pytest

from headrace.testing.pubsub import Code, PubSubServer
from tests.pubsub.conformance.site import ack_ids_of, data_of, outcome
from tests.pubsub.server.conftest import Bench


def port_of(server: PubSubServer) -> int:
    return int(server.address.rpartition(":")[2])


def read_all(client: socket.socket) -> None:
    while client.recv(1_024):
        pass


class TestRestart:
    def test_what_waited_is_there_at_the_same_address(self, bench: Bench) -> None:
        bench.subscribe()
        bench.publish(b"x")
        address = bench.server.address
        bench.server.restart()
        assert bench.server.address == address
        assert bench.collect() == [b"x"]

    def test_what_somebody_had_can_be_acknowledged_afterwards(self, bench: Bench) -> None:
        bench.subscribe()
        bench.publish(b"x")
        ids = ack_ids_of(bench.site.collect(bench.subscription))
        bench.server.restart()
        bench.site.acknowledge(bench.subscription, *ids)
        assert bench.server.backlog("jobs-sub") == 0

    def test_all_is_gone_when_the_state_is_lost(self, bench: Bench) -> None:
        bench.subscribe()
        before = bench.publish(b"x")
        bench.server.restart(lose_state=True)
        assert outcome(bench.pull) == "NOT_FOUND"
        bench.subscribe()
        assert bench.publish(b"x") != before

    def test_a_stream_ends_with_what_clients_try_again_after(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.stream() as stream:
            bench.publish(b"x")
            assert stream.collect()
            bench.server.restart()
            assert stream.end() == "UNAVAILABLE"

    def test_a_gentle_one_lets_a_call_end(self, bench: Bench) -> None:
        bench.subscribe()
        bench.server.restart(gently=True)
        assert outcome(bench.pull) == "OK"


class TestOutage:
    def test_connections_are_refused_until_it_is_over(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.server.outage(), pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port_of(bench.server)), timeout=5)
        bench.publish(b"x")
        assert bench.collect() == [b"x"]

    def test_messages_can_be_looked_at_meanwhile(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.server.outage():
            bench.publish(b"x")
            assert bench.server.backlog("jobs-sub") == 1


class TestConnections:
    def test_a_reset_reaches_the_client_as_one(self, server: PubSubServer) -> None:
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=5) as client:
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">IBI", 4, 0, 0)[1:])
            assert client.recv(9)  # the server's own settings: it is connected
            assert server.reset_connections() == 1
            with pytest.raises(ConnectionResetError):
                read_all(client)

    def test_streams_can_be_opened_again_after_a_reset(self, bench: Bench) -> None:
        bench.subscribe()
        bench.publish(b"x")
        with bench.stream() as stream:
            assert stream.collect()
            bench.server.reset_connections()
            assert stream.end() == "UNAVAILABLE"
        bench.wait_for_streams(0)
        bench.server.expire_leases("jobs-sub")
        with bench.stream() as stream:
            assert data_of(stream.collect()) == [b"x"]

    def test_nothing_passes_a_frozen_one_until_it_thaws(self, bench: Bench) -> None:
        bench.subscribe()
        with bench.stream() as stream:
            bench.publish(b"first")
            assert stream.collect()
            with bench.server.frozen():
                bench.publish(b"x")
                assert stream.collect(within=0.2) == []
                assert stream.end(within=0) == "open"
            assert data_of(stream.collect()) == [b"x"]


class TestCloseStreams:
    @pytest.mark.parametrize(("code", "end"), [(Code.PERMISSION_DENIED,) * 2, (None, "OK")])
    def test_the_client_is_told_what_was_asked_for(
        self, bench: Bench, code: Code | None, end: str
    ) -> None:
        bench.subscribe()
        bench.publish(b"x")
        with bench.stream() as stream:
            assert stream.collect()
            assert bench.server.close_streams(code) == 1
            assert stream.end() == end
