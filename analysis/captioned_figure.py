"""Figures that know their captions, in the project's look, as files and in a notebook.

In: what paints. Out: figures. Owns a figure's size, and how a notebook shows it: inline, in the colours of
the notebook's theme, light or dark.
"""

from analysis.matplotlib_defaults import MATPLOTLIB as mpl  # noqa: F401  before anything of matplotlib's

# isort: split
import hashlib
import html
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from analysis.inline_svg import inlined, palette
from analysis.style import DPI, HEIGHT, WIDTH, styled

_SHOWN_DPI = 100  # of a notebook's figure: one pixel in one and a half is a screen's
_CLASS = "devmem-figure"
# What a notebook's page says of its theme: JupyterLab and what nbconvert makes of it, Visual Studio Code.
_DARK = f'[data-jp-theme-light="false"] .{_CLASS}, .vscode-dark .{_CLASS}'
_PAPER = "var(--jp-layout-color0, var(--vscode-editor-background, {}))"


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
        svg = self.svg()
        name = f"figure-{hashlib.sha256(svg).hexdigest()[:12]}"
        element = inlined(svg, name, html.escape(self._title()), f"{name}-caption")
        width = round(self.get_figwidth() * _SHOWN_DPI)
        caption = f'<figcaption id="{name}-caption">{html.escape(self.caption)}</figcaption>'
        style = f"margin: 0.5em 0; max-width: {width}px"
        return (
            f'<figure class="{_CLASS}" style="{style}"><style>{_style_sheet()}</style>{element}{caption}'
            "</figure>"
        )

    def _title(self) -> str:
        """By which readers of screens call it."""
        titles = [axes.get_title("left") for axes in self.axes]
        return next(filter(None, titles), "Figure")

    def __repr__(self) -> str:
        return f"<figure: {self.caption}>"


def _style_sheet() -> str:
    """Of every figure in a notebook alike: its colours are the theme's."""
    rules = {f".{_CLASS}": palette()["light"], _DARK: palette()["dark"]}
    text = "".join(f"{where}{{{_declared(colours)}}}" for where, colours in rules.items())
    text += f".{_CLASS} svg{{display:block;width:100%;height:auto;fill:var(--ink)}}"
    return text + f".{_CLASS} svg *{{stroke-linejoin:round;stroke-linecap:butt}}"


def _declared(colours: Iterable[tuple[str, str]]) -> str:
    return "".join(
        f"--{name}:{_PAPER.format(colour) if name == 'paper' else colour};" for name, colour in colours
    )


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
