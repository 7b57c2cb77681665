"""A figure inside a page: its SVG with the page's colours, and names of its own.

In: an SVG that analysis/style.py saved. Out: an element for a page, and the colours of a style sheet,
light and dark. Owns the dark palette. One drawing serves both: every colour of the style becomes a variable,
which the style sheet sets by what the reader prefers.
"""

import re
from collections.abc import Iterator

from matplotlib.colors import LinearSegmentedColormap, to_hex

from analysis.style import AMOUNT, AMOUNTS, GREY, OTHER_COLOURS, PATH_COLOURS, lighter

_DARK_PATHS = {"devmem": "#56aee8", "bounce": "#f08a4b", "kernel": "#3fc79a"}
_DARK_AMOUNT = LinearSegmentedColormap.from_list("", ["#4f3343", "#a5628a", "#e09ac3", "#ffe6f3"], AMOUNTS)
_DARK_OTHERS = ("#de9cc0", "#f0b429", "#8accf2")  # the last one of OTHER_COLOURS is ink
# Of the page, which the figures have for what is no data; light and dark.
_PAGE = {
    "paper": ("#ffffff", "#14181d"), "ink": ("#1b1f24", "#e4e8ec"), "soft": ("#57606a", "#a3adb8"),
    "line": ("#d8dee4", "#333b44"), "wash": ("#f6f8fa", "#1c2229"), "bad": ("#b3261e", "#ff8f85"),
    "bad-wash": ("#fdf0ef", "#3a1d1b"), "good": ("#0b6b4f", "#4fd1a1"), "link": ("#0063a0", "#6cbcf0"),
}  # fmt: skip
_GREYS = {
    "#000000": "ink", "#ffffff": "paper", "#dddddd": "line", GREY: "soft", "#444444": "soft",
    "#777777": "soft", "#999999": "soft", "#bbbbbb": "soft",
}  # fmt: skip
# What an SVG says of itself; and its style sheet, which would hold for the whole page: the page has it.
_NO_PICTURE = re.compile(r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*", re.DOTALL)
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_NAME = re.compile(r'\bid="|url\(#|href="#')
_SIZE = re.compile(r' width="[^"]*" height="[^"]*"')


def inlined(svg: bytes, name: str, title: str, caption_id: str) -> str:
    """The element, which readers of screens call by `title`; ids begin with `name`, a word. Both are trusted
    to have no character that HTML escapes."""
    text = svg.decode("utf-8")
    text = _NO_PICTURE.sub("", text[text.index("<svg") :])
    text = _NAME.sub(lambda found: f"{found[0]}{name}-", text)
    text = _COLOUR.sub(lambda found: _VARIABLES.get(found[0], found[0]), text)
    head, _, rest = text.partition(">")
    said = f' role="img" aria-label="{title}" aria-describedby="{caption_id}">'
    return _SIZE.sub("", head, count=1).rstrip("/") + said + (rest if rest.strip() else "</svg>")


def palette() -> dict[str, list[tuple[str, str]]]:
    """What the style sheet sets: name and value of each variable, `light` and `dark`."""
    found: dict[str, list[tuple[str, str]]] = {"light": [], "dark": []}
    for name, light, dark in _palette():
        found["light"].append((name, light))
        found["dark"].append((name, dark))
    return found


def _palette() -> Iterator[tuple[str, str, str]]:
    for name, (light, dark) in _PAGE.items():
        yield name, light, dark
    for path, colour in PATH_COLOURS.items():
        yield path, colour.lower(), _DARK_PATHS[path]
    for number, (light, dark) in enumerate(zip(OTHER_COLOURS, _DARK_OTHERS, strict=False)):
        yield f"other-{number}", light.lower(), dark
    for step in range(AMOUNTS):
        yield f"amount-{step}", to_hex(AMOUNT(step)), to_hex(_DARK_AMOUNT(step))


def _variables() -> Iterator[tuple[str, str]]:
    """What stands in a page for each colour of a figure."""
    for colour, name in _GREYS.items():
        yield colour, f"var(--{name})"
    for name, light, _ in _palette():
        if name not in _PAGE:
            yield light, f"var(--{name})"
            # As analysis.style mixes with white, so the page mixes with its paper.
            yield to_hex(lighter([light])[0]), f"color-mix(in srgb, var(--{name}), var(--paper))"
    yield to_hex(lighter([GREY])[0]), "color-mix(in srgb, var(--soft), var(--paper))"


_VARIABLES = dict(_variables())
