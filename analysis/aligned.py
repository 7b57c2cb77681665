"""Rows of words as text for a terminal or a log.

In: rows of cells, the head first. Out: a line each, columns by spaces. Owns nothing.
"""

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """The last column is as wide as it wants to be."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, [*widths, 0], strict=True)).rstrip() + "\n"
        for line in lines
    )
