"""A page of its own: what all reports share.

In: a template's name and what it shows. Out: HTML that needs no other file, with figures inside. Owns the
form of numbers in it. The page asks nothing of a network and runs no script.
"""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.inline_svg import inlined, palette
from analysis.plots import Drawn
from analysis.printed import UNKNOWN
from analysis.style import PATH_COLOURS

# How readers of screens call a figure.
_TITLES = {
    "busbw": "Bus bandwidth of each path",
    "goodput": "Goodput of each path",
    "host_dram": "Host DRAM bytes per payload byte of each path",
    "host_dram_time": "Host DRAM traffic and goodput over time",
    "crossover": "Line rate at which bounce falls behind devmem",
    "ceiling": "Bandwidth under the ceiling of host memory",
    "cpu": "CPU seconds per gigabyte of each path",
    "latency": "Latency percentiles of each path",
    "links": "The network and what its links carried",
    "losses": "Packets lost and sent again, and occupancy of page pools",
    "pools": "Occupancy of each host's page pools over time",
    "congestion": "Congestion windows, round-trip times and retransmissions over time",
    "timeline": "Iterations and faults over time",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure in a page. `svg`: an element."""

    name: str
    svg: Markup
    caption: str


def page(template: str, **shown: object) -> str:
    """The page that `template`, a file beside this one, makes of `shown`."""
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"number": number, "percent": percent}
    return pages.get_template(template).render(palette=palette(), known_paths=list(PATH_COLOURS), **shown)


def shown(name: str, figure: Drawn) -> Shown:
    """`figure` under that name, which is a word."""
    svg = inlined(figure.svg, name, _TITLES.get(name, name), f"caption-{name}")
    return Shown(name, Markup(svg), figure.caption)


def number(value: float | None, decimals: int) -> str:
    """Fixed decimals, or n/a."""
    return UNKNOWN if value is None else f"{value:.{decimals}f}"


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one decimal, or n/a."""
    return UNKNOWN if fraction is None else f"{100 * fraction:.1f}"
