"""System calls as records: a request for each call, and its reply.

In and out: the fields of a call. Owns nothing. Application (nodes/client) and endpoint (nodes/syscall) share
these records; `channel` sends them. Bytes of a call lie in memory that the process has registered, or inline
in the record, INLINE_BYTES at most. `timeout_s` is how many seconds a call may block: None for ever, 0 not at
all. Without one (None) SO_RCVTIMEO or SO_SNDTIMEO of the socket counts.
"""

from __future__ import annotations

import socket
from typing import Final

import msgspec

from nodes.machine.routes import Moved
from nodes.uapi.nic_records import Impaired, NicInfo, NicStats
from nodes.uapi.socket_row import SocketRow

INLINE_BYTES: Final = 128 << 10
USER_MEMORY_NAME: Final = "user-memory"  # of the memfd that RegisterMemory brings


class Record(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of all that a channel carries."""


class Request(Record, frozen=True):
    """Answered by one Reply: by Failed, or by the one that the request names. DontNeed alone has none."""


class Reply(Record, frozen=True):
    """The answer to one Request."""


# --- the control channel


class Hello(Request, frozen=True):
    """-> Welcome, with a descriptor for each bus of the host whose bandwidth is limited."""


class Welcome(Reply, frozen=True):
    """The host's name and NICs, the first one in front; `kernel_address` is Linux's own on the link of the
    first NIC, "" for none. `buses`: the names of those whose descriptors come along (nodes.machine.buses)."""

    name: str
    kernel_address: str
    nics: tuple[NicInfo, ...]
    buses: tuple[str, ...] = ()


class RegisterMemory(Request, frozen=True):
    """Register the memory of a memfd named USER_MEMORY_NAME, whose descriptor comes along -> Done(memory
    number). Registered until its channel closes."""


class UnregisterMemory(Request, frozen=True):
    """-> Done."""

    memory: int


class OpenKernelSocket(Request, frozen=True):
    """A TCP socket of Linux, made in the host's network namespace -> Done(0) with its descriptor."""


class WithholdMemory(Request, frozen=True):
    """A fault: page pools have this share (0 to 1) of bound dma-bufs less -> Done. Needs CAP_NET_ADMIN."""

    share: float


class GetStats(Request, frozen=True):
    """-> Stats. `restart_peak`: the next reply's `rx_pool_peak_share` is of the time from now on.
    `restart_recent`: likewise its `rx_pool_recent_share`, for one who looks more often."""

    restart_peak: bool = False
    restart_recent: bool = False


class Stats(Reply, frozen=True):
    """What the host has done so far: bytes moved through memory, seconds of CPU time, and counters of its TCP
    and of its NICs, together and each. `rx_pool_peak_share`: the highest share (0 to 1) of an rx queue's
    memory that packets and applications have held at once, of all queues, since it was restarted;
    `rx_pool_recent_share`: likewise; `rx_pool_share`: the highest one now. Context switches are of the
    endpoint's process: it waited, or the scheduler took the CPU from it."""

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
    nics: tuple[NicStats, ...] = ()
    rx_pool_peak_share: float = 0.0
    voluntary_switches: int = 0
    involuntary_switches: int = 0
    rx_pool_share: float = 0.0
    rx_pool_recent_share: float = 0.0


class GetSnmp(Request, frozen=True):
    """-> Snmp."""


class Snmp(Reply, frozen=True):
    """The stack's counters so far, by nstat's names (those of /proc/net/snmp and /proc/net/netstat)."""

    counters: dict[str, int]


class GetSockets(Request, frozen=True):
    """The host's sockets from number `first` on -> Sockets."""

    first: int


class Sockets(Reply, frozen=True):
    """`more`: there are others after these."""

    rows: tuple[SocketRow, ...]
    more: bool


class Netlink(Request, frozen=True):
    """One operation of a netlink family -> NetlinkReply. `attributes` is their encoded map by name; where the
    operation has an attribute `fd`, its descriptor comes along."""

    family: str
    operation: str
    attributes: msgspec.Raw
    dump: bool = False


class NetlinkReply(Reply, frozen=True):
    """The encoded result: a list of objects for a dump, one object for a do."""

    result: msgspec.Raw


# --- a socket's channel


class OpenSocket(Request, frozen=True):
    """socket(2): a new TCP socket, AF_INET or AF_INET6, that this channel serves -> Done(handle)."""

    family: int = socket.AF_INET


class AttachSocket(Request, frozen=True):
    """This channel, too, serves the open socket of `handle`, after accept or for dup -> SocketNames."""

    handle: int


class SocketNames(Reply, frozen=True):
    """(address, port) of both ends, as the socket's family writes them. An end that is not set is the
    family's any-address with port 0."""

    local: tuple[str, int]
    remote: tuple[str, int]
    family: int = socket.AF_INET


class GetNames(Request, frozen=True):
    """-> SocketNames."""


class Bind(Request, frozen=True):
    """-> Done. `address` "" is the family's any-address, `port` 0 any free port."""

    address: str
    port: int


class Listen(Request, frozen=True):
    """-> Done."""

    backlog: int


class Connect(Request, frozen=True):
    """-> Done when the connection is established. With `timeout_s` 0, and when the timeout runs out, it fails
    with EINPROGRESS and goes on."""

    address: str
    port: int
    timeout_s: float | None


class Disconnect(Request, frozen=True):
    """connect(2) with AF_UNSPEC -> Done: the connection is reset, a listener stops, and the socket may bind,
    connect or listen again."""


class Accept(Request, frozen=True):
    """-> Accepted, the first connection of the accept queue."""

    timeout_s: float | None


class Accepted(Reply, frozen=True):
    """The connection's handle, to be served by AttachSocket on another channel, and its peer."""

    handle: int
    remote: tuple[str, int]


class Span(msgspec.Struct, frozen=True, array_like=True):
    """`length` bytes from `offset` on of the registered memory with that number."""

    memory: int
    offset: int
    length: int


NO_MEMORY: Final = Span(0, 0, 0)  # no buffer, as iov_base NULL: bytes in device memory need none


class RecvMsg(Request, frozen=True):
    """Receive at most `length` bytes, with `control_bytes` of room for control messages -> RecvReply.
    Ordinary data goes to `into`, or inline when that is None: at most `room` bytes, and INLINE_BYTES. A call
    that receives more inline makes several requests: `before` is how many bytes of `length` the earlier ones
    took. `tokens` are returned first, as DontNeed returns them."""

    length: int
    control_bytes: int
    flags: int
    into: Span | None
    timeout_s: float | None
    room: int = INLINE_BYTES
    before: int = 0
    tokens: bytes = b""


class RecvReply(Reply, frozen=True):
    """`count` bytes: inline in `data`, written to the span, or described by `cmsgs`. These are consecutive
    struct dmabuf_cmsg, each of one SCM_DEVMEM_DMABUF; or, with dmabuf_id 0, of one SCM_DEVMEM_LINEAR, whose
    bytes are the next ones of the data. `control` has the other control messages, which follow: level, type
    and body of each."""

    count: int
    data: bytes
    cmsgs: bytes
    control: tuple[tuple[int, int, bytes], ...] = ()


class SendMsg(Request, frozen=True):
    """Send -> Done(bytes taken, completed zero-copy sends): `source`, a span of registered memory; or inline
    `data`; or `iov`, (offset, length) pairs of the dma-buf bound as `dmabuf_id`. A call may make several
    requests: `before` is how many bytes the earlier ones took, and `more` says that another follows if all of
    this one is taken. `tsflags`: the body of a control message SO_TIMESTAMPING, -1 without one."""

    flags: int
    data: bytes
    source: Span | None
    dmabuf_id: int
    iov: tuple[tuple[int, int], ...]
    timeout_s: float | None
    before: int = 0
    more: bool = False
    tsflags: int = -1


class SendThenRecv(Request, frozen=True):
    """Two calls in one, linked as by IOSQE_IO_LINK of io_uring: `send`, of the open socket of `handle`, takes
    what it can without waiting; if that is everything, `recv` follows -> SentThenReceived. The tokens of
    `recv` go back in any case."""

    handle: int
    send: SendMsg
    recv: RecvMsg


class SentThenReceived(Reply, frozen=True):
    """What each would be answered alone; ECANCELED for a receive that did not begin. `completed` of `sent` is
    that of the reply's time."""

    sent: Done | Failed
    received: RecvReply | Failed


class ReadErrQueue(Request, frozen=True):
    """recvmsg with MSG_ERRQUEUE -> Completion; EAGAIN when the queue is empty."""


class Completion(Reply, frozen=True):
    """One struct sock_extended_err: a range of completed zero-copy sends, a stamp of SO_TIMESTAMPING, or an
    ICMP error, which has the address and port that it is about and its sender. `control` has the control
    messages before it: level, type and body of each; `data` what the caller's buffer gets."""

    extended_err: bytes
    control: tuple[tuple[int, int, bytes], ...] = ()
    data: bytes = b""
    name: tuple[str, int] | None = None
    offender: str = ""


class WaitCompletions(Request, frozen=True):
    """Block until `count` zero-copy sends of the socket have completed -> Done(how many have)."""

    count: int
    timeout_s: float | None


class SetSockOpt(Request, frozen=True):
    """-> Done(what the kernel's setsockopt returns)."""

    level: int
    option: int
    value: bytes


class DontNeed(Request, frozen=True):
    """SO_DEVMEM_DONTNEED without a reply, not even a refusal: for a pipeline of receives. `tokens` are
    consecutive struct dmabuf_token."""

    tokens: bytes


class GetSockOpt(Request, frozen=True):
    """-> Value. `length` is that of the caller's buffer: a value that has two forms takes the one that
    fits."""

    level: int
    option: int
    length: int = 4


class Value(Reply, frozen=True):
    """The bytes of an option's value."""

    value: bytes


class Ioctl(Request, frozen=True):
    """ioctl(2) with SIOCINQ, SIOCOUTQ or SIOCOUTQNSD -> Done(bytes)."""

    request: int


class Shutdown(Request, frozen=True):
    """-> Done. `how`: SHUT_RD, SHUT_WR or SHUT_RDWR."""

    how: int


class Close(Request, frozen=True):
    """close(2) of a socket with SO_LINGER -> Done when its data and its FIN are acknowledged; EAGAIN when the
    time of SO_LINGER has passed. A socket that another channel serves as well stays open, and one without
    SO_LINGER closes with its channel. Close the channel next."""


class Watch(Request, frozen=True):
    """-> Done with the socket's poll file, a descriptor that polls as the socket does: the same one for all
    channels of the socket."""


# --- replies that many requests share


class Done(Reply, frozen=True):
    """Success, with the number that the request names. `completed`: of SendMsg, how many zero-copy sends of
    the socket have completed."""

    value: int = 0
    completed: int = 0


class Failed(Reply, frozen=True):
    """errno and a sentence; of a netlink operation also the attribute that extack would point at."""

    number: int
    message: str
    attribute: str = ""


AnyRequest = (
    Hello | RegisterMemory | UnregisterMemory | OpenKernelSocket | WithholdMemory | GetStats | GetSnmp
    | GetSockets | Netlink | OpenSocket | AttachSocket | GetNames | Bind | Listen | Connect | Disconnect
    | Accept | Shutdown | Close | Watch | RecvMsg | SendMsg | ReadErrQueue | WaitCompletions | SetSockOpt
    | DontNeed | GetSockOpt | Ioctl | SendThenRecv
)
AnyReply = (
    Welcome | Stats | Snmp | Sockets | NetlinkReply | SocketNames | Accepted | RecvReply | Completion | Value
    | Done | Failed | SentThenReceived
)
