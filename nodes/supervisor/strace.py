"""Each trapped call of ours as a line, in strace's format.

In: calls and what they returned. Out: lines. Owns nothing; the file is the caller's. Source: strace(1).
"""

from __future__ import annotations

import errno
import os
from typing import TextIO

from nodes.supervisor.call import ERESTARTSYS, Call

_ARGUMENTS = {
    "socket": 3, "bind": 3, "listen": 2, "connect": 3, "accept": 3, "accept4": 4, "shutdown": 2,
    "getsockname": 3, "getpeername": 3, "setsockopt": 5, "getsockopt": 5, "ioctl": 3, "read": 3, "readv": 3,
    "recvfrom": 6, "recvmsg": 3, "recvmmsg": 5, "write": 3, "writev": 3, "sendto": 6, "sendmsg": 3,
    "sendmmsg": 4, "sendfile": 4,
}  # fmt: skip


class Strace:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, call: Call, value: int) -> None:
        shown = call.shown or [_number(call, at) for at in range(_ARGUMENTS.get(call.name, 3))]
        print(
            f"[pid {call.pid}] {call.name}({', '.join(shown)}) = {_result(value)}", file=self._out, flush=True
        )


def _number(call: Call, at: int) -> str:
    value = call.args[at]
    return str(call.int_arg(at)) if value < 1 << 32 else f"{value:#x}"


def _result(value: int) -> str:
    if value >= 0:
        return str(value)
    if value == -ERESTARTSYS:
        return "? ERESTARTSYS (To be restarted if SA_RESTART is set)"
    name = errno.errorcode.get(-value, str(-value))
    return f"-1 {name} ({os.strerror(-value)})"
