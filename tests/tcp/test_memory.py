"""Memory of an idle connection and of one in TIME_WAIT, in bytes as tracemalloc counts them."""

from __future__ import annotations

import gc
import tracemalloc

from nodes.tcp.connection import Connection, State
from nodes.tcp.time_wait import TimeWait
from nodes.wire.tcp import ACK, FIN
from tests.tcp.two_ends import Ledger, Scripted

COUNT = 200


def bytes_each(before: int) -> float:
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / COUNT


def established() -> Connection:
    """A connection that a peer opened, with every option, idle."""
    return Scripted(Ledger()).open().connection


def test_an_idle_connection_is_small_and_one_in_time_wait_tiny() -> None:
    established()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        idle = [established() for _ in range(COUNT)]
        assert bytes_each(before) < 7000  # 10,000 of them in 70 MB
        assert all(each.state is State.ESTABLISHED for each in idle)
        del idle
        before = tracemalloc.get_traced_memory()[0]
        waiting = [time_wait() for _ in range(COUNT)]
        assert bytes_each(before) < 400
        assert all(each.state is State.TIME_WAIT for each in waiting)
    finally:
        tracemalloc.stop()


def time_wait() -> TimeWait:
    """What its owner keeps of a connection that closed first."""
    peer = Scripted(Ledger()).open()
    peer.connection.close(peer.now)
    peer.sent()
    peer.get(1, 2, flags=FIN | ACK)
    assert len(peer.sent()) == 1
    return peer.connection.retire(peer.now)
