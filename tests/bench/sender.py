"""Sends until its receiver has seen enough.

`python -m tests.bench.sender devmem|kernel CHANNEL ADDRESS PORT FLOWS`: from a dma-buf, or by Linux sockets
from one block of host memory. Ends when a connection ends.
"""

from __future__ import annotations

import errno
import selectors
import socket as linux
import sys
from contextlib import ExitStack, closing, suppress

from nodes.client.host import Host
from nodes.machine import dmabuf
from nodes.uapi import socket as uapi

_BLOCK = 1 << 20


def devmem(host: Host, where: tuple[str, int], stack: ExitStack) -> None:
    """One connection, zero-copy."""
    memory = stack.enter_context(closing(dmabuf.export(_BLOCK)))
    tx_id = host.netdev.bind_tx({"ifindex": host.ifindex, "fd": memory.fd})["id"]
    control = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, uapi.TX_DMABUF_ID.pack(tx_id))]
    sock = stack.enter_context(closing(host.socket()))
    sock.setsockopt(uapi.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
    sock.connect(where)
    while True:
        try:
            sock.sendmsg([(0, _BLOCK)], control, uapi.MSG_ZEROCOPY)
        except OSError as reason:
            if reason.errno != errno.ENOBUFS:
                raise
            sock.wait_completions(sock.wait_completions(0) + 1)


def kernel(host: Host, where: tuple[str, int], flows: int, stack: ExitStack) -> None:
    """All connections in turn, each as it has room; CUBIC."""
    block = memoryview(bytes(_BLOCK))
    poll = stack.enter_context(selectors.DefaultSelector())
    for _ in range(flows):
        sock = stack.enter_context(closing(host.kernel_socket()))
        sock.setsockopt(linux.IPPROTO_TCP, linux.TCP_CONGESTION, b"cubic")
        sock.connect(where)
        sock.setblocking(False)
        poll.register(sock, selectors.EVENT_WRITE)
    while True:
        for key, _ in poll.select():
            assert isinstance(key.fileobj, linux.socket)
            with suppress(BlockingIOError):
                key.fileobj.send(block)


def main(path: str, channel: str, address: str, port: int, flows: int) -> None:
    with ExitStack() as stack, suppress(ConnectionError):
        host = stack.enter_context(closing(Host(channel)))
        if path == "devmem":
            devmem(host, (address, port), stack)
        else:
            kernel(host, (address, port), flows, stack)


if __name__ == "__main__":
    path, channel, address, port, flows = sys.argv[1:]
    main(path, channel, address, int(port), int(flows))
