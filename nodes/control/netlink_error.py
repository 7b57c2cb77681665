"""A refused netlink request, with what the kernel's extack says of it: errno, a text, the attribute that
offends."""

from __future__ import annotations


class NetlinkError(OSError):
    """`attribute` is the path of the attribute ("queues[0].id"), "" when none in particular offends."""

    def __init__(self, number: int, message: str, attribute: str = "") -> None:
        super().__init__(number, message)
        self.attribute = attribute
