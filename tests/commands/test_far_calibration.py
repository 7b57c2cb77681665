"""Links between machines whose clocks differ: what the ends are asked, and what follows."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from commands.far_calibration import far_calibrations, without_clocks
from topologies.link import Link
from topologies.mininet.fabric import FabricError
from topologies.mininet.far_ends import Found
from topologies.mininet.probing import ROUNDS, Probes, Rate, Stamps, Train
from topologies.mininet.protocol import Probe
from topologies.shapes.registry import build

AHEAD_S = 7.5  # of the clock of h2's machine
UNDERLAY_S = 0.0001


@dataclass
class Wire:
    """Both ends of a link, which carries what it is told to, slowly at first. The clock of h2's machine is
    `drift_s` more ahead after each train of frames."""

    link: Link
    carries: tuple[str, ...] = ("h1-eth0", "h2-eth0")
    slow_rounds: int = 0
    drift_s: float = 0.0
    ahead_s: float = AHEAD_S
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def ask(self, node: str, probe: Probe) -> Found:
        self.asked.append((node, probe.sender, probe.action))
        way = self.link.sent_by(next(end for end in self.link.ends if end.interface == probe.sender))
        if isinstance(probe.sent, Probes):
            if probe.sender not in self.carries:
                return Stamps((), ())
            took_s = way.delay_s + UNDERLAY_S + (self.ahead_s if node == "h2" else -self.ahead_s)
            return Stamps((0, 1), tuple(sent + round(took_s * 1e9) for sent in probe.sent.sent_ns))
        if isinstance(probe.sent, Train):
            self.slow_rounds -= 1
            self.ahead_s += self.drift_s
            return Rate(way.rate_bps * (0.5 if self.slow_rounds >= 0 else 1.01))
        if probe.action == "probes":
            return Probes((1_000_000_000, 1_002_000_000))
        return Train(5, 25, 5, 60000) if probe.action == "train" else None


def link(asked: str = "") -> Link:
    return build("pair", 2, link=asked).links[0]


def test_both_ways_are_known_without_the_difference_of_the_clocks() -> None:
    wire = Wire(link("10Mbit/20Mbit,1ms/3ms"))
    there, back = far_calibrations([wire.link], wire.ask)
    assert (there.sender, there.receiver) == ("h1-eth0", "h2-eth0")
    assert (back.sender, back.receiver) == ("h2-eth0", "h1-eth0")
    assert there.achieved_delay_s == pytest.approx(0.001 + UNDERLAY_S, abs=1e-6)
    assert back.achieved_delay_s == pytest.approx(0.003 + UNDERLAY_S, abs=1e-6)
    assert [each.achieved_bps for each in (there, back)] == [10.1e6, 20.2e6]
    assert there.is_faithful


def test_an_end_is_opened_before_the_other_sends_and_closed_at_last() -> None:
    wire = Wire(link("10Mbit"))
    list(far_calibrations([wire.link], wire.ask))
    half = [each for each in wire.asked if each[1] == "h1-eth0"]
    assert half[:6] == [
        ("h2", "h1-eth0", "open"), ("h1", "h1-eth0", "open"),
        ("h1", "h1-eth0", "probes"), ("h2", "h1-eth0", "probes"),
        ("h2", "h1-eth0", "close"), ("h1", "h1-eth0", "close"),
    ]  # fmt: skip
    assert half[6:8] == [("h2", "h1-eth0", "open"), ("h1", "h1-eth0", "open")]
    assert half[8:11] == [("h1", "h1-eth0", "train"), ("h2", "h1-eth0", "train"), ("h1", "h1-eth0", "rest")]
    assert [each[2] for each in half].count("train") == 2 * ROUNDS
    assert half[-2:] == [("h2", "h1-eth0", "close"), ("h1", "h1-eth0", "close")]


def test_clocks_that_drift_while_rates_are_measured_change_no_delay() -> None:
    """Half of the drift would be taken for a delay."""
    wire = Wire(link("10Mbit,1ms"), drift_s=0.0005)
    for each in far_calibrations([wire.link], wire.ask):
        assert each.achieved_delay_s == pytest.approx(0.001 + UNDERLAY_S, abs=1e-6)


def test_a_link_that_is_off_is_measured_again() -> None:
    wire = Wire(link("10Mbit"), slow_rounds=ROUNDS)
    there, _ = far_calibrations([wire.link], wire.ask)
    assert there.is_faithful
    slow = Wire(link("10Mbit"), slow_rounds=1000)
    there, _ = far_calibrations([slow.link], slow.ask)
    assert not there.is_faithful


def test_a_link_of_which_nothing_is_asked_only_has_to_carry_frames() -> None:
    wire = Wire(link())
    assert list(far_calibrations([wire.link], wire.ask)) == []
    assert {action for _, _, action in wire.asked} == {"open", "probes", "close"}


@pytest.mark.parametrize("asked", ["", "10Mbit,1ms"])
def test_a_tunnel_that_carries_nothing_is_named(asked: str) -> None:
    wire = Wire(link(asked), carries=("h1-eth0",))
    with pytest.raises(FabricError, match=r"from h2-eth0 to h1-eth0; let .* pass"):
        list(far_calibrations([wire.link], wire.ask))


def test_what_both_ways_take_more_is_divided_evenly() -> None:
    there, back = without_clocks((0.001, 0.002), (5.0014, -4.9976))
    assert there == pytest.approx(0.0014)
    assert back == pytest.approx(0.0024)
