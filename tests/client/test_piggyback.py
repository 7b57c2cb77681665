"""What rides with other calls: tokens with the next receive, the number of completions with a send."""

from __future__ import annotations

import errno
import socket

import pytest

from nodes.client.memory import MemoryRegistry
from nodes.client.socket import Socket
from nodes.client.socket_calls import SocketCalls
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import AnyReply, Done, DontNeed, OpenSocket, RecvMsg, RecvReply, Request, SendMsg
from tests.client.simulated import SimulatedRuntime

TOKENS = uapi.DMABUF_TOKEN.pack(5, 2)


class Endpoint:
    def __init__(self) -> None:
        self.requests: list[Request] = []

    def answer(self, request: Request) -> AnyReply | None:
        self.requests.append(request)
        match request:
            case OpenSocket():
                return Done(1)
            case RecvMsg():
                return RecvReply(0, b"", b"")
            case SendMsg():
                return Done(8, 3)
        return None


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def sock(endpoint: Endpoint) -> Socket:
    runtime = SimulatedRuntime(endpoint.answer)
    return Socket(SocketCalls.open("simulated", socket.AF_INET, runtime), MemoryRegistry(), lambda *_: None)


def test_tokens_go_with_the_next_receive_and_only_with_that(sock: Socket, endpoint: Endpoint) -> None:
    sock.dontneed(TOKENS, with_next=True)
    sock.dontneed(TOKENS, with_next=True)
    assert not any(isinstance(each, DontNeed | RecvMsg) for each in endpoint.requests)
    for _ in range(2):
        sock.recvmsg_into([4096], 1000, uapi.MSG_SOCK_DEVMEM)
    received = [each.tokens for each in endpoint.requests if isinstance(each, RecvMsg)]
    assert received == [TOKENS + TOKENS, b""]


def test_other_tokens_go_at_once(sock: Socket, endpoint: Endpoint) -> None:
    sock.dontneed(TOKENS)
    assert endpoint.requests[-1] == DontNeed(TOKENS)


@pytest.mark.parametrize("with_next", [False, True])
@pytest.mark.parametrize("tokens", [TOKENS[:-1], TOKENS * 129])
def test_tokens_that_the_option_refuses_are_refused_at_once(
    sock: Socket, endpoint: Endpoint, tokens: bytes, with_next: bool
) -> None:
    """No answer of the endpoint would say so."""
    before = len(endpoint.requests)
    with pytest.raises(OSError, match="of tokens: give back at most 128 of 8 bytes at once") as refused:
        sock.dontneed(tokens, with_next)
    assert refused.value.errno == errno.EINVAL
    sock.recvmsg_into([4096], 1000, uapi.MSG_SOCK_DEVMEM)
    (receive,) = endpoint.requests[before:]
    assert isinstance(receive, RecvMsg)
    assert receive.tokens == b""


def test_a_send_of_device_memory_tells_how_many_have_completed(sock: Socket) -> None:
    assert sock.completed == 0
    control = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, uapi.TX_DMABUF_ID.pack(1))]
    assert sock.sendmsg([(0, 8)], control, uapi.MSG_ZEROCOPY) == 8
    assert sock.completed == 3
