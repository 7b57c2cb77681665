"""What became of published claims, as a figure.

In: outcomes. Out: a figure of those that have a published number. Owns what it shows: ours over the published
number, and where it has to be.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.captioned_figure import CaptionedFigure, painted
from analysis.claims import REPRODUCED, Outcome
from analysis.style import WIDTH

_LEAST, _MOST = 0.0, 1.6
_ROW, _REST = 0.34, 1.5


def figure(outcomes: Sequence[Outcome]) -> CaptionedFigure:
    """A row for each claim that has two numbers."""
    shown = [each for each in outcomes if each.ours is not None and each.claim.published_value]

    def paint(whole: Figure) -> str:
        axes = whole.subplots()
        axes.set_title("Published claims: ours over the published figure, or the derived one")
        axes.axvline(1.0, color="black", linewidth=0.8)
        for at, each in enumerate(shown):
            published = each.claim.published_value or 1.0
            low = _LEAST if each.claim.low is None else each.claim.low / published
            high = _MOST if each.claim.high is None else each.claim.high / published
            axes.barh(at, high - low, left=low, height=0.6, color="#dddddd")
            ratio = (each.ours or 0.0) / published
            within = min(max(ratio, _LEAST), _MOST)
            filled = "black" if each.verdict == REPRODUCED else "white"
            marker = "o" if within == ratio else ">"
            axes.plot(within, at, marker, color="black", markerfacecolor=filled, clip_on=False, zorder=3)
            axes.annotate(
                f"{each.ours_text} ({each.claim.published_value:g})", (_MOST, at), (14, 0),
                textcoords="offset points", va="center", color="black", fontsize=9, annotation_clip=False,
            )  # fmt: skip
        axes.set_yticks(range(len(shown)), [each.claim.name for each in shown])
        axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
        axes.set_xlim(_LEAST, _MOST)
        axes.set_xlabel("ours / published or derived; grey: where a claim counts as reproduced")
        axes.grid(axis="y", visible=False)
        return (
            "Ours over the published or derived number; at the right ours (theirs). Grey: within the bounds. "
            "Hollow: not reproduced. An arrow: beyond the axis."
        )

    return painted(paint, 1.4 * WIDTH, _ROW * len(shown) + _REST)
