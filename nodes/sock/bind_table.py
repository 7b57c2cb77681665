"""Ports: the sockets that hold one, and the sockets that listen on it, for each version of IP.

In: sockets that bind, listen, or are a listener's children. Out: a port, or EADDRINUSE. Owns the table. A
port is held until the last connection on it is over, TIME_WAIT included. Holders of different addresses do
not conflict, nor do those that SO_BINDTODEVICE had bound to different devices when they bound. SO_REUSEADDR
shares a port with sockets that do not listen; SO_REUSEPORT shares it with sockets that set it too: several of
them then listen, and the peers are divided among them. Source: inet_csk_get_port, inet_csk_bind_conflict
(net/ipv4/inet_connection_sock.c), reuseport_select_sock.
"""

from __future__ import annotations

import errno
import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from nodes.sock.flow import Flow
from nodes.wire.ip import is_ipv6

EPHEMERAL = range(32768, 61000)
V4, V6 = 0, 1 << 16  # a slot of the table is one of these plus a port
Place = tuple[int, str]  # an address (0: any) and the name of a device ("": any)


class Holder(Protocol):
    """A socket, or what TIME-WAIT keeps of one: `slots` are where it is a holder."""

    slots: tuple[int, ...]


class SharingOptions(Protocol):
    reuse_address: bool
    reuse_port: bool
    bound_device: str


class BoundSocket(Protocol):
    """What the table reads of a socket: `local` is its (address, port)."""

    slots: tuple[int, ...]
    local: tuple[int, int]

    @property
    def sharing(self) -> SharingOptions: ...


S = TypeVar("S", bound=BoundSocket)


@dataclass(frozen=True, slots=True)
class _Terms:
    """How a port is held: at which place, and with SO_REUSEADDR and SO_REUSEPORT or not."""

    place: Place
    reuse_address: bool
    reuse_port: bool


@dataclass(slots=True)
class _AtPlace(Generic[S]):
    """The holders at one place; `exclusive` of them lack SO_REUSEADDR, `unshared` lack SO_REUSEPORT."""

    holders: int = 0
    exclusive: int = 0
    unshared: int = 0
    listeners: list[S] = field(default_factory=list)

    def count(self, terms: _Terms, by: int) -> None:
        self.holders += by
        self.exclusive += by * (not terms.reuse_address)
        self.unshared += by * (not terms.reuse_port)


@dataclass(slots=True)
class _Bucket(Generic[S]):
    """A port of one version of IP."""

    terms: dict[Holder, _Terms] = field(default_factory=dict)
    places: dict[Place, _AtPlace[S]] = field(default_factory=dict)

    def overlapping(self, place: Place) -> Iterable[_AtPlace[S]]:
        """The holders whose address is the same one, or any where one of the two is any; and whose device is,
        likewise."""
        address, device = place
        return [
            at
            for (held, on), at in self.places.items()
            if (held == address or not (held and address)) and (on == device or not (on and device))
        ]


class BindTable(Generic[S]):
    def __init__(self, chance: random.Random) -> None:
        self._random = chance
        self._buckets: dict[int, _Bucket[S]] = {}

    def claim(self, sock: S, versions: tuple[int, ...], address: int, port: int) -> int:
        """Give `sock` a port of `versions` (V4, V6 or both) at `address` (0: any); port 0 chooses one that no
        socket holds. EADDRINUSE."""
        if port == 0:
            start = self._random.randrange(len(EPHEMERAL))
            rotated = itertools.chain(EPHEMERAL[start:], EPHEMERAL[:start])
            port = next((p for p in rotated if not any(v + p in self._buckets for v in versions)), 0)
            if not port:
                raise OSError(errno.EADDRINUSE, "every ephemeral port is in use")
        terms = _terms(sock, address)
        if any(self._conflicts(version + port, terms) for version in versions):
            raise OSError(errno.EADDRINUSE, f"port {port} is in use: choose another, or set SO_REUSEADDR")
        for version in versions:
            self._hold(sock, version + port, terms)
        sock.slots = tuple(version + port for version in versions)
        return port

    def _conflicts(self, slot: int, terms: _Terms) -> bool:
        bucket = self._buckets.get(slot)
        for held in bucket.overlapping(terms.place) if bucket is not None else ():
            if terms.reuse_port and not held.unshared:
                continue
            if not terms.reuse_address or held.exclusive or held.listeners:
                return True
        return False

    def _hold(self, holder: Holder, slot: int, terms: _Terms) -> None:
        bucket = self._buckets.get(slot)
        if bucket is None:
            bucket = self._buckets[slot] = _Bucket()
        bucket.terms[holder] = terms
        at = bucket.places.get(terms.place)
        if at is None:
            at = bucket.places[terms.place] = _AtPlace()
        at.count(terms, 1)

    def inherit(self, child: S, remote: int) -> None:
        """`child`, a connection with `remote`, holds the port of its listener too."""
        slot = (V6 if is_ipv6(remote) else V4) + child.local[1]
        child.slots = (slot,)
        self._hold(child, slot, _terms(child, child.local[0]))

    def listen(self, sock: S) -> None:
        """`sock` takes new connections to its port. EADDRINUSE when another socket does and the two do not
        share the port."""
        for slot in sock.slots:
            bucket = self._buckets[slot]
            for held in bucket.overlapping(bucket.terms[sock].place):
                if held.unshared and held.listeners not in ([], [sock]):
                    raise OSError(errno.EADDRINUSE, f"another socket listens on port {sock.local[1]}")
        for slot in sock.slots:
            listeners = self._listeners_with(sock, slot)
            if sock not in listeners:
                listeners.append(sock)

    def _listeners_with(self, sock: S, slot: int) -> list[S]:
        bucket = self._buckets[slot]
        return bucket.places[bucket.terms[sock].place].listeners

    def listener(self, flow: Flow, ifname: str) -> S | None:
        """The socket that listens for a connection of `flow`, which comes by the device `ifname`: one bound
        to our address before one bound to any, then one bound to the device; of several, always the same for
        one peer."""
        local, port, *remote = flow
        bucket = self._buckets.get((V6 if is_ipv6(local) else V4) + port)
        if bucket is None:
            return None
        for place in ((local, ifname), (local, ""), (0, ifname), (0, "")):
            at = bucket.places.get(place)
            if at is not None and at.listeners:
                return at.listeners[hash((*remote,)) % len(at.listeners)]
        return None

    def listeners(self) -> list[S]:
        found = (
            sock
            for bucket in self._buckets.values()
            for at in bucket.places.values()
            for sock in at.listeners
        )
        return [*dict.fromkeys(found)]

    def stop_listening(self, sock: S) -> None:
        for slot in sock.slots:
            bucket = self._buckets.get(slot)
            if bucket is not None and sock in bucket.terms:
                listeners = self._listeners_with(sock, slot)
                if sock in listeners:
                    listeners.remove(sock)

    def renew_terms(self, sock: S) -> None:
        """`sock` has changed SO_REUSEADDR or SO_REUSEPORT: the next claim meets that (sk_reuse); but who
        allowed others by SO_REUSEPORT cannot take it back (fastreuseport)."""
        now = sock.sharing
        for slot in sock.slots:
            bucket = self._buckets[slot]
            before = bucket.terms[sock]
            terms = bucket.terms[sock] = replace(
                before,
                reuse_address=now.reuse_address,
                reuse_port=before.reuse_port or now.reuse_port,
            )
            bucket.places[terms.place].count(before, -1)
            bucket.places[terms.place].count(terms, 1)

    def hand_over(self, holder: Holder, heir: Holder) -> None:
        """`heir` holds what `holder` held, on the same terms."""
        for slot in holder.slots:
            terms = self._buckets[slot].terms
            terms[heir] = terms.pop(holder)
        holder.slots, heir.slots = (), holder.slots

    def release(self, holder: Holder) -> None:
        """`holder` holds no port any more."""
        for slot in holder.slots:
            bucket = self._buckets[slot]
            terms = bucket.terms.pop(holder)
            at = bucket.places[terms.place]
            at.count(terms, -1)
            if not at.holders:
                del bucket.places[terms.place]
            if not bucket.terms:
                del self._buckets[slot]
        holder.slots = ()


def _terms(sock: BoundSocket, address: int) -> _Terms:
    sharing = sock.sharing
    return _Terms((address, sharing.bound_device), sharing.reuse_address, sharing.reuse_port)
