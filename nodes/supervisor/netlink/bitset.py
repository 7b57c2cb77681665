"""ethtool's bitsets: names that are on, as a list of bits or, "compact", as words.

In: names that are on, or the attributes of a bitset; the names of all bits. Out: the other of the two. Owns
nothing. Source: net/ethtool/bitset.c, Documentation/networking/ethtool-netlink.rst.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Sequence

from nodes.supervisor.netlink.attributes import Values

_BITS = 32


class BitsetError(OSError):
    """What of the bitset is wrong."""


def pack(
    on: Collection[str], names: Sequence[str], compact: bool, mask: Collection[str] | None = None
) -> Values:
    """The attributes of a bitset. `mask`: the bits that it speaks of; None: it is a list of those that are
    on, without a mask."""
    values: Values = {"nomask": True} if mask is None else {}
    values["size"] = len(names)
    if compact:
        values["value"] = _words([name in on for name in names])
        if mask is not None:
            values["mask"] = _words([name in mask for name in names])
        return values
    bits = []
    for at, name in enumerate(names):
        if name in (on if mask is None else mask):
            bit: Values = {"index": at, "name": name}
            bits.append(bit | {"value": True} if mask is not None and name in on else bit)
    return values | {"bits": {"bit": bits}}


def unpack(bitset: Values, names: Sequence[str]) -> dict[str, bool]:
    """Whether each name that the bitset speaks of is on. Raises BitsetError: EINVAL, and EOPNOTSUPP for a bit
    that is none of `names`."""
    listed = "nomask" in bitset
    wanted = dict.fromkeys(names, False) if listed else {}
    if "bits" in bitset:
        if "value" in bitset or "mask" in bitset:
            raise BitsetError(errno.EINVAL, "value and mask together with a list of bits")
        for bit in bitset["bits"].get("bit", ()):
            wanted[_name(bit, names)] = listed or "value" in bit
        return wanted
    if "value" not in bitset or "size" not in bitset or listed is ("mask" in bitset):
        raise BitsetError(errno.EINVAL, "a compact bitset has size, value, and mask or nomask")
    value, mask = _number(bitset["value"]), _number(bitset.get("mask", ()))
    if (value | mask) >> len(names):
        raise BitsetError(errno.EOPNOTSUPP, f"there are {len(names)} bits")
    wanted |= {name: bool(value >> at & 1) for at, name in enumerate(names) if listed or mask >> at & 1}
    return wanted


def _name(bit: Values, names: Sequence[str]) -> str:
    index, name = bit.get("index"), bit.get("name")
    if index is None and name is None:
        raise BitsetError(errno.EINVAL, "neither bit index nor name specified")
    if (index is not None and index >= len(names)) or name not in (None, *names):
        raise BitsetError(errno.EOPNOTSUPP, f"there is no bit {name if index is None else index}")
    if index is not None and name not in (None, names[index]):
        raise BitsetError(errno.EINVAL, f"bit {index} is {names[index]}, not {name}")
    return str(name) if index is None else names[index]


def _words(bits: Sequence[bool]) -> list[int]:
    chunks = [bits[at : at + _BITS] for at in range(0, len(bits), _BITS)]
    return [sum(1 << at for at, bit in enumerate(chunk) if bit) for chunk in chunks]


def _number(words: Sequence[int]) -> int:
    return sum(word << _BITS * at for at, word in enumerate(words))
