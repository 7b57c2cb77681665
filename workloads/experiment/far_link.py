"""Two ranks that are neighbours in a barrier's ring, on two machines.

In: the address of this machine, or the name by which the other one listens. Out: two TCP connections: one for
the barrier's bytes, one for gossip. Owns the listening socket; the connections are the caller's. The name has
a secret, which Ray carries, and a connection begins with it: nobody else's counts. Gossip keeps the records
of progress of two machines alike: every second each tells how long ago something moved that it knows of. What
is told grows old like everything else, so two machines where nothing moves do not keep each other awake.
"""

from __future__ import annotations

import secrets
import socket
import struct
import threading
from contextlib import suppress

import msgspec

from workloads.progress import Progress

_AGE = struct.Struct("!d")
_PERIOD_S = 1.0
_KINDS = (b"b", b"g")  # of the barrier, of gossip
_SECRET_BYTES = 16


class _Name(msgspec.Struct, frozen=True):
    host: str
    port: int
    secret: bytes


class FarListener:
    """At an address of this machine."""

    def __init__(self, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.create_server((address, 0), family=family, backlog=8)
        self._secret = secrets.token_bytes(_SECRET_BYTES)
        self.name = msgspec.json.encode(_Name(address, self.socket.getsockname()[1], self._secret))

    def accept(self) -> tuple[socket.socket, socket.socket]:
        """The barrier's connection and that of gossip. Raises OSError; others' connections are closed."""
        found: dict[bytes, socket.socket] = {}
        while len(found) < len(_KINDS):
            sock, _ = self.socket.accept()
            sock.settimeout(self.socket.gettimeout())
            hello = b""
            with suppress(OSError):
                hello = _received(sock, _SECRET_BYTES + 1)
            kind = hello[-1:]
            if secrets.compare_digest(hello[:-1], self._secret) and kind in _KINDS and kind not in found:
                found[kind] = _prompt(sock)
            else:
                sock.close()
        return found[_KINDS[0]], found[_KINDS[1]]


def dial(name: bytes, timeout_s: float) -> tuple[socket.socket, socket.socket]:
    """Likewise, from the other side. Raises OSError."""
    known = msgspec.json.decode(name, type=_Name)
    made: list[socket.socket] = []
    try:
        for kind in _KINDS:
            made.append(socket.create_connection((known.host, known.port), timeout_s))
            _prompt(made[-1]).sendall(known.secret + kind)
    except OSError:
        for each in made:
            each.close()
        raise
    return made[0], made[1]


class Gossip:
    """As a context: a thread that tells and listens. It ends when either side closes."""

    def __init__(self, sock: socket.socket, progress: Progress) -> None:
        sock.settimeout(None)  # the other side may be late; the end of this one wakes the thread
        self._socket, self._progress = sock, progress
        self._period_s = min(_PERIOD_S, progress.timeout_s / 4)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._talk, name="gossip", daemon=True)

    def __enter__(self) -> Gossip:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _talk(self) -> None:
        with suppress(OSError):
            while not self._ended.is_set():
                self._socket.sendall(_AGE.pack(self._progress.age_s()))
                told = _received(self._socket, _AGE.size)
                if len(told) < _AGE.size:
                    return
                self._progress.moved_ago(_AGE.unpack(told)[0])
                self._ended.wait(self._period_s)


def _received(sock: socket.socket, count: int) -> bytes:
    """Fewer bytes if the other side has closed. Raises OSError."""
    data = b""
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return data


def _prompt(sock: socket.socket) -> socket.socket:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
