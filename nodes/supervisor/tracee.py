"""The memory and the descriptors of a supervised thread.

In: thread ids, addresses. Out: bytes; what a descriptor is. Owns nothing. A wrong address is the program's
error: OSError EFAULT, as the kernel's copy_from_user says. Source: process_vm_readv(2), proc_pid_mem(5).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from nodes.supervisor.seccomp import Vanished

_libc = ctypes.CDLL(None, use_errno=True)
_STRING_MAX = 4096
_PAGE = 4096
_MASKS = ("SigPnd", "ShdPnd", "SigBlk", "SigCgt")
_PIDFD_GETFD = 438  # on every architecture
_NO_SUCH_CALL = (errno.ENOSYS, errno.EPERM)  # a kernel, or a container, without process_vm_readv


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class Caller(int):
    """A thread's id. `waits` says whether its call still waits to be answered: else the thread may have
    ended, and another may have the id."""

    waits: Callable[[], bool]

    def __new__(cls, tid: int, waits: Callable[[], bool]) -> Caller:
        caller = super().__new__(cls, tid)
        caller.waits = waits
        return caller


def read(pid: int, address: int, length: int) -> bytes:
    """`length` bytes of the thread's memory. Of a Caller: raises Vanished when it may be another's."""
    if not length:
        return b""
    buffer = ctypes.create_string_buffer(length)
    _move(_libc.process_vm_readv, pid, address, buffer, length)
    if isinstance(pid, Caller) and not pid.waits():
        raise Vanished
    return buffer.raw


def write(pid: int, address: int, data: bytes | bytearray | memoryview) -> None:
    """Write over the thread's memory."""
    if data:
        buffer = ctypes.create_string_buffer(bytes(data), len(data))
        _move(_libc.process_vm_writev, pid, address, buffer, len(data))


def _move(call: Any, pid: int, address: int, buffer: ctypes.Array[ctypes.c_char], length: int) -> None:
    local = _Iovec(ctypes.addressof(buffer), length)
    remote = _Iovec(address, length)
    moved = call(int(pid), ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    if moved < 0 and ctypes.get_errno() in _NO_SUCH_CALL:
        moved = _move_by_file(call is _libc.process_vm_writev, pid, address, buffer)
    if moved != length:
        raise OSError(errno.EFAULT, f"{length} bytes at {address:#x} of thread {pid}")


def _move_by_file(write: bool, pid: int, address: int, buffer: ctypes.Array[ctypes.c_char]) -> int:
    """By /proc/PID/mem; returns how many bytes, -1 for a wrong address."""
    with suppress(OSError, OverflowError), open(f"/proc/{pid}/mem", "r+b" if write else "rb", 0) as memory:
        if write:
            return os.pwrite(memory.fileno(), buffer, address)
        return os.preadv(memory.fileno(), [buffer], address)
    return -1


def read_string(pid: int, address: int) -> str:
    """A string that ends with a 0, such as a path; ENAMETOOLONG."""
    text = b""
    while len(text) < _STRING_MAX:
        text += read(pid, address + len(text), _PAGE - (address + len(text)) % _PAGE)
        if (end := text.find(b"\0")) >= 0:
            return os.fsdecode(text[:end])
    raise OSError(errno.ENAMETOOLONG, "a path is too long")


def identity(pid: int, fd: int) -> str:
    """What names the object behind a descriptor, in all processes alike; "" for a closed one and for what can
    be none of ours (a file with a name)."""
    try:
        link = os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""
    return link if link.startswith("socket:[") else ""


def closed_by_exec(pid: int) -> Iterator[int]:
    """The descriptors of a thread's process that are close-on-exec."""
    with suppress(OSError):  # it ends
        yield from (fd for fd in map(int, os.listdir(f"/proc/{pid}/fdinfo")) if is_cloexec(pid, fd))


def is_cloexec(pid: int, fd: int) -> bool:
    """Whether a descriptor is close-on-exec; False for a closed one."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/fdinfo/{fd}").read_text().splitlines()
        (flags,) = (line.split()[1] for line in lines if line.startswith("flags:"))
        return bool(int(flags, 8) & os.O_CLOEXEC)
    return False


def holders(wanted: set[str]) -> Iterator[tuple[int, str]]:
    """The supervised processes that have a descriptor of one of these objects: (process id, identity).
    Supervisor and endpoint have them too, but one seccomp filter less."""
    unsupervised = _filters(os.getpid())
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or _filters(int(entry.name)) <= unsupervised:
            continue
        with suppress(OSError):  # it ends, or is not ours to look at
            for each in os.scandir(f"/proc/{entry.name}/fd"):
                with suppress(OSError):
                    if (link := os.readlink(each.path)) in wanted:
                        yield int(entry.name), link


def _filters(pid: int) -> int:
    """How many seccomp filters a process has."""
    return int(_status(pid).get("Seccomp_filters", 0))


def _status(tid: int) -> dict[str, str]:
    """/proc/TID/status; empty when the thread has ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{tid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {}


def group_of(tid: int) -> int:
    """The process of a thread; the thread's own id when it has ended."""
    return int(_status(tid).get("Tgid", tid))


def in_our_network(tid: int) -> bool:
    """Whether the thread is in the network namespace of the supervisor, which is the host's."""
    try:
        return os.path.samefile(f"/proc/{tid}/ns/net", "/proc/self/ns/net")
    except OSError:  # it ends
        return False


def has_signal(tid: int) -> bool:
    """Whether a signal waits for the thread that it handles and does not block."""
    status = _status(tid)
    pending, shared, blocked, caught = (int(status.get(name, "0"), 16) for name in _MASKS)
    return bool((pending | shared) & caught & ~blocked)


def descriptor(pid: int, fd: int) -> int:
    """A duplicate of a descriptor of the thread's process, which is the caller's to close. EBADF."""
    process = os.pidfd_open(group_of(pid))
    try:
        found = _libc.syscall(_PIDFD_GETFD, process, fd, 0)
    finally:
        os.close(process)
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(found)
