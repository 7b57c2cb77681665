"""Incast: many hosts of a switch answer one, at once, again and again.

In: how many senders, the queue in front of the receiver, whether ECN is asked for (tcp_ecn 1), how the
receiver reads. Out: how long each round took, and what was lost or marked. Owns nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from nodes.client.host import Host
from nodes.client.socket import Socket
from nodes.simulation.output import QueueLimits
from nodes.simulation.simulation import Simulation

LINE_BPS, BLOCK = 100_000_000_000, 64 << 10
_PORT, _ROUNDS = 7000, 2


@dataclass(frozen=True)
class Incast:
    """`round_s`: of each round, from its first block asked for to its last byte. `queued_max`: bytes."""

    round_s: list[float]
    dropped_packets: int
    marked_packets: int
    queued_max: int
    timeouts: int


def incast(
    senders: int, limits: QueueLimits, ecn: int = 0, congestion: str = "", at_once: bool = False
) -> Incast:
    """Each sender has a connection, on which the receiver asks for a block by a byte. `at_once`: it has a
    thread for each, else it reads one connection to its end and then the next."""
    took: list[float] = []
    with Simulation(carried=False) as simulation:
        switch = simulation.add_switch(limits)
        names = [f"10.0.{1 + number // 200}.{1 + number % 200}/16" for number in range(senders)]
        nodes = [
            simulation.add_host(f"s{number}", address, tcp_ecn=ecn) for number, address in enumerate(names)
        ]
        receiver = simulation.add_host("r", "10.0.0.1/16", tcp_ecn=ecn)
        for node in (receiver, *nodes):
            simulation.plug(node, switch, LINE_BPS, 1_000)
        for node in nodes:
            node.spawn(partial(_answer, congestion))
        receiver.spawn(partial(_ask, [name.partition("/")[0] for name in names], took, at_once))
        simulation.run()
        port = switch.outputs[0]
        timeouts = sum(node.simulated.host.stack.tcp.mib.TcpExtTCPTimeouts for node in nodes)
        return Incast(took, port.dropped_packets, port.marked_packets, port.queued_max, timeouts)


def _answer(congestion: str, host: Host) -> None:
    listener = host.socket()
    if congestion:
        listener.setsockopt(6, 13, congestion.encode())  # IPPROTO_TCP, TCP_CONGESTION
    listener.bind(("", _PORT))
    listener.listen()
    connection, _ = listener.accept()
    memory = host.memory(BLOCK)
    while connection.recv(1):
        connection.sendall(memory.view)


def _ask(addresses: list[str], took: list[float], at_once: bool, host: Host) -> None:
    host.runtime.sleep(1e-3)
    socks = []
    for address in addresses:
        socks.append(host.socket())
        socks[-1].connect((address, _PORT))
    for _ in range(_ROUNDS):
        began = host.runtime.monotonic()
        for sock in socks:
            sock.send(b"?")
        if at_once:
            readers = [host.runtime.spawn(partial(_read, sock, host), "reader") for sock in socks]
            for reader in readers:
                reader.join()
        else:
            for sock in socks:
                _read(sock, host)
        took.append(host.runtime.monotonic() - began)
    for sock in socks:
        sock.close()


def _read(sock: Socket, host: Host) -> None:
    memory, left = host.memory(BLOCK), BLOCK
    while left:
        left -= sock.recv_into(memory.view[:left])
    memory.close()
