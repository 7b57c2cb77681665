"""The kernel's netlink policy: encoded attributes become a record, or are refused as nla_parse would.

In: bytes of one request. Out: a record of uapi.netlink, or NetlinkError with the attribute that offends:
ERANGE for a number outside its range, EINVAL for a type that is not the attribute's and for an attribute
that the operation does not have. Owns nothing. Source: lib/nlattr.c, the generated policies of
Documentation/netlink/specs/.
"""

from __future__ import annotations

import errno
import re
from typing import TypeVar

import msgspec

from nodes.control.netlink_error import NetlinkError
from nodes.uapi.netlink import Attributes

_UNKNOWN = re.compile(r"unknown field `(?P<name>.*?)`")
_PATH = re.compile(r" - at `\$\.?(?P<path>.*?)`$")
_RANGE = re.compile(r"`int` [<>]= |out of range")

_A = TypeVar("_A", bound=Attributes)


def parse(attributes: bytes | msgspec.Raw, kind: type[_A]) -> _A:
    """Raises NetlinkError."""
    try:
        return msgspec.msgpack.decode(attributes, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise _refusal(str(e)) from None


def _refusal(complaint: str) -> NetlinkError:
    place = _PATH.search(complaint)
    path = place["path"].replace("...", "") if place else ""
    if unknown := _UNKNOWN.search(complaint):
        path = f"{path}.{unknown['name']}".lstrip(".")
        return NetlinkError(errno.EINVAL, f"there is no attribute {path!r} in this operation", path)
    what = _PATH.sub("", complaint).replace("`", "")
    named = f"attribute {path!r}: " if path else ""
    number = errno.ERANGE if _RANGE.search(complaint) else errno.EINVAL
    return NetlinkError(number, f"{named}{what[:1].lower()}{what[1:]}", path)
