"""Numbers of Linux's system calls, by architecture, and of those that a supervised program's are trapped.

Owns nothing. Source: arch/x86/entry/syscalls/syscall_64.tbl, scripts/syscall.tbl, include/uapi/linux/audit.h.
"""

from __future__ import annotations

import platform
from typing import NamedTuple

_X86_64 = {
    "read": 0, "write": 1, "open": 2, "close": 3, "ioctl": 16, "readv": 19, "writev": 20, "dup2": 33,
    "sendfile": 40, "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
    "recvmsg": 47, "shutdown": 48, "bind": 49, "listen": 50, "getsockname": 51, "getpeername": 52,
    "setsockopt": 54, "getsockopt": 55, "execve": 59, "openat": 257, "accept4": 288, "dup3": 292,
    "recvmmsg": 299, "sendmmsg": 307, "execveat": 322, "close_range": 436,
}  # fmt: skip
_AARCH64 = {
    "dup3": 24, "ioctl": 29, "openat": 56, "close": 57, "read": 63, "write": 64, "readv": 65, "writev": 66,
    "sendfile": 71, "socket": 198, "bind": 200, "listen": 201, "accept": 202, "connect": 203,
    "getsockname": 204, "getpeername": 205, "sendto": 206, "recvfrom": 207, "setsockopt": 208,
    "getsockopt": 209, "shutdown": 210, "sendmsg": 211, "recvmsg": 212, "execve": 221, "accept4": 242,
    "recvmmsg": 243, "sendmmsg": 269, "execveat": 281, "close_range": 436,
}  # fmt: skip


class Abi(NamedTuple):
    """`audit_arch`: what seccomp_data.arch says of a call of this architecture. `seccomp`: the number of
    seccomp(2). `trapped`: number by name."""

    audit_arch: int
    seccomp: int
    trapped: dict[str, int]


_ABIS = {"x86_64": Abi(0xC000003E, 317, _X86_64), "aarch64": Abi(0xC00000B7, 277, _AARCH64)}


class UnknownMachine(RuntimeError):
    """This architecture's system calls are not known; one sentence."""


def abi() -> Abi:
    """Of this machine. Raises UnknownMachine."""
    machine = platform.machine()
    if machine not in _ABIS:
        known = " and ".join(_ABIS)
        raise UnknownMachine(f"the system calls of {machine!r} are not known: run it on {known}")
    return _ABIS[machine]
