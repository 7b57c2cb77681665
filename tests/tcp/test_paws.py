"""PAWS with a peer whose SYN has a TSval of 0: any later TSval is accepted (tcp_paws_check)."""

from __future__ import annotations

import pytest

from nodes.tcp.connection import Connection, State
from nodes.tcp.netns import TcpNetns
from nodes.tcp.segment import Segment
from nodes.tcp.time_wait import TimeWait, TimewaitTcb
from nodes.wire.tcp import ACK, SYN, TcpHeader
from tests.tcp.two_ends import CONFIG, Ledger

LATER = 0x90000000  # before 0 in modular order


def segment(ledger: Ledger, seq: int, value: int, data: bytes = b"") -> Segment:
    header = TcpHeader(9, 80, seq, 2, ACK, 65535)
    header.ts_val, header.ts_ecr = value, 50_000
    return Segment(header, ledger.payload(data) if data else None)


def opened(ledger: Ledger, value: int) -> Connection:
    syn = TcpHeader(9, 80, 100, 0, SYN, 65535)
    syn.mss, syn.ts_val = 1460, value
    connection = ledger.keep(Connection.accept(CONFIG, Segment(syn), 1, 50.0))
    connection.segments_to_send(50.0)
    return connection


@pytest.mark.parametrize(("value", "established"), [(0, True), (1, False)])
def test_a_handshake_whose_syn_had_a_tsval_of_zero_completes(
    ledger: Ledger, value: int, established: bool
) -> None:
    connection = opened(ledger, value)
    connection.receive_segment(segment(ledger, 101, LATER), 50.01)
    assert (connection.state is State.ESTABLISHED) is established


def test_after_a_tsval_of_zero_later_tsvals_are_checked(ledger: Ledger) -> None:
    connection = opened(ledger, 0)
    connection.receive_segment(segment(ledger, 101, LATER), 50.01)
    connection.receive_segment(segment(ledger, 101, LATER, b"data"), 50.02)
    assert [len(payload) for payload in connection.received] == [4]
    connection.receive_segment(segment(ledger, 105, LATER - 1, b"old"), 50.03)
    assert [len(payload) for payload in connection.received] == [4]


@pytest.mark.parametrize(("recent", "reopens"), [(0, True), (1, False), (None, True)])
def test_time_wait_with_a_ts_recent_of_zero_may_be_reopened(recent: int | None, reopens: bool) -> None:
    over = TimeWait(TimewaitTcb((80, 9), 500, 200, 65535, recent), TcpNetns(1), 50.0)
    syn = TcpHeader(9, 80, 5000, 0, SYN, 65535)
    syn.ts_val = LATER
    assert (over.iss_for_reopening(syn, 51.0) is not None) is reopens
