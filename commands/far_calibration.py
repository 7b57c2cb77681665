"""Links between two machines: that frames pass, and what such links that something is asked of are like.

In: the links, and how to ask the machine of a node. Out: a LinkCalibration a direction; FabricError. Owns
nothing. Two machines have two clocks: what one sent and the other stamped differs by the way's delay and by
their difference. Both ways together do not have it. What both take more than was asked is so known, and each
way is given half of it. One way's delay is measured right behind the other's, so that the clocks hardly drift
in between; rates, which take longer, are by one clock each and come later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from topologies.calibration import LinkCalibration
from topologies.link import Link, LinkEnd
from topologies.mininet.calibrate import calibration
from topologies.mininet.fabric import FabricError
from topologies.mininet.far_ends import Found
from topologies.mininet.probing import ROUNDS, Probes, Rate, Stamps, Train
from topologies.mininet.protocol import Probe

Action = Literal["open", "probes", "train", "rest", "close"]
Ask = Callable[[str, Probe], Found]  # the machine of a node
_REPEATS = 3


def far_calibrations(links: Iterable[Link], ask: Ask) -> Iterator[LinkCalibration]:
    """Of those that something is asked of; the others only have to carry frames. Raises FabricError, and what
    `ask` raises."""
    for link in links:
        found = _both(link, ask)
        for _ in range(_REPEATS):  # other work on the machines may have disturbed it
            if link.is_plain or all(each.is_faithful for each in found):
                break
            found = _both(link, ask)
        if not link.is_plain:
            yield from found


def without_clocks(asked_s: Sequence[float], seen_s: Sequence[float]) -> tuple[float, ...]:
    """Delays of both ways, without the difference of the clocks: `seen_s` has it, once with either sign."""
    more_s = (sum(seen_s) - sum(asked_s)) / 2
    return tuple(each + more_s for each in asked_s)


def _both(link: Link, ask: Ask) -> list[LinkCalibration]:
    ways = [_Way(link.sent_by(near), near, far, ask) for near, far in (link.ends, link.ends[::-1])]
    seen_s, lost = zip(*[way.probed() for way in ways], strict=True)
    delays_s = without_clocks([way.link.delay_s for way in ways], seen_s)
    return [
        calibration((way.link, way.sender, way.receiver), delay_s, share, way.rates())
        for way, delay_s, share in zip(ways, delays_s, lost, strict=True)
    ]


@dataclass(frozen=True)
class _Way:
    """A direction of a link, which is as `link` says; `ask` as above."""

    link: Link
    sender: LinkEnd
    receiver: LinkEnd
    ask: Ask

    def probed(self) -> tuple[float, float]:
        """The delay, with the difference of the clocks; what share was lost. Raises FabricError."""
        with self._open():
            probes = self._sends("probes")
            assert isinstance(probes, Probes)
            stamps = self._receives("probes", probes)
            assert isinstance(stamps, Stamps)
        delay_s = stamps.least_delay_s(probes)
        if delay_s is None:
            raise FabricError(
                f"no frame passes the tunnel from {self.sender.interface} to {self.receiver.interface}; let "
                "the machines' firewalls pass its UDP port (--tunnel-port)"
            )
        return delay_s, stamps.lost(probes)

    def rates(self) -> list[float]:
        """Of rounds, by the receiver's clock alone; none where no rate was asked."""
        found: list[float] = []
        if not self.link.rate_bps:
            return found
        with self._open():
            for _ in range(ROUNDS):
                train = self._sends("train")
                assert isinstance(train, Train)
                rate = self._receives("train", train)
                assert isinstance(rate, Rate)
                found.append(rate.bps)
                self._sends("rest")
        return found

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Both ends."""
        self._receives("open")
        self._sends("open")
        yield
        self._receives("close")
        self._sends("close")

    def _sends(self, action: Action) -> Found:
        return self.ask(self.sender.node, Probe(0, self.sender.interface, action))

    def _receives(self, action: Action, sent: Probes | Train | None = None) -> Found:
        return self.ask(self.receiver.node, Probe(0, self.sender.interface, action, sent))
