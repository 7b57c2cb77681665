"""Whether links are what was asked: each direction's rate, delay and loss, asked and achieved.

In: what was measured. Out: frozen records, and the sentence that refuses a network whose links are off. Owns
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

TOLERANCE = 0.05
DELAY_TOLERANCE_S = 0.0002  # or TOLERANCE, if that is more
LOSS_PROBES = 1000  # how many packets the loss is measured by
_DEVIATIONS = 4  # a link that is as asked is refused once in 15,000 times


class LinkCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One direction of a link, `sender` to `receiver` (interfaces). Rates in bits a second of whole Ethernet
    frames, 0: no rate was asked, so none was measured. Delays in seconds, one way, the least that was found;
    None: nothing arrived. Losses as shares; None: no loss was asked, so none was measured.
    `loss_deviation`: the standard deviation that chance gives it, a binomial one's if losses are
    independent."""

    sender: str
    receiver: str
    asked_bps: int
    achieved_bps: float
    asked_delay_s: float
    achieved_delay_s: float | None
    asked_jitter_s: float = 0.0
    asked_loss: float = 0.0
    achieved_loss: float | None = None
    loss_deviation: float | None = None

    @property
    def rate_error(self) -> float:
        """Achieved less asked, as a share of asked."""
        return self.achieved_bps / self.asked_bps - 1 if self.asked_bps else 0.0

    @property
    def is_faithful(self) -> bool:
        if self.achieved_delay_s is None:
            return False
        allowed = max(DELAY_TOLERANCE_S, TOLERANCE * self.asked_delay_s) + self.asked_jitter_s
        off = abs(self.achieved_delay_s - self.asked_delay_s)
        return abs(self.rate_error) <= TOLERANCE and off <= allowed and self._loses_as_asked

    @property
    def _loses_as_asked(self) -> bool:
        if self.achieved_loss is None:
            return True
        allowed = _DEVIATIONS * (self.loss_deviation or 0) + 1 / LOSS_PROBES
        return abs(self.achieved_loss - self.asked_loss) <= allowed

    def __str__(self) -> str:
        if self.achieved_delay_s is None:
            return f"{self.sender} to {self.receiver}: nothing arrived"
        rate = ""
        if self.asked_bps:
            rate = f"{self.achieved_bps / 1e6:.4g} of {self.asked_bps / 1e6:.4g} Mbit/s, "
        delay = f"{self.achieved_delay_s * 1e3:.3g} of {self.asked_delay_s * 1e3:.3g} ms"
        loss = ""
        if self.achieved_loss is not None:
            loss = f", {self.achieved_loss:.3g} of {self.asked_loss:.3g} lost"
        return f"{self.sender} to {self.receiver}: {rate}{delay}{loss}"


def obstacle(links: Iterable[LinkCalibration]) -> str | None:
    """Why no result of this network can be believed, as a sentence with its remedy; None: links are as
    asked."""
    off = [link for link in links if not link.is_faithful]
    if not off:
        return None
    worst = max(off, key=lambda link: abs(link.rate_error))
    more = f" and {len(off) - 1} more" if len(off) > 1 else ""
    return (
        f"links are further off than {TOLERANCE:.0%} from what was asked ({worst}{more}); ask for less, run "
        "it on a quieter machine, or accept it with --allow-uncalibrated"
    )
