"""One-way transfers whose ends are device memory or Linux, several at once.

In: a Bench. Out: its figures of parts linux, flows and shaped. Owns the networks, and the processes: a
receiver (tests.bench.receiver) and a sender of each transfer, socat where Linux sends one connection. A
receiver counts when the connection has run for a while.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from tests.bench.figure import Goal, at_least
from tests.bench.network import Network, python
from tests.bench.rounds import Bench, Round
from topologies.mininet.fabric import FabricError

DEVMEM, LINUX = "devmem", "kernel"  # as receiver.py and sender.py take them
_PORT = 7000
_OFFLOADS = "tso off gso off"


@dataclass(frozen=True)
class Way:
    """From one host to another; at each end DEVMEM or LINUX."""

    sender: str
    receiver: str
    source: str = "h1"
    target: str = "h2"
    flows: int = 1
    niov_bytes: int = 65536


def transfers(network: Network, ways: Sequence[Way], seconds: float, skip_s: float = 0.5) -> list[float]:
    """Gb/s of each, all at once, `skip_s` after their connections were made."""
    with ExitStack() as stack:
        receivers = []
        for number, way in enumerate(ways):
            words: tuple[object, ...] = way.receiver, network.channel(way.target), _PORT + number
            words += way.flows, way.niov_bytes, skip_s, seconds
            receiver = stack.enter_context(python("tests.bench.receiver", *map(str, words)))
            stack.callback(receiver.kill)
            receivers.append(receiver)
        for receiver in receivers:
            _line(receiver)
        for number, way in enumerate(ways):
            stack.callback(_sender(network, way, _PORT + number))
        found = [json.loads(_line(receiver)) for receiver in receivers]
    return [float(each["bytes"] * 8 / each["seconds"] / 1e9) for each in found]


def _line(receiver: subprocess.Popen[str]) -> str:
    assert receiver.stdout is not None
    line = receiver.stdout.readline()
    if not line:
        raise SystemExit(f"bench: a receiver ended with status {receiver.wait()}")
    return line


def _sender(network: Network, way: Way, port: int) -> Callable[[], None]:
    """Start it; returns what ends it."""
    address = (network.address if way.receiver == DEVMEM else network.kernel_address)(way.target)
    if way.sender == LINUX and way.flows == 1:
        target = f"TCP:{address}:{port},setsockopt-string=6:13:cubic"
        argv = ["socat", "-u", "-b1048576", "OPEN:/dev/zero", target]
        pid = network.fabric.spawn(way.source, argv, "socat.log")

        def end() -> None:
            with suppress(FabricError):  # it has ended by itself
                network.fabric.terminate(pid)

        return end
    words = way.sender, network.channel(way.source), address, port, way.flows
    sender = python("tests.bench.sender", *map(str, words))

    def kill() -> None:
        sender.kill()
        sender.communicate()

    return kill


def from_linux(bench: Bench) -> None:
    """A Linux sender into device memory, and into Linux with a copy to the device: as links are set by
    default, with RPS, and from a sender without offloads. What that one sends the receiving interface
    coalesces, as a NIC does, and a veth only if asked: GRO slows its super-packets by a fifth. A frame takes
    a net_iov at least, so that those of a packet each are of 4 KiB."""
    with ExitStack() as stack:
        network = Network(stack)
        stack.enter_context(network.endpoints())
        _into(bench, network, "Linux sender into devmem", at_least(0.5))
        _rps(network, (1 << min(32, os.cpu_count() or 1)) - 1)
        _into(bench, network, "Linux sender into devmem, RPS at both ends", at_least(0.5))
        _rps(network, 0)
        network.do("h1", f"ethtool -K {network.interface('h1')} {_OFFLOADS}")
        network.do("h2", f"ethtool -K {network.interface('h2')} gro on")
        _into(bench, network, "Linux sender without offloads into devmem", at_least(0.5), 4096)


def _into(bench: Bench, network: Network, name: str, goal: Goal, niov_bytes: int = 65536) -> None:
    def one_round() -> Round:
        (devmem,) = transfers(network, [Way(LINUX, DEVMEM, niov_bytes=niov_bytes)], bench.seconds)
        (linux,) = transfers(network, [Way(LINUX, LINUX)], bench.seconds)
        return {"devmem_gbps": devmem, "Linux and copy_gbps": linux}

    rounds = bench.measure(name, one_round)
    bench.against(name, rounds, "devmem_gbps", "Linux and copy_gbps", "Gb/s", goal)


def _rps(network: Network, cpus: int) -> None:
    """Of both hosts: spread over `cpus`, a mask; 0: off, as links are set by default."""
    for name in ("h1", "h2"):
        network.do(name, f"echo {cpus:x} > /sys/class/net/{network.interface(name)}/queues/rx-0/rps_cpus")


def many_flows(bench: Bench) -> None:
    """64 connections of one Linux sender into device memory, against one of the same sender."""
    with ExitStack() as stack:
        network = Network(stack)
        stack.enter_context(network.endpoints())

        def one_round() -> Round:
            (one,) = transfers(network, [Way(LINUX, DEVMEM)], bench.seconds)
            (many,) = transfers(network, [Way(LINUX, DEVMEM, flows=64)], bench.seconds)
            return {"64 flows_gbps": many, "one flow_gbps": one}

        rounds = bench.measure("64 flows", one_round)
    bench.against("64 flows into devmem", rounds, "64 flows_gbps", "one flow_gbps", "Gb/s", at_least(0.9))


def shaped(bench: Bench) -> None:
    """A line of 1 and 2.5 Gbit/s: goodput against what headers allow, one way and both ways at once."""
    cases = {
        "Linux to devmem": (Way(LINUX, DEVMEM),),
        "devmem to Linux": (Way(DEVMEM, LINUX),),
        "both, h2 devmem": (Way(LINUX, DEVMEM), Way(DEVMEM, LINUX, "h2", "h1")),
    }
    for rate in (1.0, 2.5):
        for mtu in (1500, 8244):
            with ExitStack() as stack:
                network = Network(stack, mtu=mtu, link=f"{rate:g}Gbit")
                stack.enter_context(network.endpoints())
                for case, ways in cases.items():
                    name = f"{rate:g} Gbit/s, MTU {mtu}, {case}"

                    def one_round(ways: tuple[Way, ...] = ways, network: Network = network) -> Round:
                        rates = transfers(network, ways, bench.seconds, skip_s=1.0)
                        return {f"{number}_gbps": each for number, each in enumerate(rates)}

                    rounds = bench.measure(name, one_round)
                    allowed = rate * header_share(mtu, len(ways) > 1)
                    slower = [min(r.values()) for r in rounds]
                    reference = [allowed] * len(rounds)
                    bench.add(name, slower, "Gb/s", at_least(0.98), reference, "headers allow")


def header_share(mtu: int, both_ways: bool) -> float:
    """Of a line's bytes as a token bucket counts them, Ethernet header and all, those that are payload, with
    timestamps. Both ways, an acknowledgement for every second segment takes its part (RFC 9293, 3.8.6.3)."""
    payload, ack = mtu - 52, 66
    return 2 * payload / (2 * (mtu + 14) + both_ways * ack)
