"""Takes connections from a sender and puts what they bring into accelerator memory.

`python -m tests.bench.receiver devmem|kernel CHANNEL PORT FLOWS NIOV SKIP SECONDS`: into devmem sockets with
net_iovs of NIOV bytes, or into Linux sockets from which every byte is then copied to the device. Prints
"ready"; when all connections have been made it leaves out SKIP seconds, and counts for SECONDS. Then it
prints bytes and seconds, and ends, with which its connections end.
"""

from __future__ import annotations

import json
import selectors
import socket as linux
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from typing import Any

from nodes.client.host import Host
from nodes.machine.accelerator import Accelerator
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from nodes.uapi import socket as uapi
from workloads.transports.token_returns import token_ranges

_MEMORY = 64 << 20
_CALL = 1 << 20
_QUEUE = 7
_PATIENCE_S = 20.0
Take = Callable[[Any], int]  # what a socket has; 0 at the end


class Ended(Exception):
    """A sender has closed its connection while it was counted."""


def bind(host: Host, port: int, memory: Region, niov_bytes: int, stack: ExitStack) -> None:
    """Payload to `port` lands in `memory`."""
    host.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
    host.ethtool.rss_set({"equal": _QUEUE})
    rule = host.ethtool.ntuple_insert({"dst-port": port, "queue": _QUEUE})
    stack.callback(host.ethtool.ntuple_delete, rule)
    queues = [{"type": "rx", "id": _QUEUE}]
    request = {"ifindex": host.ifindex, "fd": memory.fd, "queues": queues, "rx-page-size": niov_bytes}
    host.netdev.bind_rx(request)


def devmem(sock: Any) -> int:
    """Receive, and give the tokens back, in as few ranges as they are: a call takes 128 and no more."""
    count, ancillary, _, _ = sock.recvmsg_into([_CALL], 8192, uapi.MSG_SOCK_DEVMEM)
    tokens = [uapi.DMABUF_CMSG.unpack(body)[2] for _, _, body in ancillary]
    if count:
        ranges = [uapi.DMABUF_TOKEN.pack(*each) for each in token_ranges(tokens)]
        for at in range(0, len(ranges), uapi.MAX_DONTNEED_TOKENS):
            sock.dontneed(b"".join(ranges[at : at + uapi.MAX_DONTNEED_TOKENS]))
    return int(count)


def copied(memory: Region) -> Take:
    """Receive, and copy to the device: all over its memory, as the devmem path fills it, and not one stretch
    that stays in a cache."""
    accelerator, staging = Accelerator(Ledger()), memoryview(bytearray(_CALL))
    total = 0

    def take(sock: Any) -> int:
        nonlocal total
        count: int = sock.recv_into(staging)
        accelerator.copy_to_device(staging[:count], memory, total % (_MEMORY - _CALL))
        total += count
        return count

    return take


def count(socks: list[Any], take: Take, until: float) -> int:
    """Bytes that come until then. One connection is waited for in its own call, of several the poll says
    which have something."""
    total = 0
    if len(socks) == 1:
        while time.monotonic() < until:
            total += _some(take(socks[0]))
        return total
    with selectors.DefaultSelector() as poll:
        for sock in socks:
            poll.register(sock, selectors.EVENT_READ)
        while time.monotonic() < until:
            for key, _ in poll.select(_PATIENCE_S):
                with suppress(BlockingIOError):
                    total += _some(take(key.fileobj))
    return total


def _some(bytes_: int) -> int:
    if not bytes_:
        raise Ended
    return bytes_


def main(
    path: str, channel: str, port: int, flows: int, niov_bytes: int, skip_s: float, seconds: float
) -> None:
    with ExitStack() as stack:
        host = stack.enter_context(closing(Host(channel)))
        memory = Accelerator(Ledger()).alloc(_MEMORY)
        ours = path == "devmem"
        if ours:
            bind(host, port, memory, niov_bytes, stack)
        listener = stack.enter_context(closing(host.socket() if ours else host.kernel_socket()))
        listener.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, 1)
        listener.bind((host.address if ours else host.kernel_address, port))
        listener.listen(flows)
        print("ready", flush=True)
        socks = [stack.enter_context(closing(listener.accept()[0])) for _ in range(flows)]
        for sock in socks:
            sock.settimeout(_PATIENCE_S if flows == 1 else 0.0)
        take = devmem if ours else copied(memory)
        began = time.monotonic() + skip_s
        count(socks, take, began)
        received = count(socks, take, began + seconds)
        took_s = time.monotonic() - began
        print(json.dumps({"bytes": received, "seconds": took_s}), flush=True)


if __name__ == "__main__":
    path, channel, port, flows, niov_bytes, skip_s, seconds = sys.argv[1:]
    main(path, channel, int(port), int(flows), int(niov_bytes), float(skip_s), float(seconds))
