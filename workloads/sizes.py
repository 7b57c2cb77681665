"""Lists and ranges of sizes as people write them: `1M`, `1M:16M:x4`, `1M:4M:+1M`, `8,64K`.

In: text. Out: bytes, ascending. Owns nothing. The grammar is that of nccl-tests' -b, -e, -f and -i in one
word; one size is read by nodes.quantity.
"""

from __future__ import annotations

from nodes.quantity import QuantityError, parse_size

_SIZES_MAX = 1000  # of one range: each is measured on every path


def parse_sizes(text: str) -> list[int]:
    """Bytes of a list of sizes and ranges, ascending and without repetition. Raises QuantityError."""
    return sorted({size for item in text.split(",") for size in _range(item)})


def _range(item: str) -> list[int]:
    parts = item.split(":")
    if len(parts) == 1:
        return [_size(item)]
    if len(parts) != 3 or parts[2][:1] not in ("x", "+"):
        raise QuantityError(
            f"size range {item!r} is not understood; write from:to:x4 (factor) or from:to:+1M (step)"
        )
    size, last = _size(parts[0]), parse_size(parts[1])
    if size > last:
        raise QuantityError(f"size range {item!r} runs downwards; write the smaller size first")
    factor, step = _growth(item, parts[2])
    if size == 0 and not step:
        raise QuantityError(f"size range {item!r} never grows; begin above 0, or write a step as +1M")
    found = [size]
    while (size := size * factor + step) <= last:
        found.append(size)
        if len(found) > _SIZES_MAX:
            raise QuantityError(f"size range {item!r} has more than {_SIZES_MAX} sizes; take a larger step")
    return found


def _size(text: str) -> int:
    """Of an array, which may be empty."""
    return 0 if text.strip() == "0" else parse_size(text)


def _growth(item: str, text: str) -> tuple[int, int]:
    """(factor, step) of `x4` or `+1M`."""
    if text[0] == "+":
        return 1, parse_size(text[1:])
    if not text[1:].isdecimal() or int(text[1:]) < 2:
        raise QuantityError(f"the factor of size range {item!r} must be a whole number from 2 on, as in x4")
    return int(text[1:]), 0
