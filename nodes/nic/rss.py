"""Receive-side scaling (RSS): a Toeplitz hash of a flow, and a table that maps the hash to an rx queue.

In: addresses and ports in the byte order of the headers. Out: a queue number. Owns key and indirection table.
Source: ethtool -x and -X; the Toeplitz hash of the Receive Side Scaling specification.
"""

from __future__ import annotations

# The key of the specification's verification suite, which most drivers ship as their default.
DEFAULT_KEY = bytes.fromhex(
    "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"
)
TABLE_SIZE = 128


def toeplitz(key: bytes, data: bytes) -> int:
    """The 32-bit hash of `data` (at most len(key) - 4 bytes)."""
    bits = int.from_bytes(key, "big")
    width = len(key) * 8
    result = 0
    for i, byte in enumerate(data):
        for bit in range(8):
            if byte & 0x80 >> bit:
                result ^= bits >> (width - 32 - (i * 8 + bit)) & 0xFFFFFFFF
    return result


class Rss:
    """`table[hash % len(table)]` is the queue. `configured`: a user set the table, with ethtool -X."""

    def __init__(self, queues: int) -> None:
        self.key = DEFAULT_KEY
        self.configured = False
        self.table: list[int] = []
        self.set_equal(queues)

    def set_equal(self, queues: int) -> None:
        """Spread over the first `queues` queues (ethtool -X ... equal N)."""
        self.table = [i % queues for i in range(TABLE_SIZE)]

    def queue(self, flow: bytes) -> int:
        """The queue of `flow` (header_split.Parsed), by its addresses and ports. b'' has no hash: the table's
        first entry decides."""
        hashed = flow[: len(flow) & ~3]  # without the protocol
        return self.table[toeplitz(self.key, hashed) % len(self.table)] if flow else self.table[0]
