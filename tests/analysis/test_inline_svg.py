"""A figure in a page: names of its own, the page's colours, legible in the light and in the dark."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from analysis.captioned_figure import painted
from analysis.inline_svg import inlined, palette
from analysis.style import AMOUNT, GREY, PATH_COLOURS, lighter

pytestmark = pytest.mark.usefixtures("real_svg")
TEXTS = ("ink", "soft", "bad", "good", "link")


def shown(colour: object, hatch: str = "") -> str:
    def paint(axes: Axes) -> str:
        axes.bar([0], [1], color=colour, hatch=hatch)
        axes.set_title("a title")
        return ""

    svg = painted(lambda figure: paint(figure.add_subplot())).svg()
    return inlined(svg, "some", "A name", "caption-some")


def test_every_id_is_the_figures_own_and_every_reference_finds_it() -> None:
    svg = shown(PATH_COLOURS["devmem"], "//")
    root = ElementTree.fromstring(svg)
    ids = [each.attrib["id"] for each in root.iter() if "id" in each.attrib]
    assert len(ids) == len({*ids}) > 10
    assert all(each.startswith("some-") for each in ids)
    referred = re.findall(r'(?:url\(#|href="#)([^")]+)', svg)
    assert {*referred} <= {*ids}
    assert len(referred) > 5


def test_it_has_a_name_no_size_of_its_own_and_no_style_for_the_page() -> None:
    root = ElementTree.fromstring(shown("#123456"))
    assert root.attrib["role"] == "img"
    assert (root.attrib["aria-label"], root.attrib["aria-describedby"]) == ("A name", "caption-some")
    assert {"width", "height"} & root.attrib.keys() == set()
    assert "viewBox" in root.attrib
    assert [each.tag for each in root.iter() if each.tag.endswith(("style", "metadata"))] == []
    assert "a title" in "".join(root.itertext())


@pytest.mark.parametrize(
    ("colour", "variable"),
    [
        (PATH_COLOURS["kernel"], "var(--kernel)"),
        (lighter([PATH_COLOURS["bounce"]])[0], "color-mix(in srgb, var(--bounce), var(--paper))"),
        (GREY, "var(--soft)"),
        (AMOUNT(3), "var(--amount-3)"),
        ("#123456", "#123456"),
    ],
)
def test_a_colour_of_the_style_is_a_variable_and_no_other(colour: object, variable: str) -> None:
    assert f"fill: {variable}" in shown(colour)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_paths_stand_out_from_the_paper(scheme: str) -> None:
    colours = dict(palette()[scheme])
    paper, wash = (luminance(colours[name]) for name in ("paper", "wash"))
    for name in (*TEXTS, *PATH_COLOURS):
        least = 4.5 if name in TEXTS or scheme == "dark" else 3.0  # for a thing that is no text
        assert min(contrast(luminance(colours[name]), ground) for ground in (paper, wash)) >= least, name
    assert contrast(luminance(colours["bad"]), luminance(colours["bad-wash"])) >= 4.5


def test_more_of_an_amount_stands_out_more() -> None:
    for scheme, colours in palette().items():
        paper = luminance(dict(colours)["paper"])
        steps = [contrast(luminance(value), paper) for name, value in colours if name.startswith("amount")]
        assert steps == sorted(steps), scheme


def luminance(colour: str) -> float:
    """As WCAG has it."""
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    """Of two luminances."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
