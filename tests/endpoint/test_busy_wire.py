"""When a wire that takes no frame is looked at again, if the poll says nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nodes.endpoint.busy_wire import FIRST_LOOK_S, BusyWire
from nodes.skb import Skb
from tests.nic.bench import Bench

RATES_BPS = [1e5, 1e6, 1e7, 1e8, 1e9]
STOPPED_WITH_BITS = 8 * 524_288


class Nic:
    """On a fake wire, which has a queue of its own as far as a BusyWire sees it. Nothing else wakes the loop
    that it is in."""

    def __init__(self, bench: Bench) -> None:
        self.looks: list[str] = []
        self.busy = BusyWire(bench.device.tx, self)
        self._bench = bench

    def look_again(self) -> None:
        self.looks.append("again")

    def send(self, room: int) -> None:
        """A packet more, when the wire takes `room` of those that wait."""
        self._bench.wire.room = room
        self._bench.device.tx.kick()
        self._bench.device.xmit(Skb(bytes(60), None), 0)

    def turns(self, until: float) -> Iterator[float]:
        """The times from 0 on at which the loop makes a turn."""
        at = self.busy.turned(0.0)
        while at is not None and at < until:
            yield at
            self.busy.look(at)
            at = self.busy.turned(at)


@pytest.fixture
def nic(bench: Bench) -> Nic:
    return Nic(bench)


@pytest.fixture
def bench() -> Iterator[Bench]:
    each = Bench()
    yield each
    each.device.tx.empty()
    each.settle()


def test_a_wire_that_takes_frames_is_left_alone(nic: Nic) -> None:
    nic.send(1)
    assert nic.busy.turned(0.0) is None
    nic.busy.look(9.0)
    assert not nic.looks


def test_a_busy_wire_is_looked_at_though_nothing_else_happens(nic: Nic) -> None:
    nic.send(0)
    assert nic.busy.turned(5.0) == 5.0 + FIRST_LOOK_S
    nic.busy.look(5.0 + FIRST_LOOK_S / 2)
    assert not nic.looks
    assert nic.busy.turned(5.0 + FIRST_LOOK_S / 2) == 5.0 + FIRST_LOOK_S, "other turns put nothing off"
    nic.busy.look(5.0 + FIRST_LOOK_S)
    assert nic.looks == ["again"]


@pytest.mark.parametrize("rate_bps", RATES_BPS)
def test_one_look_falls_between_half_empty_and_empty(nic: Nic, rate_bps: float) -> None:
    nic.send(0)
    empty_s = STOPPED_WITH_BITS / rate_bps
    times = [*nic.turns(2 * empty_s)]
    assert any(empty_s / 2 <= at <= empty_s for at in times)
    assert len(times) < 20


def test_a_wire_that_took_a_frame_meanwhile_is_soon_looked_at(nic: Nic) -> None:
    nic.send(0)
    last = max(nic.turns(1.0))
    nic.send(1)
    assert nic.busy.turned(last) == last + FIRST_LOOK_S


def test_a_wire_is_busy_anew_after_it_was_not(nic: Nic) -> None:
    nic.send(0)
    last = max(nic.turns(1.0))
    nic.send(2)
    assert nic.busy.turned(last) is None
    nic.send(0)
    assert nic.busy.turned(last) == last + FIRST_LOOK_S
