"""System calls: what a request means for sockets, the device and memory.

In: a session's request. Out: an attempt, which returns a reply, raises OSError, or BlockingIOError for
"not yet": the session tries again when its socket changed. Owns the handles of sockets, registered
memory, and the list of who waits for which socket.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import math
import os
import resource
import secrets
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field
from typing import Any

import msgspec

from nodes import channel, netlink, uapi
from nodes.channel import Reply
from nodes.control import families, policy
from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.control.netlink_error import NetlinkError
from nodes.endpoint import socket_options, socket_table
from nodes.endpoint.session import Attempt, Session
from nodes.machine.ceilings import MemoryBus
from nodes.machine.ledger import Ledger, Place
from nodes.machine.memory import Region, memfd_name, sealed
from nodes.nic.capture import Capture
from nodes.nic.impairment import Impairment
from nodes.nic.net_device import NetDevice
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.inet import Inet
from nodes.sock.tcp_recvmsg import RecvCall, RecvRequest
from nodes.sock.tcp_sendmsg import SendRequest, sendmsg, sent
from nodes.wire import ip

USER_MEMORY_NAME = "user-memory"
_NO_MEMORY = memoryview(bytearray())


@dataclass(frozen=True, slots=True)
class HostParts:
    """What the calls work on."""

    welcome: channel.Welcome
    inet: Inet
    device: NetDevice
    netdev: Netdev
    ethtool: Ethtool
    ledger: Ledger
    bus: MemoryBus | None
    impairment: Impairment | None = None
    capture: Capture | None = None


@dataclass(slots=True)
class _OpenSocket:
    """A socket and the sessions that serve it; it closes with the last of them."""

    socket: DevmemSocket
    sessions: set[Session] = field(default_factory=set)


class Syscalls:
    def __init__(self, host: HostParts) -> None:
        self._host = host
        self._memory: dict[int, Region] = {}
        self._handles: dict[int, _OpenSocket] = {}
        self._handle_of: dict[DevmemSocket, int] = {}
        self.record_buffer = bytearray(channel.RECORD_BYTES)  # of all sessions: they are served in turn
        self.waiting: dict[Session, None] = {}
        self._deadlines: list[tuple[float, int, Session]] = []
        self._tie_break = itertools.count()
        self.stirred: dict[Session, None] = {}  # whose wanted events may have changed
        self._calls: dict[type, Callable[..., Attempt]] = {
            channel.Hello: self._hello,
            channel.RegisterMemory: self._register_memory,
            channel.UnregisterMemory: self._unregister_memory,
            channel.OpenKernelSocket: self._open_kernel_socket,
            channel.GetStats: self._get_stats,
            channel.GetSnmp: self._get_snmp,
            channel.GetSockets: self._get_sockets,
            channel.Netlink: self._netlink,
            channel.OpenSocket: self._open_socket,
            channel.AttachSocket: self._attach_socket,
        }
        self._socket_calls: dict[type, Callable[..., Attempt]] = {
            channel.RecvMsg: self._recvmsg,
            channel.SendMsg: self._sendmsg,
            channel.DontNeed: self._dontneed,
            channel.GetNames: self._get_names,
            channel.Bind: self._bind,
            channel.Listen: self._listen,
            channel.Connect: self._connect,
            channel.Accept: self._accept,
            channel.Shutdown: self._shutdown,
            channel.Watch: self._watch,
            channel.ReadErrQueue: self._read_errqueue,
            channel.WaitCompletions: self._wait_completions,
            channel.SetSockOpt: self._setsockopt,
            channel.GetSockOpt: self._getsockopt,
        }
        self._netlink_answers = families.answers(host.device, host.ethtool)

    # --- sessions

    def attempt(self, session: Session, request: channel.AnyRequest, fd: int) -> Attempt:
        """The attempt that answers `request`; it takes `fd` over (-1: none came)."""
        call = self._calls.get(type(request))
        if call is not None:
            return call(session, request, fd)
        if session.socket is None:
            if isinstance(request, channel.SetSockOpt) and request.option == uapi.SO_DEVMEM_DONTNEED:
                return _refuse(errno.EBADF, "SO_DEVMEM_DONTNEED is for TCP sockets, and this one is netlink")
            return _refuse(errno.ENOTSOCK, "this channel is not a socket's")
        return self._socket_calls[type(request)](session.socket, request, session)

    def wait(self, session: Session) -> None:
        """`session` has a blocked call."""
        self.waiting[session] = None
        self._schedule(session)

    def _schedule(self, session: Session) -> None:
        """Make sure an entry fires no later than the blocked call's deadline; see Inet._schedule."""
        at = session.blocked.deadline if session.blocked else None
        if at is not None and (session.timer_at is None or at < session.timer_at):
            session.timer_at = at
            heapq.heappush(self._deadlines, (at, next(self._tie_break), session))

    def retry(self, now: float) -> None:
        """Sockets changed or time has passed: go on with blocked calls, tell watchers."""
        changed = self._host.inet.changed
        while changed:
            self._host.inet.changed = {}
            for sock in changed:
                opened = self._handles.get(self._handle_of.get(sock, 0))
                for session in [*opened.sessions] if opened else ():
                    self._go_on(session, now)
            changed = self._host.inet.changed
        while self._deadlines and self._deadlines[0][0] <= now:
            at, _, session = heapq.heappop(self._deadlines)
            if session.timer_at != at or session.closed:
                continue  # an entry that a nearer deadline has overtaken, or nobody waits for
            session.timer_at = None
            blocked = session.blocked
            if blocked and blocked.deadline is not None and blocked.deadline <= now:
                self._go_on(session, now)
            self._schedule(session)

    def _go_on(self, session: Session, now: float) -> None:
        session.go_on(now)
        if not session.blocked:
            self.waiting.pop(session, None)

    def next_deadline(self) -> float | None:
        """No later than when the first blocked call gives up."""
        return self._deadlines[0][0] if self._deadlines else None

    def forget(self, session: Session, now: float) -> None:
        """The session's process is gone: its socket closes if nobody else has it."""
        self.waiting.pop(session, None)
        sock, session.socket = session.socket, None
        mine = [self._handle_of[sock]] if sock in self._handle_of else []
        for handle in (*mine, *session.accepted):  # what it accepted and did not open a channel for goes too
            opened = self._handles.get(handle)
            if opened is None:
                continue
            opened.sessions.discard(session)
            if not opened.sessions:
                del self._handles[handle], self._handle_of[opened.socket]
                opened.socket.close(now)

    @staticmethod
    def readable(sock: DevmemSocket) -> bool:
        """What POLLIN says."""
        return socket_options.readable(sock)

    # --- the process

    def _hello(self, session: Session, _: channel.Hello, __: int) -> Attempt:
        def hello(_: float) -> None:
            bus = self._host.bus
            session.send_with(self._host.welcome, (bus.fd,) if bus else ())

        return hello

    def _register_memory(self, session: Session, _: channel.RegisterMemory, fd: int) -> Attempt:
        if fd < 0:
            return _refuse(errno.EBADF, "RegisterMemory brought no descriptor")

        def register(_: float) -> channel.Done:
            if memfd_name(fd) != USER_MEMORY_NAME or not sealed(fd):
                os.close(fd)
                raise OSError(errno.EINVAL, f"not a sealed memfd named {USER_MEMORY_NAME!r}")
            memory = secrets.randbits(62)  # nobody can guess another process's
            self._memory[memory] = Region.mapped(fd, Place.HOST)
            session.owned.callback(self._drop_memory, memory)
            return channel.Done(memory)

        return register

    def _drop_memory(self, memory: int) -> None:
        region = self._memory.pop(memory, None)
        if region is not None:
            region.close()

    def _unregister_memory(self, _: Session, request: channel.UnregisterMemory, __: int) -> Attempt:
        def unregister(_: float) -> channel.Done:
            if request.memory not in self._memory:
                raise OSError(errno.EINVAL, "no such registered memory")
            self._drop_memory(request.memory)
            return channel.Done()

        return unregister

    def _span(self, span: channel.Span) -> memoryview:
        """Registered memory; EFAULT when the span is not inside any."""
        if span == channel.NO_MEMORY:
            return _NO_MEMORY
        region = self._memory.get(span.memory)
        if region is None or span.offset < 0 or span.length < 0 or span.offset + span.length > region.size:
            raise OSError(errno.EFAULT, f"{span.length} bytes at {span.offset} are not registered memory")
        return region.view[span.offset : span.offset + span.length]

    def _open_kernel_socket(self, session: Session, _: channel.OpenKernelSocket, __: int) -> Attempt:
        def open_kernel_socket(_: float) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
                session.send_with(channel.Done(), (sock.fileno(),))

        return open_kernel_socket

    def _get_stats(self, _: Session, __: channel.GetStats, ___: int) -> Attempt:
        host = self._host

        def stats(_: float) -> channel.Stats:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            rx = [q.counters for q in host.device.all_rx_queues]
            tx = host.device.tx.counters
            return channel.Stats(
                ledger=host.ledger.snapshot(),
                cpu_s=usage.ru_utime + usage.ru_stime,
                rx_packets=sum(q.rx_packets for q in rx),
                rx_bytes=sum(q.rx_bytes for q in rx),
                rx_wire_packets=sum(q.rx_wire_packets for q in rx),
                rx_alloc_fail=sum(q.rx_alloc_fail for q in rx),
                rx_hw_drops=sum(q.rx_hw_drops for q in rx),
                rx_hw_drop_overruns=sum(q.rx_hw_drop_overruns for q in rx) + host.device.overruns(),
                tx_packets=tx.tx_packets,
                tx_bytes=tx.tx_bytes,
                tx_wire_packets=tx.tx_wire_packets,
                tcp_retrans_segs=host.inet.tcp_retrans_segs(),
                impaired=_impaired(host.impairment),
            )

        return stats

    def _get_snmp(self, _: Session, __: channel.GetSnmp, ___: int) -> Attempt:
        return lambda _: channel.Snmp(socket_table.snmp(self._host.inet))

    def _get_sockets(self, _: Session, request: channel.GetSockets, __: int) -> Attempt:
        return lambda _: socket_table.sockets(self._host.inet, max(0, request.first))

    # --- netlink

    def _netlink(self, session: Session, request: channel.Netlink, fd: int) -> Attempt:
        def netlink_call(_: float) -> channel.NetlinkReply:
            with ExitStack() as undo:
                if fd >= 0:
                    undo.callback(os.close, fd)
                attributes = self._permitted(session, request)
                if isinstance(attributes, netlink.BindRx | netlink.BindTx):
                    undo.pop_all()
                    return _netlink_reply(self._bind_dmabuf(session, attributes, fd))
                mode: netlink.Mode = "dump" if request.dump else "do"
                answer = self._netlink_answers[request.family, request.operation, mode]
                return _netlink_reply(answer(attributes))

        return netlink_call

    @staticmethod
    def _permitted(session: Session, request: channel.Netlink) -> netlink.Attributes:
        """The attributes, when there is such an operation and the caller may ask for it; in this order, the
        kernel's (genl_family_rcv_msg): EOPNOTSUPP, EPERM, then the policy."""
        family, operation = request.family, request.operation
        kind = netlink.OPERATIONS.get((family, operation, "dump" if request.dump else "do"))
        if kind is None:
            what = f"{'dump' if request.dump else 'do'} {operation!r}"
            raise NetlinkError(errno.EOPNOTSUPP, f"family {family!r} has no operation {what}")
        if netlink.needs_admin(family, operation) and not session.privileged:
            raise NetlinkError(errno.EPERM, f"{operation} needs CAP_NET_ADMIN")
        return policy.parse(request.attributes, kind)

    def _bind_dmabuf(
        self, session: Session, request: netlink.BindRx | netlink.BindTx, fd: int
    ) -> netlink.Dmabuf:
        """The binding ends with the channel that made it (netdev_nl_sock_priv_destroy)."""
        netdev = self._host.netdev
        if isinstance(request, netlink.BindRx):
            rx = netdev.bind_rx(request, fd, session.privileged)
            session.owned.callback(netdev.unbind, rx)
            return netlink.Dmabuf(rx.dmabuf_id)
        tx = netdev.bind_tx(request, fd)
        session.owned.callback(netdev.unbind, tx)
        return netlink.Dmabuf(tx.dmabuf_id)

    # --- sockets: opening

    def _open_socket(self, session: Session, request: channel.OpenSocket, _: int) -> Attempt:
        if request.family not in (socket.AF_INET, socket.AF_INET6):
            return _refuse(errno.EAFNOSUPPORT, f"address family {request.family}: AF_INET or AF_INET6")
        return lambda _: channel.Done(
            self._serve(session, DevmemSocket(self._host.inet, request.family))
        )

    def _serve(self, session: Session, sock: DevmemSocket) -> int:
        """Make `session` serve `sock`, once; returns the socket's handle."""
        if session.socket is not None:
            raise OSError(errno.EISCONN, "this channel serves a socket already")
        handle = self._handle(sock)
        self._handles[handle].sessions.add(session)
        session.socket = sock
        return handle

    def _handle(self, sock: DevmemSocket) -> int:
        handle = self._handle_of.get(sock)
        if handle is None:
            handle = secrets.randbits(62)
            self._handle_of[sock] = handle
            self._handles[handle] = _OpenSocket(sock)
        return handle

    def _attach_socket(self, session: Session, request: channel.AttachSocket, _: int) -> Attempt:
        def attach(_: float) -> channel.SocketNames:
            opened = self._handles.get(request.handle)
            if opened is None:
                raise OSError(errno.EBADF, "no such socket, or it is closed")
            self._serve(session, opened.socket)
            return _names(opened.socket)

        return attach

    def _accept(self, sock: DevmemSocket, _: channel.Accept, session: Session) -> Attempt:
        def accept(_: float) -> channel.Accepted:
            child = sock.accept()
            handle = self._handle(child)
            session.accepted.append(handle)
            return channel.Accepted(handle, _name(child, child.remote))

        return accept

    # --- sockets: calls

    def _recvmsg(self, sock: DevmemSocket, request: channel.RecvMsg, _: Session) -> Attempt:
        length = min(request.length, 1 << 30)
        call: RecvCall | None = None
        give_up_at = math.inf

        def receive(now: float) -> channel.RecvReply:
            nonlocal call, give_up_at
            if call is None:
                buffer = _NO_MEMORY if request.into is None else self._span(request.into)
                call = RecvCall(sock, RecvRequest(length, request.control_bytes, request.flags, buffer))
                if request.timeout_s is not None:
                    give_up_at = now + request.timeout_s
            inline = request.into is None
            if inline and not call.buffer and sock.recv_queue.in_host_memory:
                call.buffer = memoryview(bytearray(min(length, channel.INLINE_BYTES)))
            got = call.attempt(now, wait=now < give_up_at)
            data = bytes(call.buffer[: got.copied]) if inline else b""
            return channel.RecvReply(got.count, data, got.cmsgs)

        return receive

    def _sendmsg(self, sock: DevmemSocket, request: channel.SendMsg, _: Session) -> Attempt:
        done = 0
        parsed: SendRequest | None = None

        def send(now: float) -> channel.Done:
            nonlocal done, parsed
            if parsed is None:
                data = memoryview(request.data) if request.source is None else self._span(request.source)
                parsed = SendRequest(request.flags, data, request.dmabuf_id, request.iov)
            try:
                while True:
                    done += sendmsg(sock, parsed, done, self._host.netdev.tx_binding, now)
                    if done >= parsed.length:
                        break
            except BlockingIOError:
                if not done or (request.timeout_s != 0 and not request.flags & uapi.MSG_DONTWAIT):
                    raise
            except OSError:
                if not done:
                    raise
            sent(sock, parsed, done)
            return channel.Done(done)

        return send

    def _dontneed(self, sock: DevmemSocket, request: channel.DontNeed, _: Session) -> Attempt:
        def dontneed(_: float) -> None:
            sock.devmem_dontneed(request.tokens)

        return dontneed

    def _get_names(self, sock: DevmemSocket, _: channel.GetNames, __: Session) -> Attempt:
        return lambda _: _names(sock)

    def _bind(self, sock: DevmemSocket, request: channel.Bind, _: Session) -> Attempt:
        def bind(_: float) -> channel.Done:
            sock.bind(_address(sock, request.address), request.port)
            return channel.Done()

        return bind

    def _listen(self, sock: DevmemSocket, request: channel.Listen, _: Session) -> Attempt:
        def listen(_: float) -> channel.Done:
            sock.listen(request.backlog)
            return channel.Done()

        return listen

    def _connect(self, sock: DevmemSocket, request: channel.Connect, _: Session) -> Attempt:
        started = False

        def connect(now: float) -> channel.Done:
            nonlocal started
            if not started:
                sock.start_connect(_address(sock, request.address), request.port, now)
                started = True
            sock.connect_result()
            return channel.Done()

        return connect

    def _shutdown(self, sock: DevmemSocket, request: channel.Shutdown, _: Session) -> Attempt:
        def shutdown(now: float) -> channel.Done:
            sock.shutdown(request.how, now)
            return channel.Done()

        return shutdown

    def _watch(self, _: DevmemSocket, __: channel.Watch, ___: Session) -> Attempt:
        return lambda _: channel.Done()

    def _read_errqueue(self, sock: DevmemSocket, _: channel.ReadErrQueue, __: Session) -> Attempt:
        def read(_: float) -> channel.Completion:
            completion = sock.errqueue.read()
            if completion is None:
                raise BlockingIOError(errno.EAGAIN, "no completion waits")
            return channel.Completion(uapi.EXTENDED_ERR.pack(*completion))

        return read

    def _wait_completions(
        self, sock: DevmemSocket, request: channel.WaitCompletions, _: Session
    ) -> Attempt:
        def wait(_: float) -> channel.Done:
            if sock.errqueue.completed < request.count:
                raise BlockingIOError(errno.EAGAIN, f"{sock.errqueue.completed} of {request.count} completed")
            return channel.Done(sock.errqueue.completed)

        return wait

    def _setsockopt(self, sock: DevmemSocket, request: channel.SetSockOpt, _: Session) -> Attempt:
        def setsockopt(_: float) -> channel.Done:
            return channel.Done(socket_options.set_option(sock, request.level, request.option, request.value))

        return setsockopt

    def _getsockopt(self, sock: DevmemSocket, request: channel.GetSockOpt, _: Session) -> Attempt:
        return lambda _: channel.Value(socket_options.get_option(sock, request.level, request.option))


def _refuse(number: int, message: str) -> Attempt:
    def refuse(_: float) -> Reply:
        raise OSError(number, message)

    return refuse


def _netlink_reply(result: Any) -> channel.NetlinkReply:
    return channel.NetlinkReply(msgspec.Raw(msgspec.msgpack.encode(result)))


def _address(sock: DevmemSocket, text: str) -> int:
    """'' is INADDR_ANY, or IN6ADDR_ANY. An address of the other family: EAFNOSUPPORT, EINVAL."""
    try:
        address = ip.address_int(text) if text else 0
    except ValueError:
        raise OSError(errno.EINVAL, f"{text!r} is not an address that a link carries") from None
    v6 = sock.family == socket.AF_INET6
    if text and (":" in text) is not v6:
        number, want = (errno.EINVAL, "an IPv6") if v6 else (errno.EAFNOSUPPORT, "an IPv4")
        raise OSError(number, f"{text!r} is not {want} address, as a socket of this family needs")
    return address


def _name(sock: DevmemSocket, name: tuple[int, int]) -> tuple[str, int]:
    text = ip.mapped_text if sock.family == socket.AF_INET6 else ip.address_text
    return text(name[0]), name[1]


def _names(sock: DevmemSocket) -> channel.SocketNames:
    return channel.SocketNames(_name(sock, sock.local), _name(sock, sock.remote), sock.family)



def _impaired(impairment: Impairment | None) -> tuple[channel.Impaired, ...]:
    if impairment is None:
        return ()
    lanes = (("rx", impairment.rx), ("tx", impairment.tx))
    return tuple(channel.Impaired(name, *astuple(lane.counters)) for name, lane in lanes)
