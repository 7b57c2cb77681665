"""Flows that share a switch's port: what each of them gets of it."""

from __future__ import annotations

from nodes.simulation.output import QueueLimits
from nodes.simulation.simulation import Simulation
from tests.bench.fairness import jain
from tests.simulation.programs import Stream

FLOWS, PORT_BPS, TOTAL = 4, 10_000_000_000, 128 << 20
LIMITS = QueueLimits(bytes=1 << 20)


def shares(limits: QueueLimits, ecn: int = 0) -> tuple[list[float], int]:
    """Bits a second of each flow while all stream, behind a quarter of each; packets that were lost."""
    streams = [Stream(TOTAL, f"10.0.0.{9 + number}") for number in range(FLOWS)]
    with Simulation(carried=False) as simulation:
        first, second = simulation.add_switch(limits), simulation.add_switch(limits)
        trunk = simulation.line(PORT_BPS, 10_000, lambda frame: second.deliver(at_second, frame))
        back = simulation.line(PORT_BPS, 10_000, lambda frame: first.deliver(at_first, frame))
        at_first, at_second = first.add_port(trunk), second.add_port(back)
        for number, stream in enumerate(streams):
            sender = simulation.add_host(f"s{number}", f"10.0.0.{1 + number}/24", tcp_ecn=ecn)
            receiver = simulation.add_host(f"r{number}", f"{stream.address}/24", tcp_ecn=ecn)
            simulation.plug(sender, first, 10 * PORT_BPS, 1_000)
            simulation.plug(receiver, second, 10 * PORT_BPS, 1_000)
            receiver.spawn(stream.receiver)
            sender.spawn(stream.sender)
        simulation.run()
        lost = first.outputs[at_first].dropped_packets
    began = max(next(at for at, got in each.marks if got >= TOTAL // 4) for each in streams)
    ended = min(each.marks[-1][0] for each in streams)
    return [got_between(each, began, ended) * 8 / (ended - began) for each in streams], lost


def got_between(stream: Stream, began: float, ended: float) -> int:
    got = [count for at, count in stream.marks if began <= at <= ended]
    return got[-1] - got[0]


def test_four_flows_share_a_port_and_fill_it() -> None:
    found, lost = shares(LIMITS)
    assert jain(found) > 0.85
    assert sum(found) > 0.9 * PORT_BPS * 1448 / 1538
    assert lost > 0


def test_four_flows_of_super_packets_share_a_port_that_marks() -> None:
    found, lost = shares(QueueLimits(bytes=1 << 20, ecn_bytes=128 << 10), ecn=1)
    assert jain(found) > 0.9
    assert sum(found) > 0.9 * PORT_BPS * 1448 / 1538
    assert lost == 0
