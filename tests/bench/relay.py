"""A long cable: takes each frame from one interface and puts it on the other a while later, both ways.

`python -m tests.bench.relay INTERFACE INTERFACE SECONDS`. For kernels without netem. Frames are single wire
packets with whole checksums: the offloads of who sends them are off. Stops with its parent or at SIGTERM.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import deque

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


def relay(first: str, second: str, delay_s: float) -> None:
    """Until the process ends. A frame that the other side refuses is lost."""
    ends = _open(first), _open(second)
    under_way: deque[tuple[float, socket.socket, bytes]] = deque()  # one delay: they end as they began
    print("ready", flush=True)
    while True:
        patience = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for ready in select.select(ends, (), (), patience)[0]:
            other = ends[ready is ends[0]]
            for _ in range(_BATCH):
                try:
                    under_way.append((time.monotonic() + delay_s, other, ready.recv(_FRAME_BYTES)))
                except OSError:
                    break
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            _, to, frame = under_way.popleft()
            try:
                to.send(frame)
            except OSError:
                continue


if __name__ == "__main__":
    relay(sys.argv[1], sys.argv[2], float(sys.argv[3]))
