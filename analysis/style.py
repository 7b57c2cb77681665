"""The look of every figure: one colour and one marker a path, everywhere.

In: names of paths; what paints. Out: colours, matplotlib settings, figures that know their captions. Owns the
palette, which is Okabe and Ito's: told apart with any colour vision; markers and hatches repeat what colours
say. A path's colour means that path and nothing else, in any figure. A figure stands on white of its own, so
it is read on a dark page as well (analysis/inline_svg.py gives one inside a page the page's colours), and it
begins and is saved with these settings and not with a user's.
"""

from analysis.matplotlib_defaults import MATPLOTLIB as mpl

# isort: split
import base64
import html
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

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
_SHOWN_DPI = 100  # of a notebook's figure: one pixel in one and a half is a screen's


class CaptionedFigure(Figure):
    """A figure, what its reader has to know, and its files. A notebook shows it with its caption."""

    caption = ""

    def png(self) -> bytes:
        """Without a version in it."""
        return self._saved(format="png", metadata={"Software": None})

    def svg(self) -> bytes:
        """Likewise, and without a date."""
        return self._saved(format="svg", metadata={"Creator": None, "Date": None})

    def _saved(self, **how: Any) -> bytes:
        with styled():
            image = BytesIO()
            self.savefig(image, **how)
            return image.getvalue()

    def _repr_html_(self) -> str:
        caption = html.escape(self.caption)
        width = round(self.get_figwidth() * _SHOWN_DPI)
        image = base64.b64encode(self.png()).decode("ascii")
        return (
            f'<figure style="margin: 0.5em 0"><img style="max-width: 100%; height: auto" width="{width}" '
            f'alt="{caption}" src="data:image/png;base64,{image}">'
            f'<figcaption style="max-width: {width}px">{caption}</figcaption></figure>'
        )

    def __repr__(self) -> str:
        return f"<figure: {self.caption}>"


@contextmanager
def styled() -> Iterator[None]:
    """matplotlib's own defaults with STYLE, whatever was set before. The backend is no part of the defaults;
    figures have a canvas of their own."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def painted(paint: Callable[[Figure], str], width: float = WIDTH, height: float = HEIGHT) -> CaptionedFigure:
    """A figure that `paint` has painted, with the caption that it returned. Sizes in inches."""
    with styled():
        margins = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
        figure = CaptionedFigure(figsize=(width, height), dpi=DPI, layout=margins)
        FigureCanvasAgg(figure)
        figure.caption = paint(figure)
        # Once, and not for each file that it is saved to: it takes as long as drawing.
        margins.execute(figure)
        figure.set_layout_engine("none")
    return figure


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
