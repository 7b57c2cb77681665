"""The routes that a host is told at its start: gateways of its NICs, and routes in a notation of one word.

    10.1.0.0/16,via=10.0.255.254    default,via=fd00::fe,dev=eth1,metric=5    10.9.0.0/16,unreachable

In: texts of a command line or of a topology, the addresses of the NICs. Out: records; OptionError, one
sentence, for what cannot be. Owns nothing. The words are those of ip-route(8).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from nodes.option import OptionError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
REFUSALS = ("unreachable", "prohibit", "blackhole")
METRIC_MAX = 0xFFFFFFFF
USER_METRIC_V6 = 1024  # IP6_RT_PRIO_USER: what IPv6 takes for no metric
_LIKE = "write it like 10.1.0.0/16,via=10.0.255.254"


@dataclass(frozen=True, slots=True)
class HostRoute:
    """`via` None: what the prefix covers are neighbours. `dev` "": the NIC that the gateway is on. `source`
    None: the NIC's own address. `refusal`: one of REFUSALS, or ""."""

    prefix: Network
    via: Address | None = None
    dev: str = ""
    metric: int = 0
    source: Address | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class NicAddresses:
    """The name of a NIC and our addresses on it."""

    name: str
    addresses: tuple[Interface, ...]

    def has_on_link(self, gateway: Address) -> bool:
        return any(_neighbours(each, gateway) for each in self.addresses)


def parse(text: str) -> HostRoute:
    """The route that `text` stands for; OptionError. Whether its gateway is on a link is `check`'s."""
    where, *words = text.split(",")
    given: dict[str, str] = {}
    for word in words:
        name, is_pair, value = word.partition("=")
        known = ("via", "dev", "metric", "src") if is_pair else REFUSALS
        if name not in known or name in given or (is_pair and not value):
            raise OptionError(f"{text!r} has {word!r}; {_LIKE}, or with dev=, metric=, src=")
        given[name] = value
    refusal = next((name for name in REFUSALS if name in given), "")
    if refusal and given.keys() - {refusal, "metric"}:
        raise OptionError(f"{text!r} refuses packets and sends them as well; leave one of them out")
    if not (refusal or "via" in given or "dev" in given):
        raise OptionError(f"{text!r} leads nowhere; {_LIKE}, or give dev=")
    via = _address(given["via"], text) if "via" in given else None
    source = _address(given["src"], text) if "src" in given else None
    prefix = _prefix(where, via or source, text)
    if any(each is not None and each.version != prefix.version for each in (via, source)):
        raise OptionError(f"{text!r} mixes IPv4 and IPv6; give a gateway of the prefix's version")
    metric = given.get("metric", "0")
    if not metric.isdecimal() or int(metric) > METRIC_MAX:
        raise OptionError(f"{text!r} has a metric that is no number from 0 to {METRIC_MAX}; choose another")
    return HostRoute(prefix, via, given.get("dev", ""), int(metric), source, refusal)


def _prefix(text: str, other: Address | None, whole: str) -> Network:
    if text == "default":
        return ipaddress.ip_network("::/0" if other is not None and other.version == 6 else "0.0.0.0/0")
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise OptionError(f"{whole!r} begins with no prefix; {_LIKE}") from None
    if interface.ip != interface.network.network_address:
        raise OptionError(f"{text!r} has bits behind its prefix length; write {interface.network}")
    return interface.network


def _address(text: str, whole: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise OptionError(f"{whole!r}: {text!r} is no address; {_LIKE}") from None


def _neighbours(ours: Interface, gateway: Address) -> bool:
    """Whether `gateway` can be another host on the link of our address."""
    network = ours.network
    ends = (network.network_address, network.broadcast_address)
    of_network = network.prefixlen < network.max_prefixlen - 1 and gateway in ends
    # The highest address of an IPv6 prefix is a host's.
    of_network = of_network and not (gateway.version == 6 and gateway == network.broadcast_address)
    return gateway in network and gateway != ours.ip and not of_network


def check_gateway(option: str, gateway: str, ours: Interface | None, nic: str) -> None:
    """Raise OptionError unless `gateway` ("" for none) is a neighbour on the link of our address."""
    if gateway and ours is None:
        raise OptionError(f"{option} {gateway}: {nic} has no such address itself; give it one, or no gateway")
    if gateway and ours is not None and not _neighbours(ours, ipaddress.ip_address(gateway)):
        raise OptionError(
            f"{option} {gateway} is no neighbour on {nic}, whose link has {ours.network}; choose another"
        )


def check(routes: Sequence[str], nics: Collection[NicAddresses]) -> None:
    """Raise OptionError unless the routes fit the NICs."""
    places: set[tuple[Network, int]] = set()
    for text in routes:
        route = parse(text)
        usable = [nic for nic in nics if route.dev in ("", nic.name)]
        if not usable:
            names = ", ".join(nic.name for nic in nics)
            raise OptionError(f"route {text!r}: no NIC is called {route.dev!r}; choose one of {names}")
        if route.via is not None and not any(nic.has_on_link(route.via) for nic in usable):
            raise OptionError(
                f"route {text!r}: the gateway {route.via} is on no link of "
                f"{route.dev or 'this host'}; choose a neighbour"
            )
        ours = {each.ip for nic in nics for each in nic.addresses}
        if route.source is not None and route.source not in ours:
            raise OptionError(f"route {text!r}: {route.source} is no address of this host; choose one")
        if (route.prefix, route.metric) in places:
            raise OptionError(f"route {text!r}: {route.prefix} has a route already; give this one a metric")
        places.add((route.prefix, route.metric))


def nic_of(route: HostRoute, nics: Collection[NicAddresses]) -> str:
    """The name of the NIC that a checked route leaves by; "" for one that refuses."""
    if route.dev or route.via is None:
        return route.dev
    return next(nic.name for nic in nics if nic.has_on_link(route.via))
