"""A long and bad cable: what one interface sends arrives at the other a while later, both ways.

`python -m tests.bench.relay INTERFACE INTERFACE IMPAIRMENT...`. Each IMPAIRMENT is what `--impair` of an
endpoint takes: one stands for the delay or for one impaired NIC of the path, two for both. So Linux has the
very same wire as an endpoint, without netem. Frames are single wire packets with whole checksums: the
offloads of who sends them are off. Stops with its parent or at SIGTERM.
"""

from __future__ import annotations

import random
import select
import socket
import sys
import time
from collections.abc import Sequence

from nodes.nic.impairment import ImpairedDirection, ImpairmentConfig, parse
from nodes.nic.wire_frame import WireFrame
from nodes.wire import ethernet

_SOL_PACKET, _PACKET_IGNORE_OUTGOING, _ETH_P_ALL = 263, 23, 3
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 16 << 20
_FRAME_BYTES = 65536
_BATCH = 64


def _open(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    sock.bind((interface, _ETH_P_ALL))
    sock.setblocking(False)
    return sock


class _Way:
    """One direction of the cable: its impairments, one behind the other."""

    def __init__(self, name: str, to: socket.socket, impairments: Sequence[ImpairmentConfig]) -> None:
        self._to = to
        self._stages = [
            ImpairedDirection(each, random.Random(f"{each.seed} {name} {number}"))
            for number, each in enumerate(impairments)
        ]

    def put(self, data: bytes, now: float) -> None:
        self._stages[0].put(WireFrame(data, ethernet.HEADER_BYTES, 0, 0, False), now)

    def pass_on(self, now: float) -> None:
        """Move what is due. A frame that the other side refuses is lost."""
        for stage, behind in zip(self._stages, self._stages[1:], strict=False):
            for frame in stage.take(now):
                behind.put(frame, now)
        for frame in self._stages[-1].take(now):
            try:
                self._to.send(frame.data)
            except OSError:
                continue

    def next_timeout(self) -> float | None:
        return min((at for each in self._stages if (at := each.next_timeout()) is not None), default=None)


def relay(first: str, second: str, impairments: Sequence[ImpairmentConfig]) -> None:
    """Until the process ends."""
    ends = _open(first), _open(second)
    ways = {ends[0]: _Way("there", ends[1], impairments), ends[1]: _Way("back", ends[0], impairments)}
    print("ready", flush=True)
    while True:
        due = [at for way in ways.values() if (at := way.next_timeout()) is not None]
        patience = max(0.0, min(due) - time.monotonic()) if due else None
        for ready in select.select(ends, (), (), patience)[0]:
            for _ in range(_BATCH):
                try:
                    ways[ready].put(ready.recv(_FRAME_BYTES), time.monotonic())
                except OSError:
                    break
        for way in ways.values():
            way.pass_on(time.monotonic())


if __name__ == "__main__":
    relay(sys.argv[1], sys.argv[2], [parse(each) for each in sys.argv[3:]])
