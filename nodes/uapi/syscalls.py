"""What is asked of an endpoint and what it answers: one record a system call, one a netlink operation.

Requests and replies are the same on both sides, client and endpoint, and say what is asked, never how. Bytes
that do not lie in registered memory go inline, INLINE_BYTES a call at most. How a record crosses: `channel`.
"""

from __future__ import annotations

import socket

import msgspec

from nodes.machine.ledger import Moved

INLINE_BYTES = 128 << 10
USER_MEMORY_NAME = "user-memory"  # of the memfd that RegisterMemory brings


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
