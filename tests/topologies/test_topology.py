"""Topologies and shapes: what can be built, and what is refused with a sentence. No privileges."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from topologies.address_plan import HOSTS_MAX
from topologies.host import Accelerator, Host, Nic, StaticRoute
from topologies.link import GSO_MAX_BYTES, Link, LinkEnd, Quality
from topologies.shapes.registry import build
from topologies.switch import NextHop, Route, RouterInterface, Switch
from topologies.topology import Topology
from topologies.topology_error import TopologyError


def _with(topology: Topology, **fields: object) -> Topology:
    return msgspec.convert(msgspec.to_builtins(topology) | msgspec.to_builtins(fields), Topology)


def _with_nic(host: Host, **fields: object) -> Host:
    """The host, its only NIC changed."""
    return msgspec.structs.replace(host, nics=(msgspec.structs.replace(host.nics[0], **fields),))


def test_a_pair_is_one_direct_link() -> None:
    pair = build("pair", 2)
    assert [host.name for host in pair.hosts] == ["h1", "h2"]
    assert pair.switches == ()
    assert pair.links == (Link(LinkEnd("h1", "h1-eth0"), LinkEnd("h2", "h2-eth0"), 1500, 65536),)


def test_a_star_has_one_switch_port_a_host() -> None:
    star = build("star", 3, mtu=9000, gso_max_bytes=GSO_MAX_BYTES)
    assert star.switches == (Switch("s1"),)
    assert [(link.a.node, link.b.interface) for link in star.links] == [
        ("h1", "s1-eth1"),
        ("h2", "s1-eth2"),
        ("h3", "s1-eth3"),
    ]
    assert {(link.mtu, link.gso_max_bytes) for link in star.links} == {(9000, GSO_MAX_BYTES)}


def test_kernel_and_endpoint_share_a_subnet_and_no_address() -> None:
    (nic,) = build("star", 2).host("h2").nics
    assert (nic.kernel_address, nic.endpoint_address) == ("10.0.0.2/16", "10.0.1.2/16")
    assert (nic.kernel_address6, nic.endpoint_address6) == ("fd00::2/64", "fd00::1:2/64")
    assert nic.kernel_mac != nic.endpoint_mac


def test_the_largest_star_is_valid_and_one_more_is_refused() -> None:
    assert len(build("star", HOSTS_MAX).hosts) == HOSTS_MAX
    with pytest.raises(
        TopologyError, match=f"star cannot have {HOSTS_MAX + 1} hosts; choose 2 to {HOSTS_MAX}"
    ):
        build("star", HOSTS_MAX + 1)


def test_an_unknown_shape_lists_the_known() -> None:
    with pytest.raises(TopologyError, match=r"there is no topology 'mesh'; choose one of pair, star"):
        build("mesh", 4)


@pytest.mark.parametrize("hosts", [1, 3])
def test_a_pair_has_two_hosts(hosts: int) -> None:
    with pytest.raises(TopologyError, match=f"pair cannot have {hosts} hosts; choose 2$"):
        build("pair", hosts)


@pytest.mark.parametrize("mtu", [0, 575, 9001])
def test_an_mtu_out_of_range_is_refused(mtu: int) -> None:
    with pytest.raises(TopologyError, match=f"mtu {mtu} of link h1-eth0<->h2-eth0"):
        build("pair", 2, mtu=mtu)


def test_a_link_too_small_for_ipv6_has_hosts_without() -> None:
    (nic,) = build("pair", 2, mtu=1279).hosts[0].nics
    assert (nic.kernel_address6, nic.endpoint_address6) == ("", "")
    assert build("pair", 2, mtu=1280).hosts[0].nics[0].endpoint_address6 == "fd00::1:1/64"


@pytest.mark.parametrize("size", [1500, 65535, 524281])
def test_a_super_packet_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(TopologyError, match=f"gso_max_bytes {size} .* for BIG TCP"):
        build("pair", 2, gso_max_bytes=size)


def test_a_topology_survives_json() -> None:
    star = build("star", 4, gso_max_bytes=GSO_MAX_BYTES)
    assert msgspec.json.decode(msgspec.json.encode(star), type=Topology) == star


def test_an_unknown_property_of_a_link_is_not_accepted() -> None:
    link = msgspec.to_builtins(build("pair", 2).links[0])
    with pytest.raises(msgspec.ValidationError, match="unknown field `colour`"):
        msgspec.convert(link | {"colour": "red"}, Link)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"rate_bps": 7999}, "rate_bps 7999 is outside 8000 to"),
        ({"rate_bps": -1}, "rate_bps -1 is outside"),
        ({"delay_s": 11.0}, "delay_s 11 is outside 0 to 10 s"),
        ({"delay_s": float("nan")}, "delay_s nan is outside"),
        ({"jitter_s": 0.1}, "jitter_s 0.1 is more than delay_s 0"),
        ({"loss": 1.5}, "loss 1.5 is no chance; give 0 to 1"),
        ({"corrupt": -0.1}, "corrupt -0.1 is no chance"),
        ({"duplicate": 2.0}, "duplicate 2 is no chance"),
        ({"reorder": 0.1}, "reorder 0.1 has no delay that packets could overtake"),
        ({"queue_packets": -1}, "queue_packets -1 is outside 0 to 1000000"),
        ({"ecn_threshold_bytes": 1000}, "ecn_threshold_bytes is asked of a link without rate_bps"),
        ({"ecn_threshold_bytes": -1, "rate_bps": 10**9}, "ecn_threshold_bytes -1 is below 0"),
    ],
)
def test_a_link_that_cannot_be_is_refused_by_name(asked: dict[str, Any], sentence: str) -> None:
    ends = build("pair", 2).links[0].ends
    with pytest.raises(TopologyError, match=f"^link h1-eth0<->h2-eth0: {sentence}"):
        Link(*ends, **asked)


def test_a_link_keeps_what_is_asked_of_it() -> None:
    asked = Quality(
        rate_bps=10**9, delay_s=1e-3, jitter_s=1e-4, loss=0.1, reorder=0.2, duplicate=0.3, corrupt=0.4,
        queue_packets=100, ecn_threshold_bytes=30000,
    )  # fmt: skip
    link = Link(*build("pair", 2).links[0].ends, **msgspec.structs.asdict(asked))
    assert link.quality == asked
    assert build("pair", 2).links[0].quality == Quality()


def test_names_addresses_and_ends_are_unique_and_known() -> None:
    pair = build("pair", 2)
    first, second = pair.hosts
    with pytest.raises(msgspec.ValidationError, match="name 'h1' is used 2 times"):
        _with(pair, hosts=(first, msgspec.structs.replace(second, name="h1")))
    with pytest.raises(msgspec.ValidationError, match=r"address '10.0.0.1' is used 2 times"):
        _with(pair, hosts=(first, _with_nic(second, endpoint_address="10.0.0.1/16")))
    with pytest.raises(msgspec.ValidationError, match=r"address 'fd00::1' is used 2 times"):
        _with(pair, hosts=(first, _with_nic(second, endpoint_address6="fd00::1/64")))
    with pytest.raises(msgspec.ValidationError, match=r"MAC .* is used 2 times"):
        _with(pair, hosts=(first, _with_nic(second, kernel_mac=first.nics[0].kernel_mac)))
    with pytest.raises(
        msgspec.ValidationError, match="a link ends at 'h2', which is no host or switch; known: h1"
    ):
        _with(pair, hosts=(first,))
    with pytest.raises(msgspec.ValidationError, match="interface h1-eth0 of host h1 ends no link"):
        _with(pair, links=())


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("interface", "h1-interface-zero", "interface name 'h1-interface-zero'"),
        ("kernel_address", "10.0.0.1", "address '10.0.0.1'"),
        ("endpoint_address", "10.0.0.300/16", "address '10.0.0.300/16'"),
        ("kernel_address6", "fd00::1", "address 'fd00::1'; give IPv6 and prefix length"),
        ("endpoint_address6", "fe80::1/64", "address 'fe80::1/64'"),
        ("gateway", "10.1.0.1", "gateway '10.1.0.1', which is no neighbour of 10.0.0.1/16"),
        ("gateway", "10.0.0.1", "gateway '10.0.0.1', which is no neighbour"),
        ("gateway6", "fd01::1", "gateway 'fd01::1', which is no neighbour of fd00::1/64"),
        ("gateway6", "router", "gateway 'router', which is no neighbour"),
        ("routes", (StaticRoute("10.1.0.1/16", "10.0.0.9"),), "leads to '10.1.0.1/16'; give a network"),
        ("routes", (StaticRoute("10.1.0.0/16", "10.2.0.9"),), "gateway '10.2.0.9', which is no neighbour"),
        ("endpoint_mac", "01:00:00:00:00:01", "MAC '01:00:00:00:00:01'; give a unicast one"),
    ],
)
def test_a_nic_is_refused_with_the_value_named(field: str, value: object, sentence: str) -> None:
    nic = msgspec.structs.asdict(build("pair", 2).hosts[0].nics[0])
    with pytest.raises(TopologyError, match=sentence):
        Nic(**nic | {field: value})


def test_a_host_is_refused_with_its_name() -> None:
    nics = build("pair", 2).hosts[0].nics
    with pytest.raises(TopologyError, match="host name 'host one'"):
        Host("host one", 1, nics)
    with pytest.raises(TopologyError, match="host h1 has no NIC"):
        Host("h1", 1, ())


@pytest.mark.parametrize("name", ["lo", "all", "1h", "h-1", "averylongname", ""])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(TopologyError, match=f"switch name {name!r} is not a letter and up to nine"):
        Switch(name)


def test_accelerators_sit_beside_a_nic_of_their_host_and_have_names() -> None:
    nics = build("pair", 2).hosts[0].nics
    with pytest.raises(TopologyError, match="accelerator a0 of host h1 sits beside 'h2-eth0', which is none"):
        Host("h1", 1, nics, (Accelerator("a0", "h2-eth0"),))
    with pytest.raises(TopologyError, match="accelerator of host h1 'a0' is used 2 times"):
        Host("h1", 1, nics, (Accelerator("a0", "h1-eth0"),) * 2)
    with pytest.raises(TopologyError, match="accelerator a0 has -1 bytes of memory"):
        Accelerator("a0", "h1-eth0", -1)
    with pytest.raises(TopologyError, match="host_mem_bw_bytes_per_s of host h1 is -1; give 0 for none"):
        Host("h1", 1, nics, host_mem_bw_bytes_per_s=-1)
    with pytest.raises(TopologyError, match=r"is 999999; give 0 for none, or 1e\+06 to 1e\+15"):
        Host("h1", 1, nics, host_mem_bw_bytes_per_s=999999)
    with pytest.raises(TopologyError, match="pcie_bw_bytes_per_s of host h1 is nan"):
        Host("h1", 1, nics, pcie_bw_bytes_per_s=float("nan"))


UPLINK = RouterInterface("r1-eth1", "02:00:00:00:00:01", "172.16.0.0/31")


def test_a_switch_is_refused_with_its_name() -> None:
    with pytest.raises(TopologyError, match="switch s1 is a bridge and has addresses; make it a router"):
        Switch("s1", uplinks=(UPLINK,))
    with pytest.raises(TopologyError, match=r"the route of r1 to 10.1.0.0/16 leads nowhere"):
        Switch("r1", "router", None, (UPLINK,), (Route("10.1.0.0/16", ()),))
    with pytest.raises(TopologyError, match="leaves by 'r1-eth2', which is no uplink; choose from r1-eth1"):
        Switch("r1", "router", None, (UPLINK,), (Route("10.1.0.0/16", (NextHop("172.16.0.1", "r1-eth2"),)),))
    with pytest.raises(TopologyError, match=r"a route of r1 leads to '10.1.0.0'"):
        Switch("r1", "router", None, (UPLINK,), (Route("10.1.0.0", (NextHop("172.16.0.1", "r1-eth1"),)),))


def test_routers_have_an_uplink_for_each_link_to_a_router() -> None:
    ring = build("ring", 3)
    first, *others = ring.switches
    without = msgspec.structs.replace(first, uplinks=first.uplinks[:1], routes=())
    with pytest.raises(msgspec.ValidationError, match="router r1 has a link to a router, but no uplink"):
        _with(ring, switches=(without, *others))
    with pytest.raises(msgspec.ValidationError, match="has an uplink, but no link to a router"):
        _with(ring, links=[link for link in ring.links if str(link) != "r1-eth2<->r2-eth2"])


def test_addresses_and_macs_of_routers_are_unique_too() -> None:
    ring = build("ring", 3)
    first, *others = ring.switches
    assert first.local is not None
    for field, value in (("address", "10.0.0.1/16"), ("mac", "02:00:0a:00:00:01")):
        local = msgspec.structs.replace(first.local, **{field: value})
        with pytest.raises(msgspec.ValidationError, match="is used 2 times"):
            _with(ring, switches=(msgspec.structs.replace(first, local=local), *others))


def test_a_loop_of_bridges_is_refused() -> None:
    line = build("line", 3)
    loop = Link(LinkEnd("s3", "s3-eth9"), LinkEnd("s1", "s1-eth9"))
    with pytest.raises(msgspec.ValidationError, match="link s3-eth9<->s1-eth9 closes a loop of bridges"):
        _with(line, links=(*line.links, loop))


def test_every_nic_of_a_host_is_checked() -> None:
    """A second NIC needs a link, an address and a MAC of its own."""
    pair = build("pair", 2)
    first, second = pair.hosts
    again = Nic("h1-eth1", "10.1.0.1/16", "02:01:0a:00:00:01", "10.1.1.1/16", "02:01:0a:00:01:01")
    two = msgspec.structs.replace(first, nics=(*first.nics, again))
    with pytest.raises(msgspec.ValidationError, match="interface h1-eth1 of host h1 ends no link"):
        _with(pair, hosts=(two, second))
    link = Link(LinkEnd("h1", "h1-eth1"), LinkEnd("h2", "h2-eth1"))
    built = _with(pair, hosts=(two, second), links=(*pair.links, link))
    assert [nic.interface for nic in built.host("h1").nics] == ["h1-eth0", "h1-eth1"]
    for field in ("kernel_address", "endpoint_address", "endpoint_mac"):
        taken = msgspec.structs.replace(again, **{field: getattr(second.nics[0], field)})
        clash = msgspec.structs.replace(first, nics=(*first.nics, taken))
        with pytest.raises(msgspec.ValidationError, match="is used 2 times"):
            _with(pair, hosts=(clash, second), links=(*pair.links, link))


def test_an_unknown_host_lists_the_known() -> None:
    with pytest.raises(TopologyError, match="there is no host 'h9'; known: h1, h2"):
        build("pair", 2).host("h9")


def test_an_unknown_switch_lists_the_known() -> None:
    assert build("ring", 3).switch("r2").kind == "router"
    with pytest.raises(TopologyError, match="there is no switch 'r9'; known: r1, r2, r3"):
        build("ring", 3).switch("r9")
