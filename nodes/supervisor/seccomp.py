"""Seccomp user notification: a program's system calls stop, and its supervisor answers them.

In: a filter for the calling process, answers. Out: notifications. Owns the listener's descriptor.
Source: seccomp_unotify(2), include/uapi/linux/seccomp.h, kernel/seccomp.c. libseccomp's Python binding lacks
ADDFD in its released versions, so the few structures are here.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from nodes.supervisor.abi import Abi

_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE_RECV = 1 << 3, 1 << 5
_RET_USER_NOTIF, _RET_ALLOW = 0x7FC00000, 0x7FFF0000
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_ADDFD_SETFD, _ADDFD_SEND = 1, 2
_RECV, _SEND, _ADDFD, _ID_VALID, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40182103, 0x40082102, 0x40082104
_SYNC_WAKE_UP = 1  # Linux 6.6: the waker is about to sleep, so the other may run on the same core
_NOTIF = struct.Struct("=QIIiIQ6Q")  # id, pid, flags; seccomp_data: nr, arch, instruction_pointer, args
_RESPONSE = struct.Struct("=QqiI")  # id, val, error, flags
_NEW_FD = struct.Struct("=QIIII")  # id, flags, srcfd, newfd, newfd_flags
_ID = struct.Struct("=Q")
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_WORD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NR_AT, _ARCH_AT = 0, 4  # in struct seccomp_data
_PR_SET_NO_NEW_PRIVS = 38


class Notification(NamedTuple):
    """A trapped call: `pid` is the thread's, in the supervisor's PID namespace."""

    id: int
    pid: int
    nr: int
    args: tuple[int, ...]


class Vanished(Exception):
    """The call is over: its thread was killed, or a signal came before the call was received."""


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


_libc = ctypes.CDLL(None, use_errno=True)


def program(audit_arch: int, numbers: Iterable[int]) -> bytes:
    """The BPF program that traps the calls with these numbers, of this architecture alone."""
    trapped = sorted(numbers)
    code = [
        (_LOAD_WORD, 0, 0, _ARCH_AT),
        (_EQUAL, 0, len(trapped) + 1, audit_arch),
        (_LOAD_WORD, 0, 0, _NR_AT),
    ]
    code += [(_EQUAL, len(trapped) - at, 0, number) for at, number in enumerate(trapped)]
    code += [(_RETURN, 0, 0, _RET_ALLOW), (_RETURN, 0, 0, _RET_USER_NOTIF)]
    return b"".join(_INSTRUCTION.pack(*each) for each in code)


def install(abi: Abi) -> int:
    """Trap this process's calls from now on, and those of its children; returns the listener's descriptor.
    Raises OSError."""
    code = program(abi.audit_arch, abi.trapped.values())
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_program = _SockFprog(len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    flags = _NEW_LISTENER | _WAIT_KILLABLE_RECV
    pointer = ctypes.byref(filter_program)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) if os.geteuid() else 0
    listener = _libc.syscall(abi.seccomp, _SET_MODE_FILTER, flags, pointer)
    if listener < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
    return int(listener)


class Listener:
    """The supervisor's end. `fd` polls readable while a call waits, and hangs up with the last process."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        with suppress(OSError):  # an older kernel
            fcntl.ioctl(fd, _SET_FLAGS, _SYNC_WAKE_UP)

    def receive(self) -> Notification:
        """The next trapped call. Raises Vanished when there is none any more."""
        buffer = bytearray(_NOTIF.size)
        try:
            fcntl.ioctl(self.fd, _RECV, buffer)
        except OSError as e:
            if e.errno == errno.ENOENT:
                raise Vanished from None
            raise
        number, pid, _, nr, _, _, *args = _NOTIF.unpack(buffer)
        return Notification(number, pid, nr, tuple(args))

    def is_valid(self, notification: int) -> bool:
        """Whether the thread still waits: what was read of its memory before is the caller's, then."""
        try:
            fcntl.ioctl(self.fd, _ID_VALID, _ID.pack(notification))
        except OSError:
            return False
        return True

    def go_on(self, notification: int) -> None:
        """Let the kernel make the call."""
        self._send(_RESPONSE.pack(notification, 0, 0, _CONTINUE))

    def answer(self, notification: int, value: int) -> None:
        """The call returns `value`; a negative one is an errno."""
        self._send(_RESPONSE.pack(notification, max(value, 0), min(value, 0), 0))

    def _send(self, response: bytes) -> None:
        try:
            fcntl.ioctl(self.fd, _SEND, bytearray(response))
        except OSError as e:
            if e.errno != errno.ENOENT:
                raise

    def answer_with(self, notification: int, fd: int, cloexec: bool) -> int:
        """The call returns a new descriptor of the program, a duplicate of `fd`; returns its number. Raises
        OSError (EMFILE), upon which the call still waits, and Vanished."""
        return self._add(notification, _ADDFD_SEND, fd, 0, cloexec)

    def replace(self, notification: int, fd: int, theirs: int, cloexec: bool) -> None:
        """Put a duplicate of `fd` in the place of the program's descriptor `theirs`."""
        self._add(notification, _ADDFD_SETFD, fd, theirs, cloexec)

    def _add(self, notification: int, flags: int, fd: int, theirs: int, cloexec: bool) -> int:
        packed = _NEW_FD.pack(notification, flags, fd, theirs, os.O_CLOEXEC if cloexec else 0)
        try:
            return int(fcntl.ioctl(self.fd, _ADDFD, bytearray(packed)))
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.EINPROGRESS):
                raise Vanished from None
            raise

    def close(self) -> None:
        os.close(self.fd)
