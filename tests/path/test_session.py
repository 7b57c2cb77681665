"""System calls of several processes at one endpoint, without the process of the endpoint."""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from socket import SOL_SOCKET

import msgspec
import pytest

from nodes.endpoint.platform import LinuxPlatform
from nodes.kernel_version import VERSIONS
from nodes.machine import dmabuf
from nodes.syscall.session import BUG, Session
from nodes.syscall.sessions import Sessions
from nodes.uapi import socket as uapi
from nodes.uapi import syscalls
from nodes.uapi.channel import Channel
from nodes.uapi.channel_closed import ChannelClosed
from tests.path.two_hosts import DeviceKind, PathHost, TwoHosts

READ = syscalls.RecvMsg(100, 0, 0, None, None)


class Process:
    """An application's end of one channel, and the endpoint's."""

    def __init__(self, sessions: Sessions, hosts: TwoHosts) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = Channel(ours)
        self.channel.setblocking(False)
        end = Channel(theirs)
        end.setblocking(False)
        self.session = Session(end, True, sessions)
        self._hosts = hosts

    def call(self, request: syscalls.AnyRequest) -> syscalls.AnyReply | None:
        """The reply; None of a call that is blocked."""
        self.channel.send(request)
        return self.call_again()

    def call_again(self) -> syscalls.AnyReply | None:
        """The reply to a request that was sent."""
        self.session.handle(select.EPOLLIN, self._hosts.now)
        return self.reply()

    def reply(self) -> syscalls.AnyReply | None:
        try:
            return self.channel.receive_reply()[0]
        except BlockingIOError:
            return None

    def close(self) -> None:
        self.session.close(self._hosts.now)
        self.channel.close()


class Kernel:
    """The endpoint's system calls over `host`."""

    def __init__(self, hosts: TwoHosts, host: PathHost, stack: ExitStack) -> None:
        self.hosts, self.stack = hosts, stack
        self.sessions = Sessions(host.host, LinuxPlatform())

    def process(self) -> Process:
        return self.stack.enter_context(closing(Process(self.sessions, self.hosts)))

    def handle(self, process: Process) -> int:
        assert process.session.socket is not None
        file = self.sessions.kernel.files.file_of(process.session.socket)
        assert file is not None
        return file.handle

    def connected(self) -> Process:
        """One whose socket is connected to host a."""
        listener = self.hosts.a.socket()
        listener.bind(0, 5000)
        listener.listen(1)
        process = self.process()
        process.call(syscalls.OpenSocket())
        assert process.call(syscalls.Connect("10.0.1.1", 5000, None)) is None
        self.hosts.run_until(lambda: bool(listener.accept_queue), 5)
        self.sessions.retry(self.hosts.now)
        assert process.reply() == syscalls.Done()
        listener.close(self.hosts.now)
        return process


@pytest.fixture
def kernel(hosts: TwoHosts) -> Iterator[Kernel]:
    with ExitStack() as stack:
        yield Kernel(hosts, hosts.b, stack)


@pytest.mark.parametrize("blocked", [False, True])
def test_a_bug_ends_the_process_that_met_it_and_no_other(
    kernel: Kernel, capfd: pytest.CaptureFixture[str], blocked: bool
) -> None:
    unlucky, other = kernel.connected(), kernel.process()
    other.call(syscalls.OpenSocket())
    sock = unlucky.session.socket
    assert sock is not None
    if blocked:
        assert unlucky.call(READ) is None
    sock.recv_queue.length = 1  # it has none
    if blocked:
        sock.stack.touch(sock)
        kernel.sessions.retry(kernel.hosts.now)
        answer = unlucky.reply()
    else:
        answer = unlucky.call(READ)
    assert isinstance(answer, syscalls.Failed)
    assert (answer.number, answer.message.startswith(BUG)) == (errno.EIO, True)
    with pytest.raises(ChannelClosed):
        unlucky.reply()
    assert unlucky.session.closed
    assert kernel.sessions.waiting == {}
    kernel.sessions.retry(kernel.hosts.now)
    err = capfd.readouterr().err
    assert (err.count(BUG), err.count("Traceback")) == (1, 1)
    length = syscalls.GetSockOpt(SOL_SOCKET, uapi.SO_RCVLOWAT, 4)
    assert other.call(length) == syscalls.Value((1).to_bytes(4, "little"))


def test_neither_closed_channels_nor_answered_calls_keep_their_deadlines(kernel: Kernel) -> None:
    far = syscalls.RecvMsg(100, 0, 0, None, 3600.0)
    near = syscalls.RecvMsg(100, 0, 0, None, 0.001)
    steady = kernel.connected()
    for _ in range(300):
        process = kernel.process()
        process.call(syscalls.AttachSocket(kernel.handle(steady)))
        assert process.call(far) is None
        process.close()
        assert steady.call(near) is None
        kernel.hosts.now += 0.001
        kernel.sessions.retry(kernel.hosts.now)
        assert isinstance(steady.reply(), syscalls.Failed)
        assert len(kernel.sessions._timers._heap) < 100
    assert len(kernel.sessions._timers) == 0
    assert steady.call(near) is None
    assert kernel.sessions.next_timeout() == kernel.hosts.now + 0.001


def test_a_listeners_channel_remembers_only_connections_that_no_channel_serves(kernel: Kernel) -> None:
    listener, port = kernel.process(), 6000
    listener.call(syscalls.OpenSocket())
    listener.call(syscalls.Bind("", port))
    listener.call(syscalls.Listen(8))
    clients = [kernel.hosts.a.socket() for _ in range(3)]
    for client in clients:
        client.start_connect(kernel.hosts.b.address, port, kernel.hosts.now)
    kernel.hosts.rest(0.1)
    handles = []
    for _ in clients:
        accepted = listener.call(syscalls.Accept(0))
        assert isinstance(accepted, syscalls.Accepted)
        handles.append(accepted.handle)
    servers = [kernel.process() for _ in range(2)]
    for server, handle in zip(servers, handles[:2], strict=True):
        server.call(syscalls.AttachSocket(handle))
    assert [*listener.session.accepted] == [handles[2]]
    listener.close()
    kernel.hosts.rest(0.1)
    ended = [client.connection is not None and client.connection.fin_received for client in clients]
    assert ended == [False, False, True]  # no channel can serve the third any more


@pytest.mark.parametrize("dmabuf_id", [0, 1])
def test_more_than_1024_ranges_are_emsgsize_before_anything_else(kernel: Kernel, dmabuf_id: int) -> None:
    process = kernel.connected()
    for count, number in ((1025, errno.EMSGSIZE), (1024, errno.EINVAL if dmabuf_id else errno.EFAULT)):
        answer = process.call(syscalls.SendMsg(0, b"", None, dmabuf_id, ((0, 1),) * count, None))
        assert isinstance(answer, syscalls.Failed)
        assert answer.number == number


@pytest.mark.parametrize("length", [-1, 1 << 63])
def test_a_length_that_ssize_t_cannot_hold_is_einval(kernel: Kernel, length: int) -> None:
    answer = kernel.connected().call(syscalls.SendMsg(0, b"", None, 1, ((0, length),), None))
    assert isinstance(answer, syscalls.Failed)
    assert answer.number == errno.EINVAL
    assert "negative" in answer.message


def test_a_bug_in_a_processs_end_keeps_nothing_else_of_it(
    kernel: Kernel, capfd: pytest.CaptureFixture[str]
) -> None:
    process = kernel.process()
    undone: list[int] = []
    process.session.owned.callback(undone.append, 1)
    process.session.owned.callback(lambda: 1 // 0)
    process.session.close(kernel.hosts.now)
    assert undone == [1]
    assert "ZeroDivisionError" in capfd.readouterr().err
    with pytest.raises(ChannelClosed):
        process.reply()


def test_a_descriptor_that_finds_no_room_in_the_endpoint_is_emfile(hosts: TwoHosts) -> None:
    """Not EBADF: the application's descriptor is good."""
    with ExitStack() as stack:
        process = Kernel(hosts, hosts.b, stack).process()
        memory = stack.enter_context(closing(dmabuf.export(4096)))
        attributes = msgspec.Raw(msgspec.msgpack.encode({"ifindex": hosts.b.device.ifindex, "fd": memory.fd}))
        request = syscalls.Netlink("netdev", "bind-tx", attributes)
        process.channel.send(request, (memory.fd,))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(memory.fd)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            process.session.handle(select.EPOLLIN, hosts.now)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        reply = process.reply()
        assert isinstance(reply, syscalls.Failed)
        assert reply.number == errno.EMFILE
        process.channel.send(request, (memory.fd,))
        assert isinstance(process.call_again(), syscalls.NetlinkReply)


def test_any_process_may_send_from_a_dma_buf_that_another_bound(hosts: TwoHosts) -> None:
    """As in Linux: net_devmem_get_binding looks an id up in one table and checks the device alone."""
    with ExitStack() as stack:
        kernel = Kernel(hosts, hosts.b, stack)
        sender = kernel.connected()
        other = kernel.process()
        memory = stack.enter_context(closing(dmabuf.export(4096)))
        attributes = msgspec.Raw(msgspec.msgpack.encode({"ifindex": hosts.b.device.ifindex, "fd": memory.fd}))
        other.channel.send(syscalls.Netlink("netdev", "bind-tx", attributes), (memory.fd,))
        bound = other.call_again()
        assert isinstance(bound, syscalls.NetlinkReply)
        dmabuf_id = msgspec.msgpack.decode(bound.result)["id"]
        option = syscalls.SetSockOpt(SOL_SOCKET, uapi.SO_ZEROCOPY, (1).to_bytes(4, "little"))
        assert sender.call(option) == syscalls.Done()
        send = syscalls.SendMsg(uapi.MSG_ZEROCOPY, b"", None, dmabuf_id, ((0, 100),), None)
        assert sender.call(send) == syscalls.Done(100)
        other.close()  # its bindings end with it
        refused = sender.call(send)
        assert isinstance(refused, syscalls.Failed)
        assert refused.number == errno.EINVAL
        hosts.rest(0.1)


def test_a_disconnected_socket_is_as_before_and_may_connect(hosts: TwoHosts) -> None:
    """connect(2) with AF_UNSPEC."""
    with ExitStack() as stack:
        process = Kernel(hosts, hosts.b, stack).connected()
        again = syscalls.Connect("10.0.1.1", 5000, None)
        refused = process.call(again)
        assert isinstance(refused, syscalls.Failed)
        assert refused.number == errno.EISCONN
        assert process.call(syscalls.Disconnect()) == syscalls.Done()
        names = process.call(syscalls.GetNames())
        assert isinstance(names, syscalls.SocketNames)
        assert (names.local[0], names.remote) == ("0.0.0.0", ("0.0.0.0", 0))
        assert process.call(again) is None  # its SYN is on its way


@pytest.mark.parametrize(("version", "permitted"), [("7.1", False), ("7.2", True)])
def test_bind_rx_asks_the_initial_user_namespace_until_7_2(version: str, permitted: bool) -> None:
    """Changes of a NIC and of routes do not, in any version."""
    hosts = TwoHosts(kind=DeviceKind(kernel=VERSIONS[version]))
    with ExitStack() as stack:
        process = Kernel(hosts, hosts.b, stack).process()
        empty = msgspec.Raw(msgspec.msgpack.encode({}))
        for privileged, initial in ((False, False), (True, False), (True, True)):
            process.session.privileged = privileged
            process.session.init_privileged = initial
            numbers = []
            for family, operation in (("netdev", "bind-rx"), ("ethtool", "ntuple-delete")):
                refused = process.call(syscalls.Netlink(family, operation, empty))
                assert isinstance(refused, syscalls.Failed)
                numbers.append(refused.number)
            bind = errno.EINVAL if initial or (privileged and permitted) else errno.EPERM
            assert numbers == [bind, errno.EINVAL if privileged else errno.EPERM]
    hosts.close()
