"""What rides with other calls: tokens and a send with the next receive, the number of completions with a
send."""

from __future__ import annotations

import errno
import socket

import msgspec
import pytest

from nodes.client.memory import MemoryRegistry
from nodes.client.socket import Socket
from nodes.client.socket_calls import SocketCalls
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import (
    AnyReply,
    Done,
    DontNeed,
    Failed,
    OpenSocket,
    RecvMsg,
    RecvReply,
    Request,
    SendMsg,
    SendThenRecv,
    SentThenReceived,
)
from tests.client.simulated import SimulatedRuntime

TOKENS = uapi.DMABUF_TOKEN.pack(5, 2)
TX_CONTROL = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, uapi.TX_DMABUF_ID.pack(1))]


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
    return opened(endpoint)


def opened(endpoint: Endpoint) -> Socket:
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
    assert sock.sendmsg([(0, 8)], TX_CONTROL, uapi.MSG_ZEROCOPY) == 8
    assert sock.completed == 3


class Linking(Endpoint):
    """Answers a send and a receive that are linked by `sent` and `received`."""

    def __init__(self, sent: Done | Failed, received: RecvReply | Failed) -> None:
        super().__init__()
        self.both = SentThenReceived(sent, received)

    def answer(self, request: Request) -> AnyReply | None:
        reply = super().answer(request)
        return self.both if isinstance(request, SendThenRecv) else reply


def linked(endpoint: Endpoint) -> tuple[Socket, Socket, list[int | OSError]]:
    """A sending socket, one that receives, and what is told of the send that goes with its next receive."""
    sender, receiver = (opened(endpoint) for _ in range(2))
    told: list[int | OSError] = []
    sender.sendmsg_before(receiver, [(0, 8)], TX_CONTROL, uapi.MSG_ZEROCOPY, told.append)
    receiver.dontneed(TOKENS, with_next=True)
    return sender, receiver, told


def calls(endpoint: Endpoint) -> list[Request]:
    return [each for each in endpoint.requests if not isinstance(each, OpenSocket)]


def test_a_send_that_goes_with_a_receive_is_one_request_with_it() -> None:
    endpoint = Linking(Done(8, 5), RecvReply(3, b"abc", b""))
    sender, receiver, told = linked(endpoint)
    assert not calls(endpoint), "nothing is sent before the receive"
    assert receiver.recv(10) == b"abc"
    (both,) = calls(endpoint)
    assert isinstance(both, SendThenRecv)
    assert (both.handle, both.send.dmabuf_id, both.send.iov) == (1, 1, ((0, 8),))
    assert (both.recv.length, both.recv.tokens) == (10, TOKENS)
    assert (told, sender.completed) == ([8], 5)
    receiver.recv(10)
    assert isinstance(calls(endpoint)[-1], RecvMsg), "the next receive is one as ever"


@pytest.mark.parametrize("sent", [Done(4, 1), Failed(errno.ENOBUFS, "full")])
def test_a_receive_whose_link_is_broken_is_made_all_the_same(sent: Done | Failed) -> None:
    endpoint = Linking(sent, Failed(errno.ECANCELED, "broken"))
    _, receiver, told = linked(endpoint)
    assert receiver.recv(10) == b""
    both, alone = calls(endpoint)
    assert isinstance(both, SendThenRecv)
    assert alone == msgspec.structs.replace(both.recv, tokens=b""), "tokens go back once"
    if isinstance(sent, Done):
        assert told == [4]
    else:
        assert [each.errno for each in told if isinstance(each, OSError)] == [errno.ENOBUFS]


@pytest.mark.parametrize(
    ("timeout_s", "number", "kind"),
    [(5.0, errno.EAGAIN, TimeoutError), (0.0, errno.EAGAIN, BlockingIOError),
     (5.0, errno.ECONNRESET, ConnectionResetError)],
)  # fmt: skip
def test_a_linked_receive_fails_as_any_other_and_its_send_is_made(
    timeout_s: float, number: int, kind: type[OSError]
) -> None:
    endpoint = Linking(Done(8, 1), Failed(number, "so it is"))
    _, receiver, told = linked(endpoint)
    receiver.settimeout(timeout_s)
    with pytest.raises(kind):
        receiver.recv(10)
    assert (told, len(calls(endpoint))) == ([8], 1)


def test_one_send_goes_with_a_receive() -> None:
    sender, receiver, told = linked(Linking(Done(8), RecvReply(0, b"", b"")))
    with pytest.raises(OSError, match="another send goes with that") as busy:
        sender.sendmsg_before(receiver, [(8, 8)], TX_CONTROL, uapi.MSG_ZEROCOPY, told.append)
    assert busy.value.errno == errno.EBUSY
