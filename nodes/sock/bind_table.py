"""Ports: which sockets hold one, and who listens on it, for each version of IP.

In: sockets that bind, listen, or were born of a listener. Out: a port, or EADDRINUSE. Owns the table. A port
is held until the last connection on it is over, TIME_WAIT included; SO_REUSEADDR shares it with whatever does
not listen, SO_REUSEPORT with whoever set it as well: several then listen, and divide the peers among them.
Source: inet_csk_get_port, inet_csk_bind_conflict (net/ipv4/inet_connection_sock.c), reuseport_select_sock.
"""

from __future__ import annotations

import errno
import itertools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from nodes.wire.ip import is_ipv6

if TYPE_CHECKING:
    from nodes.sock.devmem_socket import DevmemSocket

EPHEMERAL = range(32768, 61000)
V4, V6 = 0, 1 << 16  # a slot of the table is one of these plus a port


class Holder(Protocol):
    """A socket, or what TIME-WAIT leaves of one: `slots` are where it is a holder."""

    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Terms:
    """On which a port is held: SO_REUSEADDR and SO_REUSEPORT."""

    address: bool
    port: bool


@dataclass(slots=True)
class _Bucket:
    """A port's holders; `exclusive` of them did not ask for SO_REUSEADDR, `apart` not for SO_REUSEPORT."""

    holders: dict[Holder, _Terms] = field(default_factory=dict)
    exclusive: int = 0
    apart: int = 0
    listeners: list[DevmemSocket] = field(default_factory=list)


class Ports:
    def __init__(self, chance: random.Random) -> None:
        self._random = chance
        self._buckets: dict[int, _Bucket] = {}

    def claim(self, sock: DevmemSocket, versions: tuple[int, ...], port: int) -> int:
        """Give `sock` a port of `versions` (V4, V6 or both); 0 chooses one that nobody has. EADDRINUSE."""
        if port == 0:
            start = self._random.randrange(len(EPHEMERAL))
            rotated = itertools.chain(EPHEMERAL[start:], EPHEMERAL[:start])
            port = next((p for p in rotated if not any(v + p in self._buckets for v in versions)), 0)
            if not port:
                raise OSError(errno.EADDRINUSE, "every ephemeral port is in use")
        terms = _terms(sock)
        if any(self._conflict(version + port, terms) for version in versions):
            raise OSError(errno.EADDRINUSE, f"port {port} is in use: choose another, or set SO_REUSEADDR")
        for version in versions:
            self._hold(sock, version + port, terms)
        sock.slots = tuple(version + port for version in versions)
        return port

    def _conflict(self, slot: int, terms: _Terms) -> bool:
        bucket = self._buckets.get(slot)
        if bucket is None or (terms.port and not bucket.apart):
            return False
        return not terms.address or bucket.exclusive > 0 or bool(bucket.listeners)

    def _hold(self, sock: DevmemSocket, slot: int, terms: _Terms) -> None:
        bucket = self._buckets.setdefault(slot, _Bucket())
        bucket.holders[sock] = terms
        bucket.exclusive += not terms.address
        bucket.apart += not terms.port

    def inherit(self, child: DevmemSocket, remote: int) -> None:
        """`child`, a connection with `remote`, holds the port of its listener as well."""
        slot = (V6 if is_ipv6(remote) else V4) + child.local[1]
        child.slots = (slot,)
        self._hold(child, slot, _terms(child))

    def listen(self, sock: DevmemSocket) -> None:
        """`sock` takes new connections to its port. EADDRINUSE when another does and they do not share it."""
        buckets = [self._buckets[slot] for slot in sock.slots]
        if any(bucket.apart and bucket.listeners not in ([], [sock]) for bucket in buckets):
            raise OSError(errno.EADDRINUSE, f"another socket listens on port {sock.local[1]}")
        for bucket in buckets:
            if sock not in bucket.listeners:
                bucket.listeners.append(sock)

    def listener(self, local: int, port: int, remote: tuple[int, int]) -> DevmemSocket | None:
        """Who listens for connections from `remote` to our address `local`: of several always the same."""
        bucket = self._buckets.get((V6 if is_ipv6(local) else V4) + port)
        if bucket is None or not bucket.listeners:
            return None
        return bucket.listeners[hash(remote) % len(bucket.listeners)]

    def listeners(self) -> list[DevmemSocket]:
        return [*dict.fromkeys(sock for bucket in self._buckets.values() for sock in bucket.listeners)]

    def stop_listening(self, sock: DevmemSocket) -> None:
        for slot in sock.slots:
            bucket = self._buckets.get(slot)
            if bucket is not None and sock in bucket.listeners:
                bucket.listeners.remove(sock)

    def hand_over(self, holder: Holder, heir: Holder) -> None:
        """`heir` holds what `holder` held, on the same terms."""
        for slot in holder.slots:
            holders = self._buckets[slot].holders
            holders[heir] = holders.pop(holder)
        holder.slots, heir.slots = (), holder.slots

    def release(self, holder: Holder) -> None:
        """`holder` holds no port any more."""
        for slot in holder.slots:
            bucket = self._buckets[slot]
            terms = bucket.holders.pop(holder)
            bucket.exclusive -= not terms.address
            bucket.apart -= not terms.port
            if not bucket.holders:
                del self._buckets[slot]
        holder.slots = ()


def _terms(sock: DevmemSocket) -> _Terms:
    return _Terms(sock.options.reuse_address, sock.options.reuse_port)
