"""The structure of the program's memory that an ioctl points to.

In: a thread and an address. Out: fields, and fields written back. Owns nothing. EFAULT where the program's
address is wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from nodes.client.ethtool import Ethtool
from nodes.supervisor import tracee

WORD = struct.Struct("=I")


class Memory(NamedTuple):
    pid: int
    address: int

    def read(self, length: int, at: int = 0) -> bytes:
        return tracee.read(self.pid, self.address + at, length)

    def write(self, data: bytes, at: int = 0) -> None:
        tracee.write(self.pid, self.address + at, data)

    def unpack(self, layout: struct.Struct, at: int = 0) -> tuple[Any, ...]:
        return layout.unpack(self.read(layout.size, at))

    def pack(self, layout: struct.Struct, *values: Any, at: int = 0) -> None:
        self.write(layout.pack(*values), at)


# What answers an ethtool command of a NIC: the ioctl's result. Raises OSError.
Command = Callable[[Memory, Ethtool], int]
