"""The look of every figure: one colour and one marker a path, everywhere.

In: names of paths. Out: colours, matplotlib settings. Owns the palette, which is Okabe and Ito's: told apart
with any colour vision; markers and hatches repeat what colours say. A path's colour means that path and
nothing else, in any figure. A file's figure stands on white of its own, so it is read on a dark page as well;
inside of a page it has the page's colours (analysis/inline_svg.py). Figures begin and are saved with these
settings and not with a user's.
"""

from analysis.matplotlib_defaults import MATPLOTLIB as mpl

# isort: split
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib.colors import LinearSegmentedColormap, to_rgb

PATH_COLOURS = {"devmem": "#0072B2", "bounce": "#D55E00", "kernel": "#009E73"}
OTHER_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000")  # of a path not known here, of what is no path
MARKERS = {"devmem": "o", "bounce": "s", "kernel": "^"}
# From little to much: one hue, darker and darker, in steps that a page can give other colours.
AMOUNTS = 10
AMOUNT = LinearSegmentedColormap.from_list("amount", ["#ecd0df", "#CC79A7", "#8f3f6b", "#4a1535"], AMOUNTS)
GREY = "#666666"
WIDTH, HEIGHT, DPI = 6.4, 3.9, 160
STYLE: dict[Any, Any] = {  # matplotlib types its keys as one long Literal
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "figures",  # the same data give the same file
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes a third of the bytes
}


@contextmanager
def styled() -> Iterator[None]:
    """matplotlib's own defaults with STYLE, whatever was set before. The backend is no part of the defaults;
    figures have a canvas of their own."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def colour_of(path: str, paths: Sequence[str]) -> str:
    """The path's colour; a path not known here gets one by its place among the unknown."""
    unknown = [name for name in paths if name not in PATH_COLOURS]
    return PATH_COLOURS.get(path) or OTHER_COLOURS[unknown.index(path) % len(OTHER_COLOURS)]


def marker_of(path: str) -> str:
    """The path's marker; a diamond of a path not known here."""
    return MARKERS.get(path, "D")


def lighter(colours: Sequence[str]) -> list[tuple[float, float, float]]:
    """The colours mixed with white: unlike a transparent bar, one that hides the grid."""
    mixed = []
    for colour in colours:
        red, green, blue = (0.5 * part + 0.5 for part in to_rgb(colour))
        mixed.append((red, green, blue))
    return mixed
