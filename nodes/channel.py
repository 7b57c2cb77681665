"""The system-call channel: framed records and descriptors over an AF_UNIX socket of packets.

A record is one packet; descriptors ride with it (SCM_RIGHTS). Requests and replies are the same on both
sides, client and endpoint, and say what is asked, never how. A channel begins as its process's control
channel; OpenSocket or AttachSocket make it a socket's. Bytes that do not lie in registered memory go
inline, INLINE_BYTES a call at most.
"""

from __future__ import annotations

import array
import errno
import mmap
import os
import socket
from contextlib import suppress
from typing import TypeVar

import msgspec

from nodes.machine.ledger import Moved

INLINE_BYTES = 128 << 10
RECORD_BYTES = INLINE_BYTES + (64 << 10)  # the largest record: inline bytes and 1,024 cmsgs fit
_BUFFER_BYTES = 1 << 20
_MAX_FDS = 4
_FD_BYTES = array.array("i").itemsize
_SO_SNDBUFFORCE = 32


class ChannelClosed(ConnectionResetError):
    """The other side is gone: its process ended, or it refused us. ECONNRESET."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.ECONNRESET, text)


class Record(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of everything that crosses the channel."""


class Request(Record, frozen=True):
    """Answered by exactly one Reply, unless it says otherwise."""


class Reply(Record, frozen=True):
    pass


# --- the control channel


class Hello(Request, frozen=True):
    """Who are you? -> Welcome, with the memory bus's descriptor if the host has a ceiling."""


class Welcome(Reply, frozen=True):
    name: str
    address: str
    prefix: int
    kernel_address: str
    ifname: str
    ifindex: int
    mtu: int
    address6: str = ""
    prefix6: int = 0


class RegisterMemory(Request, frozen=True):
    """User memory by memfd (one descriptor) -> Done(memory id). Lives until its channel closes."""


class UnregisterMemory(Request, frozen=True):
    memory: int


class OpenKernelSocket(Request, frozen=True):
    """A Linux TCP socket of the host's namespace -> Done(0) with one descriptor."""


class GetStats(Request, frozen=True):
    """-> Stats."""


class Impaired(msgspec.Struct, frozen=True):
    """What the NIC's bad wire did to the wire packets of a direction, "rx" or "tx"; see nic.impairment."""

    direction: str
    packets: int
    lost: int
    reordered: int
    duplicated: int
    corrupted: int
    overflowed: int


class Stats(Reply, frozen=True):
    """What the endpoint's machine did so far: the ledger, seconds of CPU, and device-wide counters."""

    ledger: tuple[Moved, ...]
    cpu_s: float
    rx_packets: int
    rx_bytes: int
    rx_wire_packets: int
    rx_alloc_fail: int
    rx_hw_drops: int
    rx_hw_drop_overruns: int
    tx_packets: int
    tx_bytes: int
    tx_wire_packets: int
    tcp_retrans_segs: int
    impaired: tuple[Impaired, ...] = ()


class GetSnmp(Request, frozen=True):
    """-> Snmp."""


class Snmp(Reply, frozen=True):
    """The stack's counters, by the names of nstat."""

    counters: dict[str, int]


class GetSockets(Request, frozen=True):
    """Sockets of the host from the `first`-th on -> Sockets."""

    first: int


class SocketRow(msgspec.Struct, frozen=True, array_like=True):
    """One socket as `ss` shows it. Of a listener, `recv_q` is its accept queue and `send_q` its backlog; of
    others, bytes not read and bytes not acknowledged. `info`: the fields of nodes.tcp.info.TcpInfo, none of
    a listener and in TIME-WAIT."""

    state: str
    recv_q: int
    send_q: int
    local: tuple[str, int]
    remote: tuple[str, int]
    info: dict[str, int | float | str]


class Sockets(Reply, frozen=True):
    rows: tuple[SocketRow, ...]
    more: bool


class Netlink(Request, frozen=True):
    """One operation of a netlink family: attributes by name, encoded (a descriptor where `fd` says so)
    -> NetlinkReply."""

    family: str
    operation: str
    attributes: msgspec.Raw
    dump: bool = False


class NetlinkReply(Reply, frozen=True):
    """A list of objects for a dump, one object for a do."""

    result: msgspec.Raw


# --- a socket's channel


class OpenSocket(Request, frozen=True):
    """This channel is a new TCP socket, AF_INET or AF_INET6 -> Done(handle)."""

    family: int = socket.AF_INET


class AttachSocket(Request, frozen=True):
    """This channel serves the socket of `handle` as well (accept, dup) -> SocketNames."""

    handle: int


class SocketNames(Reply, frozen=True):
    """Addresses as the socket's family spells them."""

    local: tuple[str, int]
    remote: tuple[str, int]
    family: int = socket.AF_INET


class GetNames(Request, frozen=True):
    """-> SocketNames."""


class Bind(Request, frozen=True):
    address: str
    port: int


class Listen(Request, frozen=True):
    backlog: int


class Connect(Request, frozen=True):
    """`timeout_s`: None waits, 0 starts and answers EINPROGRESS."""

    address: str
    port: int
    timeout_s: float | None


class Accept(Request, frozen=True):
    """-> Accepted."""

    timeout_s: float | None


class Accepted(Reply, frozen=True):
    handle: int
    remote: tuple[str, int]


class Span(msgspec.Struct, frozen=True, array_like=True):
    """`length` bytes of registered memory from `offset` on."""

    memory: int
    offset: int
    length: int


NO_MEMORY = Span(0, 0, 0)  # a budget without a buffer, as iov_base NULL


class RecvMsg(Request, frozen=True):
    """Receive `length` bytes at most -> RecvReply. Ordinary data goes to `into`, or inline when None. Inline
    data fills `room` bytes or one record at most; the rest of a call comes by further requests, which say how
    many bytes of `length` those `before` them took."""

    length: int
    control_bytes: int
    flags: int
    into: Span | None
    timeout_s: float | None
    room: int = INLINE_BYTES
    before: int = 0


class RecvReply(Reply, frozen=True):
    """`count` bytes in all: `data` inline, or written to the span, or described by `cmsgs`: consecutive
    struct dmabuf_cmsg, those with dmabuf_id 0 of SCM_DEVMEM_LINEAR, whose bytes are data."""

    count: int
    data: bytes
    cmsgs: bytes


class SendMsg(Request, frozen=True):
    """Send a registered span, inline bytes, or (offset, length) pairs of a bound dma-buf -> Done(bytes).
    Several may make one call: `before` is how many bytes those before this one took, and `more` says that
    another follows if all of this one is taken."""

    flags: int
    data: bytes
    source: Span | None
    dmabuf_id: int
    iov: tuple[tuple[int, int], ...]
    timeout_s: float | None
    before: int = 0
    more: bool = False


class ReadErrQueue(Request, frozen=True):
    """-> Completion, or EAGAIN."""


class Completion(Reply, frozen=True):
    extended_err: bytes


class WaitCompletions(Request, frozen=True):
    """-> Done(completed) as soon as `count` zero-copy sends of the socket have completed."""

    count: int
    timeout_s: float | None


class SetSockOpt(Request, frozen=True):
    """-> Done(what the kernel's setsockopt returns)."""

    level: int
    option: int
    value: bytes


class DontNeed(Request, frozen=True):
    """SO_DEVMEM_DONTNEED without an answer, for a pipeline of receives."""

    tokens: bytes


class GetSockOpt(Request, frozen=True):
    """-> Value. `length` is the buffer's: it chooses between the forms of a value that has two."""

    level: int
    option: int
    length: int = 4


class Value(Reply, frozen=True):
    value: bytes


class Shutdown(Request, frozen=True):
    how: int


class Watch(Request, frozen=True):
    """-> Done with a descriptor that polls as the socket does, the same for all its channels."""


# --- replies that many requests share


class Done(Reply, frozen=True):
    value: int = 0


class Failed(Reply, frozen=True):
    """`attribute` names what netlink's extack would point at."""

    number: int
    message: str
    attribute: str = ""


AnyRequest = (
    Hello | RegisterMemory | UnregisterMemory | OpenKernelSocket | GetStats | GetSnmp | GetSockets | Netlink
    | OpenSocket | AttachSocket | GetNames | Bind | Listen | Connect | Accept | Shutdown | Watch
    | RecvMsg | SendMsg | ReadErrQueue | WaitCompletions | SetSockOpt | DontNeed | GetSockOpt
)
AnyReply = (
    Welcome | Stats | Snmp | Sockets | NetlinkReply | SocketNames | Accepted | RecvReply | Completion | Value
    | Done | Failed
)

_encode = msgspec.msgpack.Encoder().encode
_requests = msgspec.msgpack.Decoder(AnyRequest)
_replies = msgspec.msgpack.Decoder(AnyReply)
_R = TypeVar("_R")


class Channel:
    """One end. Received descriptors are the caller's to close. `buffer` of RECORD_BYTES is where records
    arrive; channels that one thread serves may share it: an endpoint has thousands."""

    def __init__(self, sock: socket.socket, buffer: bytearray | None = None) -> None:
        self._socket = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        # A mapping takes memory only where a record has lain: most are short.
        self._buffer = mmap.mmap(-1, RECORD_BYTES) if buffer is None else buffer
        self._view = memoryview(self._buffer)

    @classmethod
    def connect(cls, path: str) -> Channel:
        """Raises OSError when nobody listens at `path`."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            raise
        return cls(sock)

    def fileno(self) -> int:
        return self._socket.fileno()

    def setblocking(self, blocking: bool) -> None:
        self._socket.setblocking(blocking)

    def send(self, record: Record, fds: tuple[int, ...] = ()) -> None:
        """Raises BlockingIOError when a non-blocking channel is full, ChannelClosed."""
        data = _encode(record)
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([data], control)
        except (BrokenPipeError, ConnectionResetError):
            raise ChannelClosed("the channel is closed") from None

    def receive_request(self) -> tuple[AnyRequest, list[int]]:
        """The next request and its descriptors. Raises ChannelClosed, BlockingIOError, and
        msgspec.MsgspecError for bytes that are no request."""
        return self._receive(_requests)

    def receive_reply(self) -> tuple[AnyReply, list[int]]:
        return self._receive(_replies)

    def _receive(self, decoder: msgspec.msgpack.Decoder[_R]) -> tuple[_R, list[int]]:
        try:
            count, control, _, _ = self._socket.recvmsg_into(
                [self._buffer], socket.CMSG_SPACE(_MAX_FDS * _FD_BYTES), socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            count, control = 0, []
        if count == 0:
            raise ChannelClosed("the channel is closed")
        fds = array.array("i")
        for _, _, data in control:
            fds.frombytes(data[: len(data) - len(data) % _FD_BYTES])
        try:
            return decoder.decode(self._view[:count]), list(fds)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
            for fd in fds:
                os.close(fd)
            raise msgspec.DecodeError(str(e)) from None

    def hang_up(self, patience_s: float) -> None:
        """Close, and wait until the other end has closed too: what it did for us is then undone."""
        with suppress(OSError):  # it has gone already, or has other things to do
            self._socket.settimeout(patience_s)
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv_into(self._buffer):
                pass
        self._socket.close()

    def close(self) -> None:
        self._socket.close()
