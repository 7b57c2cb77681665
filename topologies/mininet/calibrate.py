"""Measures the links of a network that something is asked of, before anything runs on them.

In: links, and the processes whose network namespaces their ends are in; or, of links between machines, what
both ends found. Out: a LinkCalibration a direction. Owns the two ends of a measurement while it lasts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from topologies.calibration import LOSS_PROBES, LinkCalibration
from topologies.link import Link, LinkEnd
from topologies.mininet.probing import ROUNDS, Receiver, Sender

_REPEATS = 3
_TOGETHER_BPS = 2_000_000_000  # what is measured at a time, in all

PidOf = Callable[[str], int]
Direction = tuple[Link, LinkEnd, LinkEnd]


def calibrate(links: Sequence[Link], pid_of: PidOf) -> tuple[LinkCalibration, ...]:
    """Both directions of the links that something is asked of. `pid_of` a node: a process in its network
    namespace. Raises OSError."""
    found: list[LinkCalibration] = []
    shaped = [link for link in links if not link.is_plain]
    directions = [(link.sent_by(ends[0]), *ends) for link in shaped for ends in (link.ends, link.ends[::-1])]
    for batch in _batches(directions):
        with ThreadPoolExecutor(len(batch)) as pool:
            found += pool.map(lambda direction: _measure(direction, pid_of), batch)
    return tuple(map(lambda direction, first: _repeated(direction, first, pid_of), directions, found))


def _repeated(direction: Direction, found: LinkCalibration, pid_of: PidOf) -> LinkCalibration:
    """Other work on the machine may have disturbed what is off: it is measured again, by itself."""
    for _ in range(_REPEATS):
        if found.is_faithful:
            break
        found = _measure(direction, pid_of)
    return found


def _batches(directions: Sequence[Direction]) -> Iterator[list[Direction]]:
    """As many at a time as this process can send on."""
    batch: list[Direction] = []
    for direction in directions:
        if batch and sum(link.rate_bps for link, *_ in (*batch, direction)) > _TOGETHER_BPS:
            yield batch
            batch = []
        batch.append(direction)
    if batch:
        yield batch


def _measure(direction: Direction, pid_of: PidOf) -> LinkCalibration:
    link, sender, receiver = direction
    with ExitStack() as stack:
        tx = stack.enter_context(closing(Sender(link, sender, pid_of(sender.node))))
        rx = stack.enter_context(closing(Receiver(link, receiver, pid_of(receiver.node))))
        probes = tx.probes()
        stamps = rx.stamps(probes)
        delay_s, loss = stamps.least_delay_s(probes), stamps.lost(probes)
        rates = []
        for _ in range(ROUNDS if link.rate_bps and delay_s is not None else 0):
            rates.append(rx.rate_bps(tx.train()))
            tx.rest()
    return calibration(direction, delay_s, loss, rates)


def calibration(
    direction: Direction, delay_s: float | None, loss: float, rates: Sequence[float]
) -> LinkCalibration:
    """What was found of a direction: `rates` of its rounds, none where there is none."""
    link, sender, receiver = direction
    return LinkCalibration(
        sender.interface,
        receiver.interface,
        link.rate_bps,
        statistics.median(rates) if rates else 0.0,
        link.delay_s,
        delay_s,
        link.jitter_s,
        link.loss,
        loss if link.loss else None,
        link.loss_deviation(LOSS_PROBES) if link.loss else None,
    )
