"""Netlink attributes: dictionaries by the names of a spec become bytes, and bytes dictionaries.

In: a dictionary, or bytes of another process, and the table of an attribute set. Out: the other of the two,
and where each attribute was. Owns nothing.
What a table does not know or cannot read is decoded all the same, under its number, or as the bytes that it
is: whoever checks the request refuses it then, as the kernel's policy does, and in the kernel's order.
Source: include/uapi/linux/netlink.h (struct nlattr), lib/nlattr.c, nla_put_uint (include/net/netlink.h).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

NLA_F_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_HEADER = struct.Struct("=HH")  # nla_len, nla_type
_WORD = struct.Struct("=I")

Values = dict[str, Any]
Places = dict[str, int]  # the offset of each attribute by its path: "queues[0].id"


class Kind(Protocol):
    """What an attribute's payload is. Raises ValueError for bytes that are no such payload."""

    def pack(self, value: Any) -> bytes: ...

    def unpack(self, data: bytes) -> Any: ...


class Attribute(NamedTuple):
    """`multi`: it may come more than once, and its value is a list."""

    number: int
    kind: Kind
    multi: bool = False


Attributes = Mapping[str, Attribute]


class Integer:
    def __init__(self, layout: str) -> None:
        self._layout = struct.Struct(f"={layout}")
        self.length = self._layout.size

    def pack(self, value: int) -> bytes:
        return self._layout.pack(value)

    def unpack(self, data: bytes) -> int:
        if len(data) != self._layout.size:
            raise ValueError
        return int(self._layout.unpack(data)[0])


class _Uint:
    """4 bytes, or 8 for what 4 cannot hold."""

    def pack(self, value: int) -> bytes:
        return (U32 if value < 1 << 32 else U64).pack(value)

    def unpack(self, data: bytes) -> int:
        return (U32 if len(data) == _WORD.size else U64).unpack(data)


class _String:
    """It ends with a NUL."""

    def pack(self, value: str) -> bytes:
        return value.encode() + b"\0"

    def unpack(self, data: bytes) -> str:
        return data[: data.index(b"\0")].decode()  # UnicodeDecodeError is a ValueError


class _Flag:
    """Present, without a payload."""

    def pack(self, _: object) -> bytes:
        return b""

    def unpack(self, data: bytes) -> bool:
        if data:
            raise ValueError
        return True


class _Hex:
    """Bytes, in hexadecimal."""

    def pack(self, value: str) -> bytes:
        return bytes.fromhex(value)

    def unpack(self, data: bytes) -> str:
        return data.hex()


class _Words:
    """An array of u32."""

    def pack(self, value: Sequence[int]) -> bytes:
        return b"".join(_WORD.pack(each) for each in value)

    def unpack(self, data: bytes) -> list[int]:
        if len(data) % _WORD.size:
            raise ValueError
        return [each for (each,) in _WORD.iter_unpack(data)]


U8, U16, U32, U64 = (Integer(layout) for layout in "BHIQ")
UINT, STRING, FLAG, HEX, WORDS = _Uint(), _String(), _Flag(), _Hex(), _Words()


class Enum:
    """A number that has a name; a number without one stays a number."""

    def __init__(self, number: Kind, *names: str) -> None:
        self.number = number
        self.names = names

    def pack(self, value: str | int) -> bytes:
        return self.number.pack(self.names.index(value) if isinstance(value, str) else value)

    def unpack(self, data: bytes) -> str | int:
        value: int = self.number.unpack(data)
        return self.names[value] if value < len(self.names) else value


class Flags:
    """A number each of whose bits has a name; a bit without one is its number."""

    def __init__(self, number: Kind, *names: str) -> None:
        self.number = number
        self.names = names

    def pack(self, value: Sequence[str]) -> bytes:
        return self.number.pack(sum(1 << self.names.index(name) for name in value))

    def unpack(self, data: bytes) -> list[str | int]:
        value: int = self.number.unpack(data)
        bits = [at for at in range(value.bit_length()) if value >> at & 1]
        return [self.names[at] if at < len(self.names) else at for at in bits]


@dataclass(frozen=True)
class Nest:
    """Attributes within an attribute."""

    attributes: Attributes

    def pack(self, value: Values) -> bytes:
        return encode(value, self.attributes)

    def unpack(self, data: bytes) -> Values:
        return decode(data, self.attributes)[0]


@dataclass(frozen=True)
class Array:
    """A list of nests, numbered from 1. Such nests are older than NLA_F_NESTED, and nlctrl still has them
    without."""

    attributes: Attributes

    def pack(self, value: Sequence[Values]) -> bytes:
        nests = enumerate((encode(each, self.attributes) for each in value), 1)
        return b"".join(_attribute(at, nest) for at, nest in nests)

    def unpack(self, data: bytes) -> list[Values]:
        return [decode(payload, self.attributes)[0] for _, _, payload in _each(data)]


@dataclass(frozen=True)
class Numbered:
    """Nests by their numbers."""

    kind: Kind

    def pack(self, value: Mapping[int, Any]) -> bytes:
        nests = ((number, self.kind.pack(each)) for number, each in value.items())
        return b"".join(_attribute(number | NLA_F_NESTED, nest) for number, nest in nests)

    def unpack(self, data: bytes) -> dict[int, Any]:
        return {number & _TYPE_MASK: self.kind.unpack(payload) for number, _, payload in _each(data)}


def encode(values: Values, attributes: Attributes) -> bytes:
    """Raises KeyError for a name that the set does not have."""
    encoded = b""
    for name, value in values.items():
        number, kind, multi = attributes[name]
        if isinstance(kind, Nest | Numbered):
            number |= NLA_F_NESTED
        for each in value if multi else (value,):
            encoded += _attribute(number, kind.pack(each))
    return encoded


def _attribute(number: int, payload: bytes) -> bytes:
    whole = _HEADER.pack(_HEADER.size + len(payload), number) + payload
    return whole.ljust(aligned(len(whole)), b"\0")


def aligned(length: int) -> int:
    """NLMSG_ALIGN, NLA_ALIGN."""
    return length + 3 & ~3


def decode(data: bytes, attributes: Attributes, at: int = 0, within: str = "") -> tuple[Values, Places]:
    """`at`: the offset of `data` in its message. Raises EINVAL for what is not a sequence of attributes."""
    names = {attribute.number: name for name, attribute in attributes.items()}
    values: Values = {}
    places: Places = {}
    for number, offset, payload in _each(data):
        name = names.get(number & _TYPE_MASK, str(number & _TYPE_MASK))
        attribute, path = attributes.get(name), within + name
        places[path] = at + offset
        multi = attribute is not None and attribute.multi
        if multi:
            path += f"[{len(values.setdefault(name, []))}]"
            places[path] = at + offset
        value = _value(attribute, number, payload)
        if attribute and isinstance(attribute.kind, Nest) and isinstance(value, dict):
            nest = decode(payload, attribute.kind.attributes, at + offset + _HEADER.size, f"{path}.")
            places |= nest[1]
        if multi:
            values[name].append(value)
        else:
            values[name] = value
    return values, places


def _value(attribute: Attribute | None, number: int, payload: bytes) -> Any:
    """The payload itself where it is not what the attribute has."""
    if attribute is None or bool(number & NLA_F_NESTED) != isinstance(attribute.kind, Nest | Numbered):
        return payload
    try:
        return attribute.kind.unpack(payload)
    except ValueError:
        return payload


def _each(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type with its flags, offset, payload."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, number = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= length <= len(data) - at:
            break
        yield number, at, data[at + _HEADER.size : at + length]
        at += aligned(length)
    if at < len(data):
        raise OSError(errno.EINVAL, "bytes leftover after parsing attributes")
