"""The command `ip route`, answered by a host's rt-route family: show, get, add, append, prepend, replace,
change, del.

In: a Host, and the words behind `ip route`, with -6 in front for IPv6. Out: the text that ip would print, or
a refusal. Owns nothing. Source: ip-route(8), ip/iproute.c of iproute2.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from nodes.client.host import Host
from nodes.client.netdev import Attributes
from nodes.uapi.rtnetlink import RTNH_F_LINKDOWN

_FLAGS = {
    "add": ("create", "excl"), "append": ("create", "append"), "prepend": ("create",),
    "replace": ("create", "replace"), "change": ("replace",),
}  # fmt: skip
_DELETE = ("del", "delete")
_SHOW = ("show", "list", "ls")
_PROTOCOLS = {"kernel": 2, "boot": 3, "static": 4}
_TYPES = ("unicast", "blackhole", "unreachable", "prohibit")
_SCOPE_LINK = 253


class RouteUsage(ValueError):
    """Words that `ip route` would not accept; one sentence that says what to write instead."""


def run(host: Host, words: Sequence[str]) -> str:
    """The text to print. Raises RouteUsage for words that are wrong, OSError for a refused request."""
    rest = [*words]
    v6 = any(word in ("-6", "-4") for word in rest[:1]) and rest.pop(0) == "-6"
    verb = rest.pop(0) if rest else "show"
    devices = {nic.ifname: nic.ifindex for nic in host.nics}
    if verb in _SHOW and not rest:
        family = socket.AF_INET6 if v6 else socket.AF_INET
        return "\n".join(_line(route, devices) for route in host.route.dump_routes(family))
    if verb == "get" and len(rest) == 1:
        family = socket.AF_INET6 if ":" in rest[0] else socket.AF_INET
        return _line(host.route.getroute({"rtm-family": int(family), "dst": rest[0]}), devices)
    if verb in _FLAGS:
        host.route.newroute({"rtm-protocol": _PROTOCOLS["boot"]} | _route(rest, v6, devices), *_FLAGS[verb])
        return ""
    if verb in _DELETE:
        host.route.delroute(_route(rest, v6, devices))
        return ""
    verbs = ", ".join((*_FLAGS, "del"))
    raise RouteUsage(f"{' '.join(words)!r} is none of: show; get ADDRESS; {verbs} PREFIX via GATEWAY dev NIC")


def _route(words: list[str], v6: bool, devices: dict[str, int]) -> Attributes:
    """[TYPE] PREFIX [via ADDRESS] [dev NIC] [metric N] [src ADDRESS] [proto P]."""
    found: Attributes = {"rtm-type": words.pop(0)} if words[:1] and words[0] in _TYPES else {}
    if not words:
        raise RouteUsage("the prefix is missing; write it like 10.9.0.0/16, or default")
    prefix, *pairs = words
    if len(pairs) % 2:
        raise RouteUsage(f"{pairs[-1]!r} has no value behind it; add one")
    for name, value in zip(pairs[::2], pairs[1::2], strict=True):
        found |= _attribute(name, value, devices)
    addresses = [prefix, found.get("gateway", "")]
    v6 = v6 or any(":" in each for each in addresses)
    found["rtm-family"] = int(socket.AF_INET6 if v6 else socket.AF_INET)
    if prefix != "default":
        address, _, length = prefix.partition("/")
        bits = length or ("128" if v6 else "32")
        found |= {"dst": address, "rtm-dst-len": _number("the prefix length", bits)}
    return found


def _attribute(name: str, value: str, devices: dict[str, int]) -> Attributes:
    if name == "via":
        return {"gateway": value}
    if name == "src":
        return {"prefsrc": value}
    if name == "metric":
        return {"priority": _number(name, value)}
    if name == "dev":
        if value not in devices:
            raise RouteUsage(f"no NIC is called {value!r}; choose one of {', '.join(devices)}")
        return {"oif": devices[value]}
    if name == "proto":
        return {"rtm-protocol": _PROTOCOLS.get(value) or _number(name, value)}
    raise RouteUsage(f"{name!r} is none of via, dev, metric, src and proto; choose one")


def _number(what: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RouteUsage(f"{what} {text!r} is no number; give one") from None


def _line(route: Attributes, devices: dict[str, int]) -> str:
    """As ip prints a route: only what is not the default."""
    v6, length = route["rtm-family"] == socket.AF_INET6, route.get("rtm-dst-len", 0)
    names = {ifindex: name for name, ifindex in devices.items()}
    bits = "" if length == (128 if v6 else 32) else f"/{length}"
    where = f"{route.get('dst') or ('::' if v6 else '0.0.0.0')}{bits}" if length else "default"
    kind = route.get("rtm-type", "unicast")
    out = [where] if kind == "unicast" else [kind, where]
    protocols = {number: name for name, number in _PROTOCOLS.items()}
    protocol = route.get("rtm-protocol", 0)
    if route.get("gateway"):
        out.append(f"via {route['gateway']}")
    if route.get("oif"):
        out.append(f"dev {names.get(route['oif'], route['oif'])}")
    if protocol not in (0, _PROTOCOLS["boot"]):
        out.append(f"proto {protocols.get(protocol, protocol)}")
    if route.get("rtm-scope") == _SCOPE_LINK:
        out.append("scope link")
    if route.get("prefsrc"):
        out.append(f"src {route['prefsrc']}")
    if route.get("priority"):
        out.append(f"metric {route['priority']}")
    if route.get("rtm-flags", 0) & RTNH_F_LINKDOWN:
        out.append("linkdown")
    return " ".join(out)
