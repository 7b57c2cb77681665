"""Endpoints in the hosts of a Mininet star, and the sockets that tests open there.

In: a fabric and a directory. Out: endpoints started, their clients, streams received. Owns nothing: the
fabric ends what was started, an ExitStack of the caller's closes what was opened.
"""

from __future__ import annotations

import hashlib
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from nodes.client.host import Host, HostError
from nodes.client.socket import Socket
from nodes.machine import dmabuf
from nodes.machine.memory import Region
from nodes.uapi import socket as uapi
from topologies.host import Nic
from topologies.mininet.fabric import Fabric

MIB = 1 << 20
PORT = 7000
OFFLOADS = ("tso", "gso", "gro", "tx", "rx", "sg")


@dataclass
class Network:
    fabric: Fabric
    directory: Path
    pids: dict[str, int]

    def channel(self, name: str) -> str:
        return str(self.directory / f"{name}.sock")

    def nic(self, name: str) -> Nic:
        """The host's only one."""
        (nic,) = self.fabric.topology.host(name).nics
        return nic

    def address(self, name: str) -> str:
        """The endpoint's."""
        return self.nic(name).endpoint_address.split("/")[0]

    def address6(self, name: str) -> str:
        return self.nic(name).endpoint_address6.split("/")[0]

    def kernel_address6(self, name: str) -> str:
        return self.nic(name).kernel_address6.split("/")[0]

    def kernel_address(self, name: str) -> str:
        return self.nic(name).kernel_address.split("/")[0]

    def start(self, name: str, *more: str) -> None:
        nic = self.nic(name)
        gateways = (("--gateway", nic.gateway), ("--gateway6", nic.gateway6))
        more = (*(word for option, address in gateways if address for word in (option, address)), *more)
        argv = [
            sys.executable, "-m", "nodes.endpoint", "--interface", nic.interface, "--name", name,
            "--address", nic.endpoint_address, "--mac", nic.endpoint_mac, "--channel", self.channel(name),
            "--kernel-address", self.kernel_address(name), "--address6", nic.endpoint_address6,
            "--nodad", *more,
        ]  # fmt: skip
        self.pids[name] = self.fabric.spawn(name, argv, f"{name}.log")

    def host(self, name: str) -> Host:
        """Connect when the endpoint is ready."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return Host(self.channel(name))
            except HostError:
                assert time.monotonic() < deadline, (self.directory / f"{name}.log").read_text()
                time.sleep(0.02)


def bind_rx(stack: ExitStack, host: Host, niov_size: int = 4096, size: int = 16 * MIB) -> Region:
    """NIC preparation in the selftests' order; returns the receive dma-buf."""
    host.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
    host.ethtool.rss_set({"equal": 7})
    host.ethtool.ntuple_insert({"flow-type": "tcp4", "dst-port": PORT, "queue": 7})
    memory = stack.enter_context(closing(dmabuf.export(size)))
    queues = [{"type": "rx", "id": 7}]
    host.netdev.bind_rx(
        {"ifindex": host.ifindex, "fd": memory.fd, "queues": queues, "rx-page-size": niov_size}
    )
    return memory


def listen(stack: ExitStack, host: Host, port: int = PORT) -> Socket:
    listener = stack.enter_context(closing(host.socket()))
    listener.settimeout(20)
    listener.bind((host.address, port))
    listener.listen()
    return listener


def accept(stack: ExitStack, listener: Socket) -> Socket:
    sock, _ = listener.accept()
    sock.settimeout(20)
    return stack.enter_context(closing(sock))


def receive_devmem(sock: Socket, memory: Region, digest: hashlib._Hash) -> int:
    """All of a stream that lands in device memory; returns its length."""
    total = 0
    while True:
        count, ancillary, _, _ = sock.recvmsg_into([MIB], 16384, uapi.MSG_SOCK_DEVMEM)
        if not count:
            return total
        tokens = []
        for level, kind, body in ancillary:
            assert (level, kind) == (uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF)
            frag = uapi.DmabufCmsg(*uapi.DMABUF_CMSG.unpack(body))
            digest.update(memory.view[frag.frag_offset : frag.frag_offset + frag.frag_size])
            tokens.append(frag.frag_token)
            total += frag.frag_size
        for at in range(0, len(tokens), 128):
            some = b"".join(uapi.DMABUF_TOKEN.pack(token, 1) for token in tokens[at : at + 128])
            assert sock.setsockopt(uapi.SOL_SOCKET, uapi.SO_DEVMEM_DONTNEED, some) == len(some) // 8


def connect_when_open(stack: ExitStack, host: Host, address: tuple[str, int]) -> Socket:
    deadline = time.monotonic() + 10
    while True:
        sock = stack.enter_context(closing(host.socket()))
        sock.settimeout(20)
        try:
            sock.connect(address)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return sock
