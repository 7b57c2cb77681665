"""Links between two machines: that frames pass, and what such links that something is asked of are like.

In: the links, and how to ask the machine of a node. Out: a LinkCalibration a direction; FabricError. Owns
nothing. Two machines have two clocks: what one sent and the other stamped differs by the way's delay and by
their difference. Both ways together do not have it. What both take more than was asked is so known, and each
way is given half of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from topologies.calibration import LinkCalibration
from topologies.link import Link, LinkEnd
from topologies.mininet.calibrate import calibration
from topologies.mininet.fabric import FabricError
from topologies.mininet.far_ends import Found
from topologies.mininet.probing import ROUNDS, Probes, Rate, Stamps, Train
from topologies.mininet.protocol import Probe

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
    found = [_measured(link, *ends, ask) for ends in (link.ends, link.ends[::-1])]
    for silent in (each for each in found if each.achieved_delay_s is None):
        raise FabricError(
            f"no frame passes the tunnel from {silent.sender} to {silent.receiver}; let the machines' "
            "firewalls pass its UDP port (--tunnel-port)"
        )
    seen_s = [each.achieved_delay_s or 0.0 for each in found]
    delays = without_clocks([each.asked_delay_s for each in found], seen_s)
    return [
        msgspec.structs.replace(each, achieved_delay_s=delay_s)
        for each, delay_s in zip(found, delays, strict=True)
    ]


def _measured(link: Link, sender: LinkEnd, receiver: LinkEnd, ask: Ask) -> LinkCalibration:
    """One way, with the difference of the clocks."""
    way = link.sent_by(sender)

    def at(end: LinkEnd, probe: Probe) -> Found:
        return ask(end.node, probe)

    name = sender.interface
    for end in (receiver, sender):
        at(end, Probe(0, name, "open"))
    probes = at(sender, Probe(0, name, "probes"))
    assert isinstance(probes, Probes)
    stamps = at(receiver, Probe(0, name, "probes", probes))
    assert isinstance(stamps, Stamps)
    delay_s, rates = stamps.least_delay_s(probes), []
    for _ in range(ROUNDS if way.rate_bps and delay_s is not None else 0):
        train = at(sender, Probe(0, name, "train"))
        assert isinstance(train, Train)
        rate = at(receiver, Probe(0, name, "train", train))
        assert isinstance(rate, Rate)
        rates.append(rate.bps)
        at(sender, Probe(0, name, "rest"))
    for end in (receiver, sender):
        at(end, Probe(0, name, "close"))
    return calibration((way, sender, receiver), delay_s, stamps.lost(probes), rates)
