"""sendmsg: from the application to the connection's send queue.

In: a request, and how many bytes of it were taken before. Out: how many bytes more were taken. Bytes of a
bound dma-buf are referenced; ordinary bytes are copied once, into host pages. Source: tcp_sendmsg_locked
(net/ipv4/tcp.c), net_devmem_get_binding (net/core/devmem.c), zerocopy_fill_skb_from_devmem and
skb_zerocopy_iter_stream (net/core/{datagram,skbuff}.c).
"""

from __future__ import annotations

import errno
from builtins import memoryview  # a compiled dataclass finds the type of a field among the imports
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodes.netmem.binding import TxBinding
from nodes.skb import Frag, Frags
from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.sock.errqueue import CODE_COPIED
from nodes.tcp.connection import Connection
from nodes.tcp.send_buffer import MAX_TCP_HEADER
from nodes.uapi import socket as uapi

_GSO_LEGACY_MAX: Final = 65536  # of a connection without a route
_COPY_BYTES: Final = 1 << 20  # of ordinary data in one entry of the send queue
_MORE_OR_EOR: Final = uapi.MSG_MORE | uapi.MSG_EOR


@dataclass(slots=True, init=False)
class SendRequest:
    """Either `dmabuf_id` > 0 and `iov`, (offset, length) pairs in bytes, or ordinary `data`. An `iov` with
    `dmabuf_id` 0 names addresses where there is no memory. A call may consist of several requests: the ones
    before this one took `before` bytes, and with `more` another follows if all of this one is taken.
    `length`: bytes of this one."""

    flags: int
    data: memoryview
    dmabuf_id: int
    iov: tuple[tuple[int, int], ...]
    before: int
    more: bool
    tsflags: int  # SO_TIMESTAMPING of this call; -1: as the socket has it
    length: int

    def __init__(
        self, flags: int, data: memoryview, dmabuf_id: int = 0, iov: tuple[tuple[int, int], ...] = (),
        before: int = 0, more: bool = False, tsflags: int = -1,
    ) -> None:  # fmt: skip
        self.flags = flags
        self.data = data
        self.dmabuf_id = dmabuf_id
        self.iov = iov
        self.before = before
        self.more = more
        self.tsflags = tsflags
        self.length = sum(length for _, length in iov) if iov else len(data)


def sendmsg(
    sock: DevmemSocket,
    request: SendRequest,
    done: int,
    binding_of: Callable[[int], TxBinding | None],
    now: float,
) -> int:
    """Take bytes of `request`, of which `done` bytes were taken; returns how many. BlockingIOError when the
    send buffer is full. Errors as in table E: EINVAL (E1, E2, E3), EHOSTUNREACH (E4), ENODEV (E5),
    EFAULT (E6, E10, E12, E16), ENOBUFS (E11); EOPNOTSUPP for MSG_OOB, since the stream would not mark urgent
    data."""
    if request.flags & uapi.MSG_OOB:
        raise error(errno.EOPNOTSUPP, "MSG_OOB: urgent data is not sent here, send it as any other")
    length, zerocopy = request.length, _notifies(sock, request)
    begun = done or request.before
    if zerocopy and length and not begun and sock.errqueue.full:
        raise error(errno.ENOBUFS, "too many zero-copy sends wait: read their completions first")
    binding = _binding(sock, request, binding_of, zerocopy, now) if request.dmabuf_id else None
    connection = sock.check_may_send()
    room = connection.send_room if done < length else 0
    if done < length and room <= 0:
        raise BlockingIOError(errno.EAGAIN, "the send buffer is full")
    if zerocopy and length and not begun:
        _check_tail(sock, request, connection)
    reach, cursor = length, None
    if binding is not None:
        reach = reach_inside(request.iov, binding.sendable_bytes, _skb_bytes(sock, connection))
        cursor = _IovCursor(request.iov, done, binding)
    taken = 0
    try:
        while done + taken < length and room > 0:
            inside = min(room, reach - done - taken)
            at = done + taken
            payload = _referenced(sock, cursor, inside) if cursor else _copied(sock, request, at, inside)
            taken += len(payload)
            sock.bytes_sent += len(payload)
            connection.send(payload, now)
            room = connection.send_room if done + taken < length else 0
    except OSError:
        if not taken:
            raise  # otherwise the short count is the answer, and the next call meets the error
    if request.flags & _MORE_OR_EOR and taken and done + taken == length and not request.more:
        connection.end_of_send(bool(request.flags & uapi.MSG_MORE), bool(request.flags & uapi.MSG_EOR))
    sock.stack.touch(sock)
    return taken


class SendCall:
    """One request of a sendmsg, from its first attempt to its answer. It keeps the bytes that it has taken
    while it waits for room in the send buffer."""

    def __init__(
        self, sock: DevmemSocket, request: SendRequest, binding_of: Callable[[int], TxBinding | None]
    ) -> None:
        self._sock = sock
        self._request = request
        self._binding_of = binding_of
        self._done = 0

    def attempt(self, now: float, wait: bool = True) -> int:
        """How many bytes of the request were taken. BlockingIOError when the call may `wait` and the rest has
        no room, or when nothing was taken. Other errors, as sendmsg's, are raised only before the first byte:
        after it the short count is the answer, and the next call meets the error."""
        sock, request = self._sock, self._request
        try:
            while not (self._begun and sock.pending_error):
                self._done += sendmsg(sock, request, self._done, self._binding_of, now)
                if self._done >= request.length:
                    break
        except BlockingIOError:
            if not self._begun or (wait and not request.flags & uapi.MSG_DONTWAIT):
                raise
        except OSError:
            if not self._begun:
                raise
        if not request.more or self._done < request.length:
            sent(sock, request, request.before + self._done)
        return self._done

    @property
    def _begun(self) -> bool:
        return self._done > 0 or self._request.before > 0


def sent(sock: DevmemSocket, request: SendRequest, total: int) -> None:
    """The call is over and took `total` bytes: its last one is stamped, and a zero-copy send gets its
    number."""
    flags = sock.timestamping.flags if request.tsflags < 0 else request.tsflags
    if total and flags:
        sock.timestamping.on_send(sock.bytes_sent, flags)
    if total and _notifies(sock, request):
        queue, connection = sock.errqueue, sock.connection
        unsent = 0 if connection is None else connection.unsent_bytes
        shared = unsent > total and queue.last_end == sock.bytes_sent - total
        queue.sent(sock.bytes_sent, 0 if request.dmabuf_id else CODE_COPIED, shared)
        if connection is not None:
            queue.acknowledged(connection.bytes_acked)


def _notifies(sock: DevmemSocket, request: SendRequest) -> bool:
    return bool(request.flags & uapi.MSG_ZEROCOPY) and sock.options.zerocopy


def _binding(
    sock: DevmemSocket,
    request: SendRequest,
    binding_of: Callable[[int], TxBinding | None],
    zerocopy: bool,
    now: float,
) -> TxBinding | None:
    """The binding that the request names; None when the request has no bytes."""
    kernel, dmabuf_id = sock.stack.kernel, request.dmabuf_id
    if not kernel.devmem_tx:
        raise error(errno.EINVAL, f"kernel {kernel.name} cannot send from a dma-buf: send ordinary memory")
    if not zerocopy:
        raise error(errno.EINVAL, "sending from a dma-buf needs MSG_ZEROCOPY and SO_ZEROCOPY")
    if not request.length:
        return None
    binding = binding_of(dmabuf_id)
    if binding is None or not binding.bound:
        raise error(errno.EINVAL, f"dma-buf id {dmabuf_id} is not bound for sending")
    if sock.connection is None:  # without a peer the route is the loopback device's
        raise error(errno.ENODEV, "the socket is not connected: no route leaves by the dma-buf's device")
    route = sock.route or sock.stack.reroute(sock, now)
    if route is None:
        raise error(errno.EHOSTUNREACH, "no route leads to the peer any more")
    if binding.ifindex != route.link.ifindex:
        raise error(errno.ENODEV, f"dma-buf id {dmabuf_id} is bound to another device than the route's")
    return binding


def _skb_bytes(sock: DevmemSocket, connection: Connection) -> int:
    """Payload bytes of a full skb (tcp_xmit_size_goal)."""
    gso_max_bytes = _GSO_LEGACY_MAX if sock.device is None else sock.device.config.gso_max_bytes
    mss = connection.tcb.sender.mss
    return max(1, (gso_max_bytes - 1 - MAX_TCP_HEADER) // mss) * mss


def _check_tail(sock: DevmemSocket, request: SendRequest, connection: Connection) -> None:
    """EFAULT when a zero-copy send would join an unsent skb of the other kind, readable or unreadable, and
    this kernel does not begin another one (zerocopy_fill_skb_from_iter and _from_devmem, table E10)."""
    rule, unreadable, queue = sock.stack.kernel.mixed_skb, request.dmabuf_id != 0, connection.tcb.sender.queue
    if rule == "parted" or (unreadable and rule == "taken") or queue.tail is None:
        return
    assert isinstance(queue.tail, Frags), "sendmsg queues nothing else"
    if queue.tail.unreadable != unreadable and queue.tail_bytes % _skb_bytes(sock, connection):
        raise error(
            errno.EFAULT, "unsent device memory lies before host memory, or the reverse, in one packet"
        )


def reach_inside(iov: tuple[tuple[int, int], ...], size: int, skb_bytes: int) -> int:
    """How many bytes of the request come before the skb that runs over the end of a dma-buf of `size` bytes;
    all of them if no skb does. An skb holds at most `skb_bytes` bytes and MAX_SKB_FRAGS fragments, each
    within a page, and is undone as a whole (table E6, E8)."""
    if all(offset >= 0 and offset + length <= size for offset, length in iov):
        return sum(length for _, length in iov)
    queued = filled = frags = 0
    for offset, length in iov:
        left = min(length, size - offset) if offset >= 0 else 0
        outside = left < length
        while left > 0:
            if filled == skb_bytes or frags == uapi.MAX_SKB_FRAGS:
                queued, filled, frags = queued + filled, 0, 0
            in_page = offset % uapi.PAGE_SIZE
            room = uapi.MAX_SKB_FRAGS * uapi.PAGE_SIZE
            if not frags and left > skb_bytes and skb_bytes <= room - uapi.PAGE_SIZE + 1:
                piece = left // skb_bytes * skb_bytes  # whole skbs: each is full wherever in a page it begins
                queued += piece
            elif not (frags or in_page) and left > room and skb_bytes >= room:
                piece = left // room * room
                queued += piece
            else:
                piece = min(left, skb_bytes - filled, room - frags * uapi.PAGE_SIZE - in_page)
                filled += piece
                frags += -(-(in_page + piece) // uapi.PAGE_SIZE)
            offset, left = offset + piece, left - piece
        if outside:
            full = filled == skb_bytes or frags == uapi.MAX_SKB_FRAGS
            return queued + filled if full else queued
    return sum(length for _, length in iov)


class _IovCursor:
    """The position of the next byte in (offset, length) pairs of `binding`; it begins at byte number `at`."""

    def __init__(self, iov: tuple[tuple[int, int], ...], at: int, binding: TxBinding) -> None:
        self.binding = binding
        self._rest = iter(iov)
        self._offset = self._length = 0
        while at > 0:
            at -= self.next(at)[1]

    def next(self, max_bytes: int) -> tuple[int, int]:
        """(offset, length) of the next piece, at most `max_bytes` long; the pairs must not be exhausted."""
        while not self._length:
            self._offset, self._length = next(self._rest)
        offset, length = self._offset, min(max_bytes, self._length)
        self._offset, self._length = offset + length, self._length - length
        return offset, length


def _copied(sock: DevmemSocket, request: SendRequest, at: int, room: int) -> Frags:
    """Ordinary bytes of the request from byte `at` on, at most `room`, in host pages."""
    if request.iov:
        raise error(errno.EFAULT, "offsets without a dma-buf id point at no memory")
    size = min(room, len(request.data) - at, _COPY_BYTES)
    return sock.stack.send_pages.copy_from_user(request.data[at : at + size])


def _referenced(sock: DevmemSocket, cursor: _IovCursor, room: int) -> Frags:
    """Bytes of the dma-buf from `cursor` on, at most `room`, with a reference to the binding."""
    # Without scatter-gather the kernel copies, and takes the offsets for addresses.
    if sock.device is not None and not sock.device.sg:
        raise error(errno.EFAULT, "the device has no scatter-gather to send a dma-buf with: ethtool -K sg on")
    if room <= 0:
        raise error(errno.EFAULT, f"the range leaves the dma-buf of {cursor.binding.sendable_bytes} bytes")
    return Frags([Frag(cursor.binding.netmem(), *cursor.next(room))])
