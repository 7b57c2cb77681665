"""From a draft to a topology: every address, MAC, gateway and route.

In: a `Draft`. Out: a `Topology`. Owns nothing. `topologies.address_plan` has the addresses. Where a segment
was given addresses of its own, all of its NICs and its router must have been.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from topologies.address_plan import SegmentPlan, UplinkPlan, mac
from topologies.draft import Draft, HostDraft, NicDraft, SwitchDraft
from topologies.host import Accelerator, Host, Nic, StaticRoute
from topologies.link import IPV6_MTU_MIN, LinkEnd
from topologies.names import listed
from topologies.routing import with_routes
from topologies.segments import Segment, is_uplink, segments
from topologies.switch import RouterInterface, Switch
from topologies.topology import Topology
from topologies.topology_error import TopologyError

_Nics = Mapping[LinkEnd, Nic]


def planned(draft: Draft) -> Topology:
    """Raises TopologyError."""
    kinds = {switch.name: switch.kind for switch in draft.switches}
    found = segments(draft.nic_ends(), kinds, draft.links)
    given = {LinkEnd(host.name, nic.interface): nic for host in draft.hosts for nic in host.nics}
    gateways = _gateways(draft, found, given)
    routers = _routers(draft, gateways)
    nics = _nics(draft, found, given, gateways)
    reached = _reached(routers)
    hosts = []
    for index, host in enumerate(draft.hosts, 1):
        of_host = [nics[LinkEnd(host.name, nic.interface)] for nic in host.nics]
        hosts.append(_host(host, index, _with_static_routes(of_host, reached)))
    switches = tuple(routers.get(each.name) or Switch(each.name) for each in draft.switches)
    return Topology(draft.shape, tuple(hosts), switches, tuple(draft.links))


# Routers


def _gateways(
    draft: Draft, found: Sequence[Segment], given: Mapping[LinkEnd, NicDraft]
) -> dict[str, RouterInterface]:
    """Each router's interface in its own segment, by the router's name. Raises TopologyError if a segment was
    given some of its addresses."""
    switches = {switch.name: switch for switch in draft.switches}
    gateways = {}
    for segment in found:
        router = switches.get(segment.router)
        nics = [given[end] for end in segment.nics]
        own = _is_own(_given4(nics, router))
        own6 = _is_own(_given6(nics, router))
        if own6 and not segment.carries_ipv6:
            raise TopologyError(
                f"{nics[0].interface} was given an IPv6 address, and a link of its segment has an mtu below "
                f"{IPV6_MTU_MIN}; leave the address out, or raise the mtu"
            )
        if router is not None:
            plan = SegmentPlan(segment.number)
            address = router.address if own else plan.gateway
            address6 = router.address6 if own6 else plan.gateway6 if segment.carries_ipv6 else ""
            # The interface of a bridge itself is called as the bridge.
            gateways[router.name] = RouterInterface(router.name, mac(address), address, address6)
    return gateways


def _given4(nics: Sequence[NicDraft], router: SwitchDraft | None) -> dict[str, str]:
    """What was given of a segment's IPv4 addresses, by what has them; "" for what was not."""
    given = {f"kernel_address of {nic.interface}": nic.kernel_address for nic in nics}
    given |= {f"endpoint_address of {nic.interface}": nic.endpoint_address for nic in nics}
    return given if router is None else given | {f"address of router {router.name}": router.address}


def _given6(nics: Sequence[NicDraft], router: SwitchDraft | None) -> dict[str, str]:
    given = {f"kernel_address6 of {nic.interface}": nic.kernel_address6 for nic in nics}
    given |= {f"endpoint_address6 of {nic.interface}": nic.endpoint_address6 for nic in nics}
    return given if router is None else given | {f"address6 of router {router.name}": router.address6}


def _is_own(given: Mapping[str, str]) -> bool:
    """Whether a segment has addresses of its own, and then all of them, in one prefix."""
    missing = [what for what, address in given.items() if not address]
    if len(missing) == len(given):
        return False
    if missing:
        other = next(address for address in given.values() if address)
        raise TopologyError(f"{missing[0]} is missing beside {other} in the same segment; give all, or none")
    networks = {str(_network(what, address)) for what, address in given.items()}
    if len(networks) > 1:
        raise TopologyError(
            f"addresses of one segment have the prefixes {listed(networks)}; give them one prefix"
        )
    return True


def _network(what: str, address: str) -> object:
    try:
        return ipaddress.ip_interface(address).network
    except ValueError:
        raise TopologyError(
            f"{what} is {address!r}; give an address and a prefix length, as 10.0.0.1/16"
        ) from None


def _routers(draft: Draft, gateways: Mapping[str, RouterInterface]) -> dict[str, Switch]:
    kinds = {switch.name: switch.kind for switch in draft.switches}
    uplinks: dict[str, list[RouterInterface]] = {name: [] for name, kind in kinds.items() if kind == "router"}
    between = [link for link in draft.links if is_uplink(link, kinds)]
    for number, link in enumerate(between):
        plan = UplinkPlan(number)
        for side, end in enumerate(link.ends):
            address, address6 = plan.address(side), plan.address6(side) if link.carries_ipv6 else ""
            uplinks[end.node].append(RouterInterface(end.interface, mac(address), address, address6))
    routers = [Switch(name, "router", gateways.get(name), tuple(ports)) for name, ports in uplinks.items()]
    return {router.name: router for router in with_routes(routers, between)}


# Hosts


def _nics(
    draft: Draft,
    found: Sequence[Segment],
    given: Mapping[LinkEnd, NicDraft],
    gateways: Mapping[str, RouterInterface],
) -> dict[LinkEnd, Nic]:
    """Addresses and gateways; no static routes yet."""
    indices = {host.name: index for index, host in enumerate(draft.hosts, 1)}
    nics = {}
    for segment in found:
        copies: Counter[str] = Counter()  # NICs of a host in this segment
        for end in segment.nics:
            nics[end] = _nic(
                given[end], segment, (indices[end.node], copies[end.node]), gateways.get(segment.router)
            )
            copies[end.node] += 1
    return nics


def _nic(given: NicDraft, segment: Segment, place: tuple[int, int], gateway: RouterInterface | None) -> Nic:
    """`place`: the host's number, and that of this NIC among its NICs in the segment."""
    plan, ipv6 = SegmentPlan(segment.number), segment.carries_ipv6
    kernel, endpoint = (
        given.kernel_address or plan.kernel(*place),
        given.endpoint_address or plan.endpoint(*place),
    )
    return Nic(
        interface=given.interface,
        kernel_address=kernel,
        kernel_mac=given.kernel_mac or mac(kernel),
        endpoint_address=endpoint,
        endpoint_mac=given.endpoint_mac or mac(endpoint),
        kernel_address6=given.kernel_address6 or (plan.kernel6(*place) if ipv6 else ""),
        endpoint_address6=given.endpoint_address6 or (plan.endpoint6(*place) if ipv6 else ""),
        gateway=gateway.address.partition("/")[0] if gateway else "",
        gateway6=gateway.address6.partition("/")[0] if gateway else "",
    )


def _reached(routers: Mapping[str, Switch]) -> dict[str, tuple[str, ...]]:
    """The prefixes that each gateway's router has routes to, by the gateway's address."""
    reached = {}
    for router in routers.values():
        for address in router.local.addresses if router.local else ():
            version = ":" in address
            prefixes = tuple(route.prefix for route in router.routes if (":" in route.prefix) is version)
            reached[address.partition("/")[0]] = prefixes
    return reached


def _with_static_routes(nics: Sequence[Nic], reached: Mapping[str, tuple[str, ...]]) -> tuple[Nic, ...]:
    """A host's NICs, with routes to what only the gateways of later ones lead to: the default route goes to
    the first gateway of each IP version."""
    known = {str(ipaddress.ip_interface(address).network) for nic in nics for address in nic.addresses}
    has_default = set()
    routed = []
    for nic in nics:
        routes: list[StaticRoute] = []
        for version, gateway in ((4, nic.gateway), (6, nic.gateway6)):
            if gateway:
                new = [prefix for prefix in reached[gateway] if prefix not in known]
                known.update(new)
                routes += [StaticRoute(prefix, gateway) for prefix in new if version in has_default]
                has_default.add(version)
        routed.append(msgspec.structs.replace(nic, routes=tuple(routes)))
    return tuple(routed)


def _host(draft: HostDraft, index: int, nics: tuple[Nic, ...]) -> Host:
    count = draft.spread_accelerators
    spread = [
        Accelerator(f"accel{number}", nics[number * len(nics) // count].interface)
        for number in range(count if nics else 0)
    ]
    return Host(
        name=draft.name,
        index=index,
        nics=nics,
        accelerators=(*draft.accelerators, *spread),
        role=draft.role,
        host_mem_bw_bytes_per_s=draft.host_mem_bw_bytes_per_s,
        pcie_bw_bytes_per_s=draft.pcie_bw_bytes_per_s,
    )
