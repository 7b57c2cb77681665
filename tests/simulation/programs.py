"""Programs of simulated hosts: a stream from device memory to device memory."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from socket import SOL_SOCKET

from nodes.client.host import Host
from nodes.machine.dmabuf import export
from nodes.uapi import socket as uapi

PORT, QUEUE = 7000, 7
MESSAGE = 1 << 20


@dataclass
class Stream:
    """`marks`: bytes received so far, with the second of each; `wrong`: bytes that are not as sent."""

    total: int
    address: str = "10.0.0.2"
    marks: list[tuple[float, int]] = field(default_factory=list)
    wrong: int = 0
    freed: int = 0

    def receiver(self, host: Host) -> None:
        host.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
        host.ethtool.rss_set({"equal": QUEUE})
        host.ethtool.ntuple_insert({"flow-type": "tcp4", "dst-port": PORT, "queue": QUEUE})
        memory = export(8 << 20)
        request = {"ifindex": host.ifindex, "fd": memory.fd, "queues": [{"type": "rx", "id": QUEUE}]}
        host.netdev.bind_rx({**request, "rx-page-size": 65536})
        listener = host.socket()
        listener.bind(("", PORT))
        listener.listen()
        connection, _ = listener.accept()
        control = uapi.MAX_DONTNEED_TOKENS * uapi.cmsg_space(uapi.DMABUF_CMSG.size)
        got = 0
        while got < self.total:
            count, messages, _, _ = connection.recvmsg_into([MESSAGE], control, uapi.MSG_SOCK_DEVMEM)
            assert count, "the stream ended early"
            frags = [uapi.DmabufCmsg._make(uapi.DMABUF_CMSG.unpack(body)) for _, _, body in messages]
            for frag in frags:
                there = memory.view[frag.frag_offset : frag.frag_offset + frag.frag_size]
                self.wrong += there != _pattern(got, frag.frag_size)
                got += frag.frag_size
            tokens = [uapi.DMABUF_TOKEN.pack(frag.frag_token, 1) for frag in frags]
            connection.dontneed(b"".join(tokens))
            self.freed += len(tokens)
            self.marks.append((host.runtime.monotonic(), got))
        connection.close()
        listener.close()
        memory.close()

    def sender(self, host: Host) -> None:
        memory = export(MESSAGE)
        memory.view[:] = _pattern(0, MESSAGE)
        tx = host.netdev.bind_tx({"ifindex": host.ifindex, "fd": memory.fd})
        control = [(SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, struct.pack("=I", tx["id"]))]
        host.runtime.sleep(1e-3)  # the receiver listens by then
        sock = host.socket()
        sock.setsockopt(SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
        sock.connect((self.address, PORT))
        sent = 0
        while sent < self.total:
            at = sent % MESSAGE
            sent += sock.sendmsg([(at, min(MESSAGE - at, self.total - sent))], control, uapi.MSG_ZEROCOPY)
        sock.close()
        memory.close()

    def ordinary_sender(self, host: Host) -> None:
        """Ordinary TCP: from registered host memory."""
        memory = host.memory(MESSAGE)
        memory.view[:] = _pattern(0, MESSAGE)
        host.runtime.sleep(1e-3)
        sock = host.socket()
        sock.connect((self.address, PORT))
        sent = 0
        while sent < self.total:
            at = sent % MESSAGE
            sent += sock.send(memory.view[at : min(MESSAGE, at + self.total - sent)])
        sock.close()
        memory.close()

    def bits_per_second(self, skipped: int) -> float:
        """Goodput after the first `skipped` bytes."""
        after = [mark for mark in self.marks if mark[1] >= skipped]
        (began, first), (ended, last) = after[0], after[-1]
        return (last - first) * 8 / (ended - began)


_WORDS = b"".join(struct.pack("=I", number) for number in range(MESSAGE // 4))


def _pattern(start: int, count: int) -> bytes:
    at = start % MESSAGE
    return (_WORDS[at:] + _WORDS)[:count] if at + count > MESSAGE else _WORDS[at : at + count]
