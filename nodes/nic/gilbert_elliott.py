"""When something happens to a packet on the wire: by chance alone, or in bursts.

In: chances of events; a random generator. Out: how many packets pass until the next event, and which it is.
Owns the state of the wire, good or bad. What passes is drawn at once and not packet by packet, so that a
super-packet to which nothing happens need not be looked at.
Source: tc-netem(8), "loss gemodel"; loss_gilb_ell in net/sched/sch_netem.c: a packet meets the state before
the change that it makes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

NEVER = 1 << 62
_STAYS = 256  # states that are drawn at a time


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """`p`: the chance that a packet leaves the good state behind, `r`: the bad one; `lost_bad` (1-h) and
    `lost_good` (1-k): chances that a packet is lost in each."""

    p: float
    r: float
    lost_bad: float = 1.0
    lost_good: float = 0.0

    @property
    def loss(self) -> float:
        """Of all packets, in the long run."""
        bad = self.p / (self.p + self.r)
        return bad * self.lost_bad + (1 - bad) * self.lost_good


@dataclass(frozen=True, slots=True)
class _State:
    """Chances of each event, of any, and that a packet leaves the state behind."""

    chances: tuple[float, ...]
    any: float
    leave: float


class WireEvents:
    """`chances`: of loss and of other events, at most one of which hits a packet. With a `model` loss is the
    model's, and the others hit packets that are not lost. The wire is good in the beginning."""

    def __init__(
        self, chances: tuple[float, ...], model: GilbertElliott | None, random_: random.Random
    ) -> None:
        self._random = random_
        self._states = [_State(chances, math.fsum(chances), 0.0)]
        if model is not None:
            both = ((model.lost_good, model.p), (model.lost_bad, model.r))
            self._states = [_with_loss(loss, chances[1:], leave) for loss, leave in both]
        self._now = 0  # which state
        self._certain = True  # that the next event happens
        self._left = self._stay()
        self.until = self._draw()  # how many packets pass before the next event

    def next(self) -> int | None:
        """The event that is due: its number among the chances; None: nothing happens to this packet, after
        all. `until` is then that of the next one."""
        state, certain = self._states[self._now], self._certain
        self.until, which = self._draw(), self._random.random() * (state.any if certain else 1)
        if which >= state.any:
            return None
        for number, chance in enumerate(state.chances[:-1]):
            if which < chance:
                return number
            which -= chance
        return len(state.chances) - 1

    def _draw(self) -> int:
        """Of rare events only the next states are drawn: then chance has a say in the packet behind them."""
        passed = 0
        for _ in range(_STAYS):
            gap = self._geometric(self._states[self._now].any)
            if gap < self._left:
                self._left -= gap + 1
                self._certain = True
                return passed + gap
            passed += self._left
            self._now = 1 - self._now
            self._left = self._stay()
        self._left -= 1
        self._certain = False
        return passed

    def _stay(self) -> int:
        """How many packets the state lasts: the one that leaves it meets it, too."""
        return self._geometric(self._states[self._now].leave) + 1

    def _geometric(self, chance: float) -> int:
        """How many times something of that chance does not happen before it does."""
        if chance <= 0:
            return NEVER
        return 0 if chance >= 1 else int(math.log(1 - self._random.random()) / math.log1p(-chance))


def _with_loss(loss: float, others: tuple[float, ...], leave: float) -> _State:
    chances = (loss, *((1 - loss) * other for other in others))
    return _State(chances, math.fsum(chances), leave)
