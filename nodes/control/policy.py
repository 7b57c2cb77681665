"""The kernel's netlink policy: encoded attributes become a record, or are refused as nla_parse refuses them.

In: the bytes of one request. Out: a record of uapi.netlink, or NetlinkError with the attribute that offends:
ERANGE for a number or a length outside its range, EINVAL for a value of another type than the attribute's and
for an attribute that the operation does not have. Owns nothing. Source: lib/nlattr.c and the policies that
are generated from Documentation/netlink/specs/.
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
_RANGE = re.compile(r"`int` [<>]= |`str` of length <= |out of range")

_A = TypeVar("_A", bound=Attributes)
_V = TypeVar("_V")


def parse(attributes: bytes | msgspec.Raw, kind: type[_A]) -> _A:
    """Raises NetlinkError."""
    try:
        return msgspec.msgpack.decode(attributes, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise _refusal(str(e)) from None


def _refusal(complaint: str) -> NetlinkError:
    """What msgspec complains about, as errno, text and attribute."""
    place = _PATH.search(complaint)
    path = place["path"].replace("...", "") if place else ""
    if unknown := _UNKNOWN.search(complaint):
        path = f"{path}.{unknown['name']}".lstrip(".")
        return NetlinkError(errno.EINVAL, f"there is no attribute {path!r} in this operation", path)
    what = _PATH.sub("", complaint).replace("`", "")
    named = f"attribute {path!r}: " if path else ""
    number = errno.ERANGE if _RANGE.search(complaint) else errno.EINVAL
    return NetlinkError(number, f"{named}{what[:1].lower()}{what[1:]}", path)


def require(value: _V | None, attribute: str) -> _V:
    """The value of a mandatory attribute; EINVAL when it is missing (GENL_REQ_ATTR_CHECK)."""
    if value is None:
        raise NetlinkError(errno.EINVAL, f"attribute {attribute!r} is missing", attribute)
    return value
