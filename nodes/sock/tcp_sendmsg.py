"""sendmsg: from the application to the connection's send queue.

In: a request and how much of it was taken before. Out: how many bytes more were taken. Bytes of a bound
dma-buf go by reference, ordinary bytes by one copy into host pages.
Source: tcp_sendmsg_locked (net/ipv4/tcp.c), net_devmem_get_binding (net/core/devmem.c).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from nodes import uapi
from nodes.netmem.binding import TxBinding
from nodes.skb import Frag, Frags
from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.sock.errqueue import CODE_COPIED

_COPY_BYTES = 1 << 20  # host pages taken for one queue entry at most


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Either `dmabuf_id` > 0 and `iov`, (offset, length) pairs in bytes, or ordinary `data`."""

    flags: int
    data: memoryview
    dmabuf_id: int = 0
    iov: tuple[tuple[int, int], ...] = ()

    @property
    def length(self) -> int:
        return sum(length for _, length in self.iov) if self.dmabuf_id else len(self.data)


def sendmsg(
    sock: DevmemSocket,
    request: SendRequest,
    done: int,
    binding_of: Callable[[int], TxBinding | None],
    now: float,
) -> int:
    """Take more of `request`, of which `done` bytes were taken; returns how many, BlockingIOError when
    the send buffer is full. Errors as in table E: EINVAL (E2, E3), ENODEV (E5), EFAULT (E6)."""
    binding = None
    if request.dmabuf_id:
        if not request.flags & uapi.MSG_ZEROCOPY or not sock.options.zerocopy:
            raise error(errno.EINVAL, "sending from a dma-buf needs MSG_ZEROCOPY and SO_ZEROCOPY")
        binding = _usable(sock, request.dmabuf_id, binding_of)
    connection = sock.check_may_send()
    if done < request.length and connection.send_room <= 0:
        raise BlockingIOError(errno.EAGAIN, "the send buffer is full")
    taken = 0
    try:
        while done + taken < request.length and connection.send_room > 0:
            payload = _next_payload(sock, request, done + taken, connection.send_room, binding)
            taken += len(payload)
            sock.bytes_sent += len(payload)
            connection.send(payload, now)
    except OSError:
        if not taken:
            raise  # else the short count is the answer; the next call meets the error
    sock.inet.touch(sock)
    return taken


def sent(sock: DevmemSocket, request: SendRequest, total: int) -> None:
    """The call is over and took `total` bytes: it gets its number if it is to be notified."""
    if total and request.flags & uapi.MSG_ZEROCOPY and sock.options.zerocopy:
        sock.errqueue.sent(sock.bytes_sent, 0 if request.dmabuf_id else CODE_COPIED)
        if sock.connection is not None:
            sock.errqueue.acknowledged(sock.connection.bytes_acked)


def _usable(
    sock: DevmemSocket, dmabuf_id: int, binding_of: Callable[[int], TxBinding | None]
) -> TxBinding:
    binding = binding_of(dmabuf_id)
    if binding is None or not binding.bound:
        raise error(errno.EINVAL, f"dma-buf id {dmabuf_id} is not bound for sending")
    if binding.ifindex != sock.inet.device.ifindex:
        raise error(errno.ENODEV, f"dma-buf id {dmabuf_id} is bound to another device than the route's")
    return binding


def _next_payload(
    sock: DevmemSocket, request: SendRequest, at: int, room: int, binding: TxBinding | None
) -> Frags:
    """Payload from byte `at` of the request on, at most `room` bytes, references taken."""
    if binding is None:
        size = min(room, len(request.data) - at, _COPY_BYTES)
        return sock.inet.send_pages.copy_from_user(request.data[at : at + size])
    for offset, length in request.iov:
        if at < length:
            size = min(room, length - at)
            # The whole entry is checked, not just what fits now: a bad one fails before it sends.
            binding.check(offset, length)
            return Frags([Frag(binding.netmem(), offset + at, size)])
        at -= length
    raise AssertionError("asked for payload past the request's end")
