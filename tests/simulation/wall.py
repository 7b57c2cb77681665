"""Both ways at once over every NIC of two hosts, by bounce or from device memory, and what host memory bore.

In: a machine, how many NICs, a path. Out: goodput and DRAM traffic while all of them stream, and their closed
form. Owns nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from socket import SOL_SOCKET

from nodes.client.host import Host
from nodes.machine.accelerator import Accelerator
from nodes.machine.ledger import Ledger
from nodes.simulation.machine_model import MachineSpec
from nodes.simulation.simulation import Node, Simulation
from nodes.uapi import socket as uapi

LINE_BPS, MTU = 200_000_000_000, 8244
_CHUNK, _RECEIVE, _QUEUE, _PORT = 256 << 10, 16 << 20, 7, 7000
_CONTROL = uapi.MAX_DONTNEED_TOKENS * uapi.cmsg_space(uapi.DMABUF_CMSG.size)
_RMEM = "4096,2097152,2097152"
_WARM_S = 3e-3  # slow start is over, and all streams are under way


@dataclass
class Flat:
    """`payload_bytes` received by both hosts from `_WARM_S` on until `until_s`."""

    until_s: float
    niov_bytes: int = 65536
    received: list[int] = field(default_factory=lambda: [0])

    def count(self, host: Host, count: int) -> bool:
        """Whether to go on."""
        now = host.runtime.monotonic() - 1
        if _WARM_S <= now < self.until_s:
            self.received[0] += count
        return now < self.until_s


def _accelerator(host: Host, nic: int) -> Accelerator:
    name = host.nics[nic].ifname
    turn = lambda dram, up=0, down=0: host.turn(dram, name, up, down)  # noqa: E731
    return Accelerator(Ledger(), turn, counted=host.runtime.counted)


def bounce_sender(host: Host, nic: int, address: str, flat: Flat) -> None:
    accelerator, memory = _accelerator(host, nic), host.memory(_CHUNK)
    data = accelerator.alloc(_CHUNK)
    sock = _connected(host, address)
    while flat.count(host, 0):
        accelerator.copy_to_host(data, 0, memory.view)
        sock.sendall(memory.view)
    accelerator.close()


def bounce_receiver(host: Host, nic: int, flat: Flat) -> None:
    accelerator, memory = _accelerator(host, nic), host.memory(_CHUNK)
    data, connection = accelerator.alloc(_CHUNK), _accepted(host, nic)
    while count := connection.recv_into(memory.view):
        accelerator.copy_to_device(memory.view[:count], data, 0)
        if not flat.count(host, count):
            break
    accelerator.close()


def devmem_sender(host: Host, nic: int, address: str, flat: Flat) -> None:
    accelerator = _accelerator(host, nic)
    data = accelerator.alloc(_CHUNK)
    tx = host.netdev.bind_tx({"ifindex": host.nics[nic].ifindex, "fd": data.fd})
    control = [(SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, struct.pack("=I", tx["id"]))]
    sock = _connected(host, address)
    sock.setsockopt(SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
    while flat.count(host, 0):
        sock.sendmsg([(0, _CHUNK)], control, uapi.MSG_ZEROCOPY)
    accelerator.close()


def devmem_receiver(host: Host, nic: int, flat: Flat) -> None:
    accelerator = _accelerator(host, nic)
    memory, ifindex = accelerator.alloc(_RECEIVE), host.nics[nic].ifindex
    ethtool = host.ethtool.of(ifindex)
    ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
    ethtool.rss_set({"equal": _QUEUE})
    ethtool.ntuple_insert({"flow-type": "tcp4", "dst-port": _PORT, "queue": _QUEUE})
    wanted = {"ifindex": ifindex, "queues": [{"type": "rx", "id": _QUEUE}], "rx-page-size": flat.niov_bytes}
    host.netdev.bind_rx({**wanted, "fd": memory.fd})
    connection = _accepted(host, nic)
    while True:
        count, messages, _, _ = connection.recvmsg_into([1 << 20], _CONTROL, uapi.MSG_SOCK_DEVMEM)
        frags = [uapi.DmabufCmsg._make(uapi.DMABUF_CMSG.unpack(body)) for _, _, body in messages]
        connection.dontneed(b"".join(uapi.DMABUF_TOKEN.pack(frag.frag_token, 1) for frag in frags))
        if not count or not flat.count(host, count):
            return


PATHS: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "bounce": (bounce_sender, bounce_receiver),
    "devmem": (devmem_sender, devmem_receiver),
}


def _connected(host: Host, address: str):  # type: ignore[no-untyped-def]
    host.runtime.sleep(1e-3)  # the receiver listens by then
    sock = host.socket()
    sock.connect((address, _PORT))
    return sock


def _accepted(host: Host, nic: int):  # type: ignore[no-untyped-def]
    listener = host.socket()
    listener.bind((host.nics[nic].address, _PORT))
    listener.listen()
    return listener.accept()[0]


@dataclass(frozen=True)
class Reached:
    """Bits a second of payload of a NIC in one direction; bytes a second of DRAM of a host."""

    goodput_bps: float
    dram_Bps: float


def reached(machine: MachineSpec, nics: int, path: str, seconds: float = 1e-3) -> Reached:
    """What the path reaches on two such hosts, payload counted."""
    until_s = _WARM_S + seconds
    flat, dram = Flat(until_s), [0, 0]
    with Simulation(carried=False) as simulation:
        addresses = [[f"10.{nic}.0.{end}" for nic in range(nics)] for end in (1, 2)]
        a, b = (
            simulation.add_host(name, *(f"{each}/24" for each in own), machine=machine, mtu=MTU)
            for name, own in zip("ab", addresses, strict=True)
        )
        for nic in range(nics):
            simulation.join(a, b, LINE_BPS, 5_000, nic)
        sender, receiver = PATHS[path]
        for here, there, own in ((a, b, addresses[1]), (b, a, addresses[0])):
            for nic in range(nics):
                there.spawn(lambda host, nic=nic: receiver(host, nic, flat), f"receiver {nic}")  # type: ignore[misc]
                here.spawn(lambda host, nic=nic, to=own[nic]: sender(host, nic, to, flat), f"sender {nic}")  # type: ignore[misc]

        def watch(host: Host) -> None:
            for at, when in enumerate((_WARM_S, until_s)):
                host.runtime.sleep(when + 1 - host.runtime.monotonic())
                dram[at] = _served(a)

        a.spawn(watch)
        simulation.run(lambda: simulation.clock.seconds() - 1 > until_s)
    return Reached(flat.received[0] * 8 / seconds / nics / 2, (dram[1] - dram[0]) / seconds)


def received(machine: MachineSpec, niov_bytes: int, line_bps: int, seconds: float = 1e-3) -> float:
    """Bits a second of payload that one NIC of such a host receives into net_iovs of that size, from a host
    without costs. No window is larger than the NIC's FIFO, so that nothing is lost where the CPU is slow."""
    flat = Flat(_WARM_S + seconds, niov_bytes)
    with Simulation(carried=False) as simulation:
        a = simulation.add_host("a", "10.0.0.1/24", mtu=MTU)
        b = simulation.add_host("b", "10.0.0.2/24", mtu=MTU, machine=machine, tcp_rmem=_RMEM)
        simulation.join(a, b, line_bps, 5_000)
        b.spawn(lambda host: devmem_receiver(host, 0, flat), "receiver")
        a.spawn(lambda host: devmem_sender(host, 0, "10.0.0.2", flat), "sender")
        simulation.run(lambda: simulation.clock.seconds() - 1 > flat.until_s)
    return flat.received[0] * 8 / seconds


def _served(node: Node) -> int:
    """Bytes of DRAM so far: what the host's stack and its programs' copies have asked for."""
    return node.simulated.machine.buses.by_name["memory"].served_bytes  # type: ignore[attr-defined,no-any-return]
