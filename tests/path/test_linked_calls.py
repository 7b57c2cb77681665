"""A send and a receive of two sockets in one request, at one endpoint without its process."""

from __future__ import annotations

import errno
import select
from collections.abc import Iterator
from contextlib import ExitStack
from socket import SOL_SOCKET
from typing import NamedTuple

import pytest

from nodes.sock.devmem_socket import DevmemSocket
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import (
    Accept,
    Accepted,
    AnyReply,
    AttachSocket,
    Bind,
    Connect,
    Done,
    Failed,
    Listen,
    OpenSocket,
    RecvMsg,
    RecvReply,
    SendMsg,
    SendThenRecv,
    SentThenReceived,
    SetSockOpt,
)
from tests.path.test_session import Kernel, Process
from tests.path.two_hosts import DEVMEM_PORT, TwoHosts


class Ends(NamedTuple):
    process: Process
    peer: DevmemSocket  # at host a


def connected(kernel: Kernel, port: int) -> Ends:
    listener = kernel.hosts.a.socket()
    listener.bind(0, port)
    listener.listen(1)
    process = kernel.process()
    process.call(OpenSocket())
    process.call(Connect("10.0.1.1", port, None))
    kernel.hosts.run_until(lambda: bool(listener.accept_queue), 5)
    kernel.sessions.retry(kernel.hosts.now)
    assert process.reply() == Done()
    peer = listener.accept()
    kernel.hosts.a.sockets.append(peer)
    return Ends(process, peer)


class Linked:
    """Processes whose sockets are those of a rank of a ring: `ahead` sends, `behind` receives."""

    def __init__(self, hosts: TwoHosts, stack: ExitStack) -> None:
        self.hosts, self.kernel = hosts, Kernel(hosts, hosts.b, stack)
        self.ahead, self.behind = connected(self.kernel, 5000), connected(self.kernel, 5001)

    def call(
        self, data: bytes, timeout_s: float | None = 5.0, handle: int | None = None, flags: int = 0
    ) -> AnyReply | None:
        handle = self.kernel.handle(self.ahead.process) if handle is None else handle
        send = SendMsg(0, data, None, 0, (), None)
        receive = RecvMsg(100, 0, flags, None, timeout_s)
        return self.behind.process.call(SendThenRecv(handle, send, receive))

    def retried(self) -> AnyReply | None:
        self.kernel.sessions.retry(self.hosts.now)
        return self.behind.process.reply()

    def comes(self, data: bytes) -> None:
        sock = self.behind.process.session.socket
        assert sock is not None
        self.hosts.a.send(self.behind.peer, data)
        self.hosts.run_until(lambda: sock.recv_queue.length == len(data), 5)


@pytest.fixture
def linked(hosts: TwoHosts) -> Iterator[Linked]:
    with ExitStack() as stack:
        yield Linked(hosts, stack)
        hosts.rest(0.1)


def test_the_send_is_made_at_once_and_the_answer_comes_with_the_receive(linked: Linked) -> None:
    assert linked.call(b"there") is None
    linked.hosts.run_until(lambda: linked.ahead.peer.recv_queue.length == 5, 5)
    assert linked.retried() is None
    linked.comes(b"back")
    assert linked.retried() == SentThenReceived(Done(5), RecvReply(4, b"back", b""))
    assert linked.hosts.a.recv(linked.ahead.peer, 100) == b"there", "it was sent once"
    linked.comes(b"more")
    assert linked.call(b"!") == SentThenReceived(Done(1), RecvReply(4, b"more", b"")), "nothing to wait for"


@pytest.mark.parametrize("timeout_s", [0.0, 5.0, None])
def test_a_receive_that_times_out_says_so_beside_its_send(linked: Linked, timeout_s: float | None) -> None:
    if timeout_s is None:
        two_s = (2).to_bytes(8, "little") + bytes(8)
        linked.behind.process.call(SetSockOpt(SOL_SOCKET, uapi.SO_RCVTIMEO, two_s))
    answer = linked.call(b"there", timeout_s)
    if timeout_s != 0.0:
        assert answer is None
        assert linked.kernel.sessions.next_timeout() == linked.hosts.now + (timeout_s or 2.0)
        linked.hosts.now += timeout_s or 2.0
        answer = linked.retried()
    assert isinstance(answer, SentThenReceived)
    assert isinstance(answer.received, Failed)
    assert (answer.sent, answer.received.number) == (Done(5), errno.EAGAIN)
    assert not linked.kernel.sessions.waiting


def test_a_receive_that_fails_says_so_beside_its_send(linked: Linked) -> None:
    """At once, or after it has waited."""
    at_once = linked.call(b"there", flags=uapi.MSG_OOB)
    assert linked.call(b"there") is None
    linked.behind.peer.disconnect(linked.hosts.now)
    linked.hosts.rest(0.1)
    for answer, number in ((at_once, errno.EINVAL), (linked.retried(), errno.ECONNRESET)):
        assert isinstance(answer, SentThenReceived)
        assert isinstance(answer.received, Failed)
        assert (answer.sent, answer.received.number) == (Done(5), number)


def test_a_send_that_fails_or_takes_a_part_breaks_the_link(linked: Linked) -> None:
    linked.comes(b"data")
    closed = linked.call(b"there", handle=1)
    assert isinstance(closed, SentThenReceived)
    assert isinstance(closed.sent, Failed)
    assert closed.sent.number == errno.EBADF
    linked.ahead.process.call(SetSockOpt(SOL_SOCKET, uapi.SO_SNDBUF, (4096).to_bytes(4, "little")))
    part = linked.call(bytes(100_000))
    assert isinstance(part, SentThenReceived)
    assert isinstance(part.sent, Done)
    assert 0 < part.sent.value < 100_000
    full = linked.call(b"there")
    assert isinstance(full, SentThenReceived)
    assert isinstance(full.sent, Failed)
    assert full.sent.number == errno.EAGAIN
    for answer in (closed, part, full):
        assert isinstance(answer.received, Failed)
        assert answer.received.number == errno.ECANCELED
    assert linked.behind.process.call(RecvMsg(100, 0, 0, None, 0.0)) == RecvReply(4, b"data", b"")


def test_whoever_polls_the_sending_socket_sees_what_the_send_has_left(linked: Linked) -> None:
    sock = linked.ahead.process.session.socket
    assert sock is not None
    poll = select.poll()
    poll.register(linked.kernel.sessions.kernel.files.watch(sock).fd, select.POLLOUT)
    linked.ahead.process.call(SetSockOpt(SOL_SOCKET, uapi.SO_SNDBUF, (4096).to_bytes(4, "little")))
    assert poll.poll(0)
    linked.call(bytes(100_000))
    assert not poll.poll(0), "its buffer is full"


def test_a_receive_that_is_wrong_in_itself_sends_nothing(linked: Linked) -> None:
    handle = linked.kernel.handle(linked.ahead.process)
    wrong = SendThenRecv(
        handle, SendMsg(0, b"there", None, 0, (), 0.0), RecvMsg(100, -1, 0, None, None)
    )  # fmt: skip
    answer = linked.behind.process.call(wrong)
    assert isinstance(answer, Failed)
    assert answer.number == errno.EINVAL
    linked.hosts.rest(0.1)
    assert linked.ahead.peer.recv_queue.length == 0


def test_tokens_go_back_also_where_the_link_breaks(hosts: TwoHosts) -> None:
    with ExitStack() as stack:
        kernel = Kernel(hosts, hosts.b, stack)
        hosts.b.bind_rx(1 << 20)
        listener, server, client = kernel.process(), kernel.process(), hosts.a.socket()
        listener.call(OpenSocket())
        listener.call(Bind("", DEVMEM_PORT))
        listener.call(Listen(1))
        client.start_connect(hosts.b.address, DEVMEM_PORT, hosts.now)
        hosts.rest(0.1)
        accepted = listener.call(Accept(0))
        assert isinstance(accepted, Accepted)
        server.call(AttachSocket(accepted.handle))
        hosts.a.send(client, b"payload")
        hosts.rest(0.1)
        receive = RecvMsg(100, 1000, uapi.MSG_SOCK_DEVMEM, None, 0.0)
        got = server.call(receive)
        assert isinstance(got, RecvReply)
        token = uapi.DMABUF_CMSG.unpack(got.cmsgs)[2]
        tokens = uapi.DMABUF_TOKEN.pack(token, 1)
        sock = server.session.socket
        assert sock is not None
        held = len(sock.user_frags)
        again = RecvMsg(100, 1000, uapi.MSG_SOCK_DEVMEM, None, 0.0, tokens=tokens)
        broken = server.call(SendThenRecv(1, SendMsg(0, b"", None, 0, (), 0.0), again))
        assert isinstance(broken, SentThenReceived)
        assert (held, len(sock.user_frags)) == (1, 0)
