"""Takes one connection from a Linux sender and puts what it brings into accelerator memory.

`python -m tests.bench.receiver devmem|kernel CHANNEL PORT`: into a devmem socket, or into a Linux socket
from which every byte is then copied to the device. Prints "ready", then bytes and seconds of the stream.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack, closing

from nodes.client.host import Host
from nodes.machine.accelerator import Accelerator
from nodes.machine.ledger import Ledger
from nodes.uapi import socket as uapi

_MEMORY = 64 << 20
_CALL = 1 << 20


def devmem(host: Host, port: int, stack: ExitStack) -> tuple[int, float]:
    accelerator = Accelerator(Ledger())
    memory = accelerator.alloc(_MEMORY)
    host.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
    host.ethtool.rss_set({"equal": 7})
    host.ethtool.ntuple_insert({"dst-port": port, "queue": 7})
    queues = [{"type": "rx", "id": 7}]
    host.netdev.bind_rx(
        {"ifindex": host.ifindex, "fd": memory.fd, "queues": queues, "rx-page-size": 65536}
    )
    listener = stack.enter_context(closing(host.socket()))
    listener.bind((host.address, port))
    listener.listen()
    print("ready", flush=True)
    sock = stack.enter_context(closing(listener.accept()[0]))
    total, start = 0, time.monotonic()
    while True:
        count, ancillary, _, _ = sock.recvmsg_into([_CALL], 8192, uapi.MSG_SOCK_DEVMEM)
        if not count:
            return total, time.monotonic() - start
        total += count
        tokens = (uapi.DMABUF_CMSG.unpack(body)[2] for _, _, body in ancillary)
        sock.dontneed(b"".join(uapi.DMABUF_TOKEN.pack(token, 1) for token in tokens))


def kernel(host: Host, port: int, stack: ExitStack) -> tuple[int, float]:
    accelerator = Accelerator(Ledger())
    memory = accelerator.alloc(_MEMORY)
    staging = memoryview(bytearray(_CALL))
    listener = stack.enter_context(closing(host.kernel_socket()))
    assert host.kernel_address is not None
    listener.bind((host.kernel_address, port))
    listener.listen()
    print("ready", flush=True)
    sock = stack.enter_context(closing(listener.accept()[0]))
    total, start = 0, time.monotonic()
    while count := sock.recv_into(staging):
        # All over the device's memory, as the devmem path fills it: not one stretch that stays in a cache.
        accelerator.copy_to_device(staging[:count], memory, total % (_MEMORY - _CALL))
        total += count
    return total, time.monotonic() - start


if __name__ == "__main__":
    path, channel, port = sys.argv[1:]
    with ExitStack() as stack:
        host = stack.enter_context(closing(Host(channel)))
        count, seconds = {"devmem": devmem, "kernel": kernel}[path](host, int(port), stack)
        print(json.dumps({"bytes": count, "seconds": seconds}), flush=True)
