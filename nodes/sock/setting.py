"""What setsockopt and getsockopt ask. Pure; owns nothing. Source: sockptr_t optval, optlen (net/socket.c)."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

from nodes.sock.devmem_socket import error

INT = struct.Struct("=i")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setsockopt: the bytes of a value, and whether the caller has CAP_NET_ADMIN."""

    value: bytes
    privileged: bool

    @property
    def number(self) -> int:
        """EINVAL for fewer than an int's bytes."""
        if len(self.value) < INT.size:
            raise error(errno.EINVAL, f"option value of {len(self.value)} bytes: give {INT.size}")
        return int(INT.unpack_from(self.value)[0])

    @property
    def byte_or_number(self) -> int:
        """Where a value of one byte will do, as at level IPPROTO_IP. EINVAL for an empty one."""
        return self.value[0] if 0 < len(self.value) < INT.size else self.number


@dataclass(frozen=True, slots=True)
class Look:
    """One getsockopt: how long the caller's buffer is, and the time."""

    length: int
    now: float
