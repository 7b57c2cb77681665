"""TLS over a socket of a host: what ssl.SSLSocket is over a socket of Linux.

    context.sslsocket_class = TlsSocket; secure = context.wrap_socket(host.socket(), server_hostname="h2")

In: plain bytes of the application, records of the peer. Out: records, plain bytes. Owns the socket that it
wraps, as ssl.SSLSocket does, and the TLS state: an ssl.SSLObject between two memory buffers, which OpenSSL
reads and writes where SSLSocket has it use the descriptor. `nodes.client.sockets.installed` sets the class
for every context.
"""

from __future__ import annotations

import errno
import socket as linux
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from nodes.client.fork import survives_fork
from nodes.client.socket import Socket

_CHUNK = 128 << 10
_T = TypeVar("_T")
# Questions about the connection, which the SSLObject answers.
_OF_TLS = frozenset({
    "cipher", "compression", "get_channel_binding", "pending", "selected_alpn_protocol",
    "selected_npn_protocol", "session", "session_reused", "shared_ciphers", "verify_client_post_handshake",
    "version",
})  # fmt: skip


class Records:
    """The records of one connection, between `sock` and the two buffers of an ssl.SSLObject. `is_writing`: a
    thread is in a write, under `writing`, and sends all records that are made."""

    def __init__(self, sock: Socket) -> None:
        self._sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._unsent = b""  # that a non-blocking socket did not take
        self.renew()
        survives_fork(self)

    def renew(self) -> None:
        """Locks, in a forked child as well, where their holders may not be. Its TLS state is a copy: as with
        ssl.SSLSocket, only one of parent and child can use the connection."""
        lock = self._sock.runtime.lock
        self._state, self._reading, self._sending, self.writing = lock(), lock(), lock(), lock()
        self.is_writing = False

    def through(self, operation: Callable[[], _T]) -> _T:
        """What `operation` of the SSLObject returns when it has the records that it needs. A non-blocking
        socket raises SSLWantReadError, a timeout TimeoutError. Records that the operation makes are sent as
        far as there is room at once: a thread that reads does not wait for one that writes."""
        while True:
            try:
                with self._state:
                    return operation()
            except ssl.SSLWantReadError:
                self._send_what_fits()
                self._receive_records()
            except ssl.SSLError:
                self._send_what_fits()  # the alert
                raise

    def _receive_records(self) -> None:
        with self._reading:
            if self.incoming.pending:  # another thread has received meanwhile
                return
            try:
                data = self._sock.recv(_CHUNK)
            except BlockingIOError:
                raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "nothing has come") from None
            with self._state:
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()

    def _send_what_fits(self) -> None:
        if not self.is_writing:  # else the thread that writes sends these records as well
            with suppress(ssl.SSLWantWriteError, TimeoutError):
                self.send_all(linux.MSG_DONTWAIT)

    def send_all(self, flags: int = 0) -> None:
        """All that are made. SSLWantWriteError when there is no room."""
        with self._sending:
            while True:
                with self._state:
                    self._unsent += self.outgoing.read()
                if not self._unsent:
                    return
                try:
                    sent = self._sock.send(self._unsent, flags)
                except BlockingIOError:
                    raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "no room to send") from None
                self._unsent = self._unsent[sent:]


class TlsSocket:
    """The methods of ssl.SSLSocket; those that are not here are the socket's. One thread may read while
    another writes."""

    def __init__(self, sock: Socket, context: ssl.SSLContext, how: dict[str, Any]) -> None:
        """Use SSLContext.wrap_socket. `how` has its other arguments."""
        self._sock = sock
        self._context = context
        self._how = how
        self.server_side: bool = how["server_side"]
        self.server_hostname: str | None = how["server_hostname"]
        self._records = Records(sock)
        self._tls: ssl.SSLObject | None = None
        self._written = 0  # plain bytes in unsent records, which the write that is tried again reports
        self._io_refs = 0  # by this and `_closed` socket.SocketIO keeps a socket open
        self._closed = False

    @classmethod
    def _create(cls, sock: Any, *, context: ssl.SSLContext, **how: Any) -> Any:
        """SSLContext.wrap_socket calls this. A socket of Linux gets an ssl.SSLSocket."""
        if not isinstance(sock, Socket):
            return cast(Any, ssl.SSLSocket)._create(sock=sock, context=context, **how)
        if how["server_side"] and how["server_hostname"]:
            raise ValueError("server_hostname can only be specified in client mode")
        if context.check_hostname and not how["server_side"] and not how["server_hostname"]:
            raise ValueError("check_hostname requires server_hostname")
        moved = sock.dup()  # as SSLSocket, which detaches the socket that it was given
        moved.settimeout(sock.gettimeout())
        sock.close()
        secure = cls(moved, context, how)
        try:
            if _is_connected(moved):
                secure._begin()
        except BaseException:
            secure.close()
            raise
        return secure

    def _begin(self) -> None:
        how = self._how
        buffers = self._records.incoming, self._records.outgoing
        self._tls = self._context.wrap_bio(*buffers, self.server_side, self.server_hostname, how["session"])
        if how["do_handshake_on_connect"]:
            if self._sock.gettimeout() == 0.0:
                raise ValueError("do_handshake_on_connect should not be specified for non-blocking sockets")
            self.do_handshake()

    def do_handshake(self, block: bool = False) -> None:
        timeout = self._sock.gettimeout()
        try:
            if timeout == 0.0 and block:
                self._sock.settimeout(None)
            self._records.through(self._secure().do_handshake)
            self._records.send_all()
        finally:
            self._sock.settimeout(timeout)

    def _secure(self) -> ssl.SSLObject:
        if self._tls is None:
            raise OSError(errno.ENOTCONN, "TLS has not begun: the socket is not connected")
        return self._tls

    # --- plain bytes

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """bytes; or with `buffer` how many were read into it. b"" or 0 at the end of the stream."""
        tls = self._secure()
        arguments = (len,) if buffer is None else (len, buffer)
        try:
            return self._records.through(lambda: tls.read(*arguments))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as end:
            if isinstance(end, ssl.SSLEOFError) and not self._how["suppress_ragged_eofs"]:
                raise
            return b"" if buffer is None else 0

    def write(self, data: Any) -> int:
        """After SSLWantWriteError the same data must be given again, as OpenSSL demands."""
        tls = self._secure()
        if not memoryview(data).nbytes:
            return 0
        with self._records.writing:
            self._records.is_writing = True
            try:
                self._records.send_all()
                if not self._written:
                    self._written = self._records.through(lambda: tls.write(data))
                    self._records.send_all()
            finally:
                self._records.is_writing = False
            written, self._written = self._written, 0
            return written

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if self._tls is None:
            return self._sock.recv(buflen, flags)
        _no_flags(flags, "recv")
        return bytes(self.read(buflen)) if buflen else b""

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        if self._tls is None:
            return self._sock.recv_into(buffer, nbytes or 0, flags)
        _no_flags(flags, "recv_into")
        size = nbytes or memoryview(buffer).nbytes
        return int(self.read(size, buffer)) if size else 0

    def send(self, data: Any, flags: int = 0) -> int:
        if self._tls is None:
            return self._sock.send(data, flags)
        _no_flags(flags, "send")
        return self.write(data)

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self._tls is None:
            return self._sock.sendall(data, flags)
        _no_flags(flags, "sendall")
        view = memoryview(data).cast("B")
        while view.nbytes:
            view = view[self.write(view) :]
        return None

    def _refused(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("not allowed on a TLS socket: use recv, recv_into, send or sendall")

    recvmsg = recvmsg_into = sendmsg = recvfrom = recvfrom_into = sendto = dup = _refused

    # --- the connection

    def connect(self, address: Any) -> None:
        self._sock.connect(address)
        self._begin()

    def connect_ex(self, address: Any) -> int:
        refused = self._sock.connect_ex(address)
        if not refused:
            self._begin()
        return refused

    def accept(self) -> tuple[Any, Any]:
        accepted, address = self._sock.accept()
        how = {name: value for name, value in self._how.items() if name != "session"}
        return TlsSocket._create(accepted, context=self._context, session=None, **how), address

    def unwrap(self) -> Socket:
        """Say and wait for close_notify; the plain socket."""
        self._records.through(self._secure().unwrap)
        self._records.send_all()
        self._tls = None
        return self._sock

    def shutdown(self, how: int) -> None:
        self._tls = None
        self._sock.shutdown(how)

    def close(self) -> None:
        self._closed = True
        if self._io_refs <= 0:
            self._sock.close()

    def _decref_socketios(self) -> None:
        """socket.SocketIO calls this when it closes."""
        self._io_refs -= 1
        if self._closed:
            self.close()

    def makefile(self, *arguments: Any, **named: Any) -> Any:
        return cast(Any, linux.socket.makefile)(self, *arguments, **named)

    @property
    def context(self) -> ssl.SSLContext:
        return self._context

    @context.setter
    def context(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._secure().context = context

    def getpeercert(self, binary_form: bool = False) -> Any:
        return self._secure().getpeercert(binary_form)

    def __enter__(self) -> TlsSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name in _OF_TLS:
            return getattr(self._secure(), name)
        return getattr(self._sock, name)


def _is_connected(sock: Socket) -> bool:
    try:
        sock.getpeername()
    except OSError as e:
        if e.errno != errno.ENOTCONN:
            raise
        return False
    return True


def _no_flags(flags: int, call: str) -> None:
    if flags:
        raise ValueError(f"non-zero flags not allowed in calls to {call}() on TlsSocket")
