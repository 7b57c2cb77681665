"""A refusal with what netlink's extack carries: errno, a message, the attribute that offends."""

from __future__ import annotations


class NetlinkError(OSError):
    def __init__(self, number: int, message: str, attribute: str = "") -> None:
        super().__init__(number, message)
        self.attribute = attribute
