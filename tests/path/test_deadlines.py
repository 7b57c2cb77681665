"""How long a call may block: its own timeout, else the socket's; and what it returns when that has passed."""

from __future__ import annotations

import errno
import select
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from socket import MSG_WAITALL, SOL_SOCKET

import pytest

from nodes.syscall.session import Session
from nodes.uapi import socket as uapi
from nodes.uapi import syscalls
from nodes.uapi.syscalls import Accept, Connect, Done, Failed, RecvMsg, RecvReply, SendMsg, SetSockOpt
from tests.path.test_session import Kernel, Process
from tests.path.two_hosts import TwoHosts

NOWHERE = "10.0.1.77"  # no host answers there


@pytest.fixture
def kernel(hosts: TwoHosts) -> Iterator[Kernel]:
    with ExitStack() as stack:
        yield Kernel(hosts, hosts.b, stack)


@pytest.fixture
def process(kernel: Kernel) -> Process:
    """One whose socket is connected to a socket of host a."""
    listener = kernel.hosts.a.socket()
    listener.bind(0, 5000)
    listener.listen(1)
    process = kernel.process()
    process.call(syscalls.OpenSocket())
    assert process.call(Connect("10.0.1.1", 5000, None)) is None
    kernel.hosts.run_until(lambda: bool(listener.accept_queue), 5)
    kernel.hosts.a.sockets.append(listener.accept())
    kernel.sessions.retry(kernel.hosts.now)
    assert process.reply() == Done()
    return process


def set_timeout(process: Process, option: int, seconds: float) -> None:
    timeval = struct.pack("=qq", int(seconds), round(seconds % 1 * 1_000_000))
    assert process.call(SetSockOpt(SOL_SOCKET, option, timeval)) == Done()


def at(kernel: Kernel, seconds: float) -> None:
    """Time goes on by `seconds`; blocked calls are attempted as the endpoint does."""
    kernel.hosts.rest(seconds)
    kernel.sessions.retry(kernel.hosts.now)


def number(reply: syscalls.AnyReply | None) -> int:
    assert isinstance(reply, Failed)
    return reply.number


def arrive(kernel: Kernel, process: Process, data: bytes) -> None:
    """`data` comes from the peer on host a."""
    kernel.hosts.a.send(kernel.hosts.a.sockets[-1], data)
    sock = process.session.socket
    assert sock is not None
    kernel.hosts.run_until(lambda: sock.recv_queue.length >= len(data), 5)
    kernel.sessions.retry(kernel.hosts.now)


def test_a_calls_own_timeout_ends_it(kernel: Kernel, process: Process) -> None:
    assert process.call(RecvMsg(100, 0, 0, None, 2.0)) is None
    assert kernel.sessions.next_timeout() == kernel.hosts.now + 2.0
    at(kernel, 1.9)
    assert process.reply() is None
    at(kernel, 0.2)
    assert number(process.reply()) == errno.EAGAIN
    assert not kernel.sessions.observed


def test_so_rcvtimeo_ends_a_call_that_would_block_for_ever(kernel: Kernel, process: Process) -> None:
    set_timeout(process, uapi.SO_RCVTIMEO, 2.0)
    assert process.call(RecvMsg(100, 0, 0, None, None)) is None
    assert kernel.sessions.next_timeout() == kernel.hosts.now + 2.0
    at(kernel, 2.1)
    assert number(process.reply()) == errno.EAGAIN


@pytest.mark.parametrize("timeout_s", [0.5, 5.0])
def test_so_rcvtimeo_does_not_count_for_a_call_with_a_timeout(
    kernel: Kernel, process: Process, timeout_s: float
) -> None:
    set_timeout(process, uapi.SO_RCVTIMEO, 2.0)
    assert process.call(RecvMsg(100, 0, 0, None, timeout_s)) is None
    assert kernel.sessions.next_timeout() == kernel.hosts.now + timeout_s
    arrive(kernel, process, b"x")
    assert isinstance(process.reply(), RecvReply)


def test_so_sndtimeo_does_not_count_for_receiving(kernel: Kernel, process: Process) -> None:
    set_timeout(process, uapi.SO_SNDTIMEO, 2.0)
    assert process.call(RecvMsg(100, 0, 0, None, None)) is None
    assert kernel.sessions.next_timeout() is None
    arrive(kernel, process, b"x")
    assert isinstance(process.reply(), RecvReply)


def test_the_timeout_is_the_options_value_when_the_call_began(kernel: Kernel, process: Process) -> None:
    other = kernel.process()
    other.call(syscalls.AttachSocket(kernel.handle(process)))
    set_timeout(process, uapi.SO_RCVTIMEO, 2.0)
    assert process.call(RecvMsg(100, 0, 0, None, None)) is None
    set_timeout(other, uapi.SO_RCVTIMEO, 9.0)
    at(kernel, 2.1)
    assert number(process.reply()) == errno.EAGAIN


def test_at_its_deadline_recvmsg_returns_what_it_has_taken(kernel: Kernel, process: Process) -> None:
    assert process.call(RecvMsg(100, 0, MSG_WAITALL, None, 2.0)) is None
    arrive(kernel, process, b"some")
    assert process.reply() is None
    at(kernel, 2.1)
    assert process.reply() == RecvReply(4, b"some", b"")
    arrive(kernel, process, b"more")  # the bytes were taken once
    assert process.call(RecvMsg(100, 0, 0, None, 0.0)) == RecvReply(4, b"more", b"")


def test_without_waiting_recvmsg_returns_what_is_there(kernel: Kernel, process: Process) -> None:
    arrive(kernel, process, b"some")
    assert process.call(RecvMsg(100, 0, MSG_WAITALL, None, 0.0)) == RecvReply(4, b"some", b"")
    assert number(process.call(RecvMsg(100, 0, MSG_WAITALL, None, 0.0))) == errno.EAGAIN


def test_at_its_deadline_sendmsg_returns_what_was_taken(kernel: Kernel, process: Process) -> None:
    process.call(SetSockOpt(SOL_SOCKET, uapi.SO_SNDBUF, struct.pack("=i", 4608)))
    kernel.hosts.to_a.lose = lambda _: True
    set_timeout(process, uapi.SO_SNDTIMEO, 2.0)
    assert process.call(SendMsg(0, bytes(100_000), None, 0, (), None)) is None
    at(kernel, 2.1)
    reply = process.reply()
    assert isinstance(reply, Done)
    assert 0 < reply.value < 100_000
    assert process.call(SendMsg(0, b"more", None, 0, (), None)) is None
    at(kernel, 2.1)
    assert number(process.reply()) == errno.EAGAIN


def test_at_its_deadline_connect_fails_with_einprogress_and_goes_on(kernel: Kernel) -> None:
    process, other = kernel.process(), kernel.process()
    process.call(syscalls.OpenSocket())
    set_timeout(process, uapi.SO_SNDTIMEO, 0.5)
    assert process.call(Connect(NOWHERE, 5000, None)) is None
    other.call(syscalls.AttachSocket(kernel.handle(process)))
    assert number(other.call(Connect(NOWHERE, 5000, 0.0))) == errno.EALREADY
    at(kernel, 0.6)
    assert number(process.reply()) == errno.EINPROGRESS


def test_at_its_deadline_accept_fails_and_loses_no_connection(kernel: Kernel) -> None:
    process = kernel.process()
    for request in (syscalls.OpenSocket(), syscalls.Bind("", 6000), syscalls.Listen(8)):
        process.call(request)
    set_timeout(process, uapi.SO_RCVTIMEO, 2.0)
    assert process.call(Accept(None)) is None
    at(kernel, 2.1)
    assert number(process.reply()) == errno.EAGAIN
    client = kernel.hosts.a.socket()
    client.start_connect(kernel.hosts.b.address, 6000, kernel.hosts.now)
    kernel.hosts.rest(0.1)
    assert isinstance(process.call(Accept(None)), syscalls.Accepted)


def test_completions_are_waited_for_without_a_timeout_of_the_socket(kernel: Kernel, process: Process) -> None:
    set_timeout(process, uapi.SO_RCVTIMEO, 2.0)
    set_timeout(process, uapi.SO_SNDTIMEO, 2.0)
    assert process.call(syscalls.WaitCompletions(1, None)) is None
    at(kernel, 9.0)
    assert process.reply() is None


@pytest.mark.parametrize("timeout_s", [-1.0, float("nan")])
def test_a_timeout_that_is_none_at_all_does_not_block(process: Process, timeout_s: float) -> None:
    assert number(process.call(RecvMsg(100, 0, 0, None, timeout_s))) == errno.EAGAIN


def test_a_call_without_a_timeout_in_its_request_never_blocks(process: Process) -> None:
    set_timeout(process, uapi.SO_RCVTIMEO, 2.0)
    assert number(process.call(syscalls.ReadErrQueue())) == errno.EAGAIN


def test_an_answered_calls_timer_does_not_end_the_next_call(kernel: Kernel, process: Process) -> None:
    assert process.call(RecvMsg(100, 0, 0, None, 1.0)) is None
    arrive(kernel, process, b"x")
    assert isinstance(process.reply(), RecvReply)
    assert process.call(RecvMsg(100, 0, 0, None, None)) is None
    at(kernel, 2.0)
    assert process.reply() is None
    assert kernel.sessions.next_timeout() is None


def test_a_send_tells_how_many_zero_copy_sends_have_completed(process: Process) -> None:
    sock = process.session.socket
    assert sock is not None
    for end in (1, 2):
        sock.errqueue.sent(end, 0)
    sock.errqueue.acknowledged(2)
    assert process.call(syscalls.SendMsg(0, b"abc", None, 0, (), None)) == syscalls.Done(3, 2)


def test_a_request_behind_a_blocked_call_is_read_when_that_is_answered(
    kernel: Kernel, process: Process
) -> None:
    assert process.call(RecvMsg(100, 0, 0, None, None)) is None
    assert process.call(syscalls.GetNames()) is None
    arrive(kernel, process, b"x")
    assert isinstance(process.reply(), RecvReply)
    assert kernel.sessions.rearm.keys() == {process.session}
    assert process.session.wanted_events() == select.EPOLLIN | select.EPOLLRDHUP
    assert isinstance(process.call_again(), syscalls.SocketNames)


def test_a_call_that_blocks_and_its_answer_leave_the_poll_as_it_is(kernel: Kernel, process: Process) -> None:
    kernel.sessions.rearm.clear()
    assert process.call(RecvMsg(100, 0, 0, None, None)) is None
    arrive(kernel, process, b"x")
    assert isinstance(process.reply(), RecvReply)
    assert not kernel.sessions.rearm


def test_a_blocked_channel_is_not_read_and_its_end_is_seen(kernel: Kernel, process: Process) -> None:
    session: Session = process.session
    assert process.call(RecvMsg(100, 0, 0, None, None)) is None
    assert process.call(syscalls.GetNames()) is None
    assert session.wanted_events() == select.EPOLLRDHUP
    session.handle(select.EPOLLRDHUP, kernel.hosts.now)
    assert session.closed
    assert not kernel.sessions.observed
