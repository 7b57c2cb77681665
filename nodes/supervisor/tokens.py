"""The tokens that a program holds of one socket, so that their return needs no answer of the endpoint.

In: the control messages of recvmsg, values of SO_DEVMEM_DONTNEED. Out: what setsockopt returns, at once; the
tokens, many in one request. Owns the tokens that are on their way back. A program that returns each fragment
by a call of its own, as the kernel's ncdevmem does, would otherwise wait for the endpoint each time.
Source: sock_devmem_dontneed (net/core/sock.c).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nodes.supervisor.layouts import Cmsg
from nodes.uapi import socket as uapi

_TOKEN_BYTES = uapi.DMABUF_TOKEN.size
_REQUEST_BYTES = uapi.MAX_DONTNEED_TOKENS * _TOKEN_BYTES


class Tokens:
    """`pending`: struct dmabuf_token of those that the endpoint has not been told of."""

    def __init__(self) -> None:
        self._held: set[int] = set()
        self.pending = bytearray()

    def received(self, cmsgs: Iterable[Cmsg]) -> None:
        """What a recvmsg delivered that did not only peek."""
        for level, kind, body in cmsgs:
            if (level, kind) == (uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF):
                self._held.add(uapi.DmabufCmsg(*uapi.DMABUF_CMSG.unpack(body)).frag_token)

    def give_back(self, value: bytes) -> int | None:
        """How many fragments a call frees that names held tokens one by one; None for every other call, which
        the endpoint has to answer."""
        if len(value) % _TOKEN_BYTES or not 0 < len(value) <= _REQUEST_BYTES:
            return None
        named = [start for start, count in uapi.DMABUF_TOKEN.iter_unpack(value) if count == 1]
        if (
            len(named) * _TOKEN_BYTES < len(value)
            or len({*named}) < len(named)
            or not self._held.issuperset(named)
        ):
            return None
        self._held.difference_update(named)
        self.pending += value
        return len(named)

    def forget(self, value: bytes) -> None:
        """The endpoint answers a call with this value: what it names is held no longer."""
        for start, count in uapi.DMABUF_TOKEN.iter_unpack(value[: len(value) - len(value) % _TOKEN_BYTES]):
            self._held = {token for token in self._held if not start <= token < start + count}

    def flush(self, send: Callable[[bytes], None]) -> None:
        """Tell the endpoint."""
        pending, self.pending = bytes(self.pending), bytearray()
        for at in range(0, len(pending), _REQUEST_BYTES):
            send(pending[at : at + _REQUEST_BYTES])
