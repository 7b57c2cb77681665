"""A TCP socket: the state between an application's calls and a connection.

In: calls, which never block: BlockingIOError says "not yet", and the caller tries again when the socket has
changed. Out: results as the kernel gives them, OSError with its errno. Owns the connection, the receive
queue, the application's tokens and the zero-copy completions. Source: net/ipv4/tcp.c, net/ipv4/af_inet.c;
recvmsg, sendmsg, poll and the socket options have files of their own.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from typing import Final, Protocol, cast

from nodes.inet.route import Route
from nodes.kernel_version import KernelVersion
from nodes.machine.cpu import Cpu
from nodes.nic.net_device import NetDevice
from nodes.skb import Frags
from nodes.sock.bind_table import V4, V6, BindTable
from nodes.sock.errqueue import ErrQueue, Event
from nodes.sock.flow import Flow
from nodes.sock.recv_queue import RecvQueue
from nodes.sock.send_pages import SendPages
from nodes.sock.socket_options import SocketOptions
from nodes.sock.socket_state import SocketState
from nodes.sock.timestamping import Timestamping
from nodes.sock.user_frags import UserFrags
from nodes.tcp.connection import Connection
from nodes.tcp.netns import TcpNetns
from nodes.tcp.state import State
from nodes.uapi import socket as uapi

_TOKEN: Final = uapi.DMABUF_TOKEN
_CLOSED: Final = State.CLOSED
_TIME_WAIT: Final = State.TIME_WAIT
_CONNECTING = (State.SYN_SENT, State.SYN_RECEIVED)
SOMAXCONN = 4096  # sysctl net.core.somaxconn: the longest accept queue
# What tcp_disconnect leaves an error after: tcp_need_reset, and SYN_SENT.
_CUT = (*_CONNECTING, State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.FIN_WAIT_2)
_MAY_SEND = (State.ESTABLISHED, State.CLOSE_WAIT)


class Stack(Protocol):
    """What a socket asks of its host's TCP. `devices` by ifindex; `tcp`: its sysctls and counters;
    `realtime`: seconds from its monotonic clock to CLOCK_REALTIME."""

    tcp: TcpNetns
    kernel: KernelVersion
    realtime: float
    cpu: Cpu
    send_pages: SendPages
    devices: dict[int, NetDevice]
    ports: BindTable[DevmemSocket]

    def claim(self, sock: DevmemSocket, address: int, port: int) -> tuple[int, int]:
        """Give `sock` an address (0: any) and a port (0: choose one). EADDRNOTAVAIL, EADDRINUSE."""

    def listen(self, sock: DevmemSocket) -> None:
        """`sock` takes new connections to its port. EADDRINUSE."""

    def connect(self, sock: DevmemSocket, address: int, port: int, now: float) -> None:
        """Begin a connection. ENETUNREACH, EADDRNOTAVAIL."""

    def reroute(self, sock: DevmemSocket, now: float) -> Route | None:
        """Look up the route of a connection again; None where there is none."""

    def path_mtu(self, sock: DevmemSocket, now: float) -> int:
        """Bytes of the largest packet that the connection's route is known to take."""

    def touch(self, sock: DevmemSocket) -> None:
        """The connection may have something to send, and the callers may go on."""

    def forget(self, sock: DevmemSocket) -> None:
        """There is no connection any more."""

    def disconnect(self, sock: DevmemSocket, now: float) -> None:
        """`sock`, whose connection has ended, starts afresh; a listener stops listening."""

    def release(self, sock: DevmemSocket, now: float) -> None:
        """The application closed `sock`."""


def error(number: int, text: str = "") -> OSError:
    return OSError(number, text or os.strerror(number))


class DevmemSocket:
    """`local` and `remote` are (address as an integer, port), see wire.ip; (0, 0) while unset. A socket of
    family AF_INET6 speaks IPv4 too, unless IPV6_V6ONLY is set."""

    def __init__(self, stack: Stack, family: int = socket.AF_INET) -> None:
        self.stack = stack
        self.family = family
        self.slots: tuple[int, ...] = ()  # of the bind table
        self.local = self.remote = (0, 0)  # getsockname still shows a port that is no longer held
        self.bound = (0, 0)  # what bind asked for; it survives a connection
        self.route: Route | None = None  # of the connection, as sk_dst_cache: it may be obsolete, or missing
        self.options = SocketOptions()
        self.socket_state = SocketState.UNCONNECTED
        self.connection: Connection | None = None
        self.recv_queue = RecvQueue()
        self.user_frags = UserFrags()
        self.errqueue = ErrQueue()
        self.timestamping = Timestamping(self.errqueue, stack.realtime)
        self.bytes_sent = 0  # payload bytes given to the connection: the stream offset of the next byte
        self.saved_syn = b""  # TCP_SAVED_SYN: until it is read
        self.inet_id = 0  # IPv4 identification of the next packet; a SYN-ACK has 0
        self.closed = False  # by the application; the connection may live on
        self.listening = False
        self.backlog = 0
        self.accept_queue: deque[DevmemSocket] = deque()
        self.arrivals = 0  # of data and of connections to accept: each wakes pollers (sk_data_ready)
        self.syn_queue_length = 0  # children whose handshake is not finished
        self.listener: DevmemSocket | None = None  # the parent of a child that was not accepted yet
        self.in_handshake = False  # a child whose handshake is not finished
        self.soft_error = 0  # sk_err_soft: ICMP reported it, and the connection went on
        self.pending_error = 0  # the errno that the next call will meet
        self._send_shutdown = self.receive_shutdown = False

    # --- names

    @property
    def versions(self) -> tuple[tuple[int, bool], ...]:
        """For each version of IP, whether this socket may speak it."""
        v6 = self.family == socket.AF_INET6
        return (V4, not (v6 and self.options.v6only)), (V6, v6)

    @property
    def sharing(self) -> SocketOptions:
        """The options by which the port may be shared."""
        return self.options

    @property
    def flow(self) -> Flow:
        return Flow(*self.local, *self.remote)

    @property
    def device(self) -> NetDevice | None:
        """The device that the route leaves by; None without one."""
        return None if self.route is None else self.route.link.device

    @property
    def state(self) -> State:
        """sk_state of a socket that does not listen. A connection in TIME_WAIT no longer belongs to it."""
        connection = self.connection
        if connection is None or connection.state is _TIME_WAIT:
            return _CLOSED
        return connection.state

    @property
    def peer(self) -> tuple[int, int]:
        """What getpeername tells (inet_getname): (0, 0) without a peer."""
        return (0, 0) if self.state in (State.CLOSED, State.SYN_SENT) else self.remote

    @property
    def accept_queue_full(self) -> bool:
        """sk_acceptq_is_full: the queue holds one connection more than the backlog."""
        return len(self.accept_queue) > self.backlog

    def bind(self, address: int, port: int) -> None:
        """EINVAL when bound already, EADDRNOTAVAIL for an address that is not this host's, EADDRINUSE."""
        if self.slots or self.connection is not None:
            raise error(errno.EINVAL, "the socket is bound already")
        self.local = self.stack.claim(self, address, port)
        self.bound = (address, port)

    def listen(self, backlog: int) -> None:
        """Accept connections; binds to a free port if need be. `backlog`: as an unsigned number."""
        if self.socket_state is not SocketState.UNCONNECTED:
            raise error(errno.EINVAL, "a connected socket cannot listen")
        if not self.slots:
            self.local = self.stack.claim(self, self.bound[0], 0)
        self.stack.listen(self)
        self.listening = True
        self.backlog = min(backlog & 0xFFFFFFFF, SOMAXCONN)

    def accept(self) -> DevmemSocket:
        """The next connection, complete; BlockingIOError when there is none."""
        if not self.listening:
            raise error(errno.EINVAL, "the socket does not listen")
        if not self.accept_queue:
            raise BlockingIOError(errno.EAGAIN, "no connection waits")
        child = self.accept_queue.popleft()
        child.listener = None
        child.socket_state = SocketState.CONNECTED
        return child

    # --- connecting

    def start_connect(self, address: int, port: int, now: float) -> None:
        """Begin to connect, unless an attempt is under way; connect_result tells the outcome. EISCONN, EINVAL
        after a shutdown, ENETUNREACH, EADDRNOTAVAIL."""
        if self.socket_state is SocketState.DISCONNECTING:
            raise error(errno.EINVAL, "the socket was shut down while it was connecting: take another")
        if self.listening or self.socket_state is SocketState.CONNECTED:
            raise error(errno.EISCONN)
        if self.socket_state is SocketState.CONNECTING:
            return
        held = bool(self.slots)
        if not held:
            self.local = self.stack.claim(self, self.bound[0], 0)
        try:
            self.stack.connect(self, address, port, now)
        except OSError:
            if not held:
                self.stack.forget(self)
                self.local = self.bound
            raise
        self.socket_state = SocketState.CONNECTING
        self.pending_error = 0

    def connect_result(self, now: float, waiting: int = errno.EINPROGRESS) -> None:
        """Return when connected. BlockingIOError with errno `waiting` while connecting: EINPROGRESS, or
        EALREADY for an earlier attempt. The errno of a failed attempt, after which the socket is as before
        (__inet_stream_connect)."""
        if self.state in _CONNECTING:
            raise BlockingIOError(waiting, os.strerror(waiting))
        if self.state is State.CLOSED:
            number = self.take_error() or errno.ECONNABORTED
            self.disconnect(now)
            raise error(number)
        self.socket_state = SocketState.CONNECTED

    def disconnect(self, now: float) -> None:
        """Return to the state after bind, as connect(2) with AF_UNSPEC does; connections in the accept queue
        are reset. ECONNRESET is pending where a connection was cut (tcp_disconnect)."""
        pending = errno.ECONNRESET if self.state in _CUT else self.pending_error
        if self.connection is not None:
            self.connection.abort(now)
            self.absorb(now)
        self.timestamping.clear()
        self.stack.disconnect(self, now)
        self.socket_state = SocketState.UNCONNECTED
        self.connection = None
        self.remote, self.local = (0, 0), (self.bound[0], self.local[1])
        self._send_shutdown = self.receive_shutdown = False
        self.route = None
        self.bytes_sent = self.errqueue.last_end = self.syn_queue_length = self.soft_error = 0
        self.pending_error = pending
        self.recv_queue.release_all()
        self._drop_accept_queue(now)
        self.listening = False
        self.stack.touch(self)

    # --- data: see recvmsg and sendmsg

    def check_may_send(self) -> Connection:
        """The connection, which may take data. EPIPE, ENOTCONN, the connection's error, BlockingIOError while
        connecting."""
        self.raise_error()
        connection = self.connection
        if connection is not None and connection.state in _CONNECTING:
            raise BlockingIOError(errno.EAGAIN, "still connecting")
        if connection is None or not self.sending:
            raise error(errno.EPIPE)
        return connection

    def shutdown(self, how: int, now: float) -> None:
        """SHUT_WR (1) and SHUT_RDWR (2) end our stream. SHUT_RD (0) and SHUT_RDWR end reading, and change
        nothing on the wire. SHUT_RD and SHUT_RDWR end listening; each of the three ends an attempt to
        connect. EINVAL for another value. ENOTCONN without a connection, though the shutdown takes effect
        (inet_shutdown)."""
        if how not in (0, 1, 2):
            raise error(errno.EINVAL, f"shutdown how={how}: 0, 1 or 2")
        state = self.state
        if self.socket_state is SocketState.CONNECTING:
            failed = state is State.CLOSED or state in _CONNECTING
            self.socket_state = SocketState.DISCONNECTING if failed else SocketState.CONNECTED
        if self.listening or state is State.SYN_SENT:
            if how != socket.SHUT_WR or not self.listening:
                self.disconnect(now)
            return
        if how != socket.SHUT_WR:
            self.receive_shutdown = True
            if self.connection is not None:
                self.connection.shutdown_receive()
        if how != socket.SHUT_RD and not self._send_shutdown:
            self._send_shutdown = True
            if self.connection is not None:
                self.connection.shutdown(now)
        self.stack.touch(self)
        if state is State.CLOSED:
            raise error(errno.ENOTCONN)

    def devmem_dontneed(self, value: bytes) -> int:
        """SO_DEVMEM_DONTNEED (net/core/sock.c): returns how many fragments were freed; EINVAL for a bad
        length."""
        size = _TOKEN.size
        if len(value) % size or not 4 <= len(value) <= uapi.MAX_DONTNEED_TOKENS * size:
            raise error(
                errno.EINVAL,
                f"SO_DEVMEM_DONTNEED of {len(value)} bytes: give 1 to 128 tokens of {size} bytes",
            )
        frags_max = self.stack.kernel.dontneed_frags_max
        return self.user_frags.dontneed(_TOKEN.iter_unpack(value), frags_max)

    @property
    def sending(self) -> bool:
        """Whether our stream is open."""
        connection = self.connection
        return connection is not None and not self._send_shutdown and connection.state in _MAY_SEND

    def take_error(self) -> int:
        """SO_ERROR: the pending errno, cleared."""
        pending, self.pending_error = self.pending_error, 0
        return pending

    def raise_error(self) -> None:
        """Raise the pending error once."""
        if self.pending_error:
            raise error(self.take_error())

    def read_errqueue(self) -> Event | None:
        """The oldest event of the error queue. The pending error was an ICMP error's and is the next one's,
        if there is one (sock_dequeue_err_skb)."""
        event, following = self.errqueue.read(), self.errqueue.first
        if following is not None and following.is_icmp:
            self.pending_error = following.extended_err.ee_errno
        elif event is not None and event.is_icmp:
            self.pending_error = 0
        return event

    # --- what the connection produced

    def absorb(self, now: float) -> None:
        """Segments or timers changed the connection: take its payload, completions and errors."""
        connection = self.connection
        if connection is None:
            return
        received, before = connection.received, self.recv_queue.total
        self.arrivals += bool(received)
        while received:
            self.recv_queue.append(cast(Frags, received.popleft()))  # TCP is opaque to what it carries
        stamps = self.timestamping
        if stamps.flags and self.recv_queue.total > before:
            stamps.on_received(before, self.recv_queue.total, connection.tcb.receiver.last_data_at)
        self.errqueue.acknowledged(connection.bytes_acked)
        stamps.on_acknowledged(connection, now)
        if connection.state is not _CLOSED:
            return
        if connection.error:
            self.pending_error, connection.error = connection.error, 0
            if self.pending_error == errno.ETIMEDOUT and self.soft_error:
                self.pending_error = self.soft_error  # tcp_write_err
        self.errqueue.abort()

    def close(self, now: float, reset: bool = False) -> None:
        """The application closed the socket: tokens return, and the connection ends by a FIN. It ends by a
        reset if it was never accepted (inet_csk_listen_stop), was still connecting, or SO_LINGER is 0 s."""
        self.closed = True
        self.user_frags.release_all()
        self._drop_accept_queue(now)
        options = self.options
        if self.connection is not None:
            if reset or self.connection.state in _CONNECTING or (options.linger and not options.linger_s):
                self.connection.abort(now)
            else:
                self.connection.close(now)
        self.recv_queue.release_all()
        self.stack.release(self, now)

    def _drop_accept_queue(self, now: float) -> None:
        for child in self.accept_queue:
            child.close(now, reset=True)
        self.accept_queue.clear()

