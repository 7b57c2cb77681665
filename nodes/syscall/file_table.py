"""Open sockets by handle, and the channels that each of them serves.

In: channels that open, attach to, accept or watch a socket, and channels that close. Out: handles, the open
file of a socket, its poll file. Owns the table: a socket closes with the last channel that holds it, as a
struct file with its last descriptor (fd_install, fget and fput in fs/file.c, fs/file_table.c). A handle is
the number of an open file of the whole host, too large to be guessed: a process attaches only to a socket
whose handle it was told.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable
from typing import Protocol

from nodes.sock.devmem_socket import DevmemSocket


class PollFile(Protocol):
    """A descriptor that polls as a socket does (nodes.endpoint.poll_file)."""

    @property
    def fd(self) -> int: ...

    @property
    def ended(self) -> bool:
        """Whether it shows POLLRDHUP or POLLHUP, which it cannot take back."""

    def update(self) -> None:
        """Show what the socket is ready for now."""

    def hang_up(self) -> None:
        """Show POLLHUP for good: the endpoint ends."""

    def close(self) -> None: ...


class Holder(Protocol):
    """A channel, as the file table knows it. `socket` is the one that it serves, `poll_file` that socket's.
    `accepted` are handles of connections that it accepted and that no channel serves yet, in order."""

    socket: DevmemSocket | None
    poll_file: PollFile | None
    accepted: dict[int, None]

    def retry(self, now: float) -> None:
        """The socket has changed: attempt a blocked call again."""


class OpenFile:
    """One socket and its holders. `acceptor` accepted the connection, until a channel serves it."""

    __slots__ = ("acceptor", "handle", "holders", "poll_file", "socket")

    def __init__(self, socket: DevmemSocket, handle: int) -> None:
        self.socket = socket
        self.handle = handle
        self.holders: dict[Holder, None] = {}
        self.acceptor: Holder | None = None
        self.poll_file: PollFile | None = None


class FileTable:
    """`open_poll_file` makes the poll file of a socket when a process first asks for it."""

    def __init__(self, open_poll_file: Callable[[DevmemSocket], PollFile]) -> None:
        self._open_poll_file = open_poll_file
        self._by_handle: dict[int, OpenFile] = {}
        self._by_socket: dict[DevmemSocket, OpenFile] = {}
        self.poll_files = 0  # how many are open

    def file_of(self, sock: DevmemSocket) -> OpenFile | None:
        """None for a socket that no channel holds: one that waits to be accepted, or is closed."""
        return self._by_socket.get(sock)

    def install(self, holder: Holder, sock: DevmemSocket) -> int:
        """Make `holder` serve `sock`; returns its handle. EISCONN when it serves a socket already."""
        if holder.socket is not None:
            raise OSError(errno.EISCONN, "this channel serves a socket already")
        file = self._file(sock)
        file.holders[holder] = None
        if file.acceptor is not None:
            file.acceptor.accepted.pop(file.handle, None)
            file.acceptor = None
        holder.socket, holder.poll_file = sock, file.poll_file
        return file.handle

    def attach(self, holder: Holder, handle: int) -> DevmemSocket:
        """Make `holder` serve the socket of `handle` as well. EBADF, EISCONN."""
        sock = self.opened(handle)
        self.install(holder, sock)
        return sock

    def opened(self, handle: int) -> DevmemSocket:
        """The open socket of `handle`. EBADF."""
        file = self._by_handle.get(handle)
        if file is None:
            raise OSError(errno.EBADF, "no such socket, or it is closed")
        return file.socket

    def accept(self, acceptor: Holder, sock: DevmemSocket) -> int:
        """`acceptor` holds the new connection `sock` until a channel attaches to it; returns its handle."""
        file = self._file(sock)
        file.acceptor = acceptor
        acceptor.accepted[file.handle] = None
        return file.handle

    def _file(self, sock: DevmemSocket) -> OpenFile:
        file = self._by_socket.get(sock)
        if file is None:
            file = OpenFile(sock, secrets.randbits(62))
            self._by_handle[file.handle] = self._by_socket[sock] = file
        return file

    def watch(self, sock: DevmemSocket) -> PollFile:
        """The poll file of `sock`, which a channel serves: the same one for all its holders."""
        file = self._by_socket[sock]
        if file.poll_file is None:
            file.poll_file = self._open_poll_file(sock)
            self.poll_files += 1
            for each in file.holders:
                each.poll_file = file.poll_file
        return file.poll_file

    def begin_anew(self, sock: DevmemSocket) -> None:
        """`sock` was disconnected, or its attempt to connect has failed: a poll file that has shown the end
        of the connection is given up, and `watch` opens another."""
        file = self._by_socket[sock]
        if file.poll_file is not None and file.poll_file.ended:
            file.poll_file.close()
            file.poll_file = None
            self.poll_files -= 1
            for each in file.holders:
                each.poll_file = None

    def release(self, holder: Holder, now: float) -> None:
        """The channel is closed: its socket closes if no other channel serves it, and so do connections that
        it accepted and that no channel serves."""
        sock, holder.socket = holder.socket, None
        own = self._by_socket.get(sock) if sock is not None else None
        accepted = [self._by_handle.get(handle) for handle in holder.accepted]
        for file in (own, *accepted):
            if file is None:
                continue
            file.holders.pop(holder, None)
            if not file.holders:
                self._close(file, now)

    def _close(self, file: OpenFile, now: float) -> None:
        del self._by_handle[file.handle], self._by_socket[file.socket]
        if not file.socket.closed:  # by Close, whose channel ends now
            file.socket.close(now)
        if file.poll_file is not None:
            file.poll_file.close()
            file.poll_file = None
            self.poll_files -= 1

    def hang_up(self) -> None:
        """The endpoint ends: every process that polls a socket sees it."""
        for file in self._by_handle.values():
            if file.poll_file is not None:
                file.poll_file.hang_up()
