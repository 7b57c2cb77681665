"""A call that has failed, as the exception that Python has for it. Apart from `calls`, which is compiled:
mypyc makes no class of a built-in error.

In: Failed replies. Out: OSError. Owns nothing.
"""

from __future__ import annotations

import os

from nodes.uapi.syscalls import Failed


class SystemCallError(OSError):
    """What the endpoint refused: errno, a sentence, and for netlink the attribute that is wrong."""

    def __init__(self, number: int, message: str, attribute: str = "") -> None:
        super().__init__(number, message)
        self.attribute = attribute


def failure(reply: Failed) -> OSError:
    """The exception that Python has for an errno (BlockingIOError, ...), or SystemCallError."""
    if reply.attribute:
        return SystemCallError(reply.number, reply.message, reply.attribute)
    ordinary = OSError(reply.number, reply.message or os.strerror(reply.number))
    if type(ordinary) is not OSError:
        return ordinary
    return SystemCallError(reply.number, reply.message)
