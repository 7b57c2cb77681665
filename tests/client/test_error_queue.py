"""How an application reads the error queue: by each of the four calls, and what it gets."""

from __future__ import annotations

import socket

import pytest

from nodes.client.memory import MemoryRegistry
from nodes.client.socket import Socket
from nodes.client.socket_calls import SocketCalls
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import Completion, Done, OpenSocket, ReadErrQueue, Request
from tests.client.simulated import SimulatedRuntime

ERR = uapi.EXTENDED_ERR.pack(113, uapi.SO_EE_ORIGIN_ICMP, 3, 1, 0, 0, 0)
QUEUE = uapi.MSG_ERRQUEUE


def answer(request: Request) -> Completion | Done:
    assert isinstance(request, OpenSocket | ReadErrQueue), "only the error queue is read"
    if isinstance(request, OpenSocket):
        return Done(1)
    return Completion(ERR, (), b"quoted", ("10.88.0.1", 9), "10.77.0.2")


@pytest.fixture
def sock() -> Socket:
    runtime = SimulatedRuntime(answer)
    return Socket(SocketCalls.open("simulated", socket.AF_INET, runtime), MemoryRegistry(), lambda *_: None)


def test_recvmsg_has_what_is_quoted_and_where_that_went(sock: Socket) -> None:
    data, ((level, kind, body),), flags, name = sock.recvmsg(100, 100, QUEUE)
    assert (data, level, kind, name) == (b"quoted", uapi.SOL_IP, uapi.IP_RECVERR, ("10.88.0.1", 9))
    assert (body[:16], flags) == (ERR, QUEUE)
    assert sock.recvmsg(3, 100, QUEUE)[0::2] == (b"quo", QUEUE | uapi.MSG_TRUNC)
    assert sock.recvmsg(6, 10, QUEUE)[1:3] == ([], QUEUE | uapi.MSG_CTRUNC)


def test_the_data_is_scattered(sock: Socket) -> None:
    first, second = bytearray(4), bytearray(4)
    assert sock.recvmsg_into([first, second], 100, QUEUE)[0::3] == (6, ("10.88.0.1", 9))
    assert first + second == b"quoted\0\0"


def test_recv_reads_the_queue_as_well(sock: Socket) -> None:
    """And does not wait for bytes of the stream."""
    into = bytearray(8)
    assert sock.recv(4, QUEUE | uapi.MSG_PEEK) == b"quot"
    assert sock.recv(0, QUEUE) == b""
    assert sock.recv_into(into, 0, QUEUE) == 6
    assert into == b"quoted\0\0"
