"""Topologies and shapes: what can be built, and what is refused with a sentence. No privileges."""

from __future__ import annotations

import msgspec
import pytest

from topologies.shapes import HOSTS_MAX, SHAPES, build
from topologies.topology import GSO_MAX_BYTES, Host, Link, LinkEnd, Nic, Switch, Topology, TopologyError


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


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_describes_itself_in_one_line(name: str) -> None:
    assert SHAPES[name].description
    assert "\n" not in SHAPES[name].description


def test_the_largest_star_is_valid_and_one_more_is_refused() -> None:
    assert len(build("star", HOSTS_MAX).hosts) == HOSTS_MAX
    with pytest.raises(
        TopologyError, match=f"star cannot have {HOSTS_MAX + 1} hosts; choose 2 to {HOSTS_MAX}"
    ):
        build("star", HOSTS_MAX + 1)


def test_an_unknown_shape_lists_the_known() -> None:
    with pytest.raises(TopologyError, match=r"there is no topology 'ring'; choose one of pair, star"):
        build("ring", 4)


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


def test_a_link_property_not_built_yet_is_not_accepted() -> None:
    link = msgspec.to_builtins(build("pair", 2).links[0])
    with pytest.raises(msgspec.ValidationError, match="unknown field `delay_s`"):
        msgspec.convert(link | {"delay_s": 0.1}, Link)


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
        ("endpoint_mac", "01:00:00:00:00:01", "MAC '01:00:00:00:00:01'; give a unicast one"),
    ],
)
def test_a_nic_is_refused_with_the_value_named(field: str, value: str, sentence: str) -> None:
    nic = msgspec.structs.asdict(build("pair", 2).hosts[0].nics[0])
    with pytest.raises(TopologyError, match=sentence):
        Nic(**nic | {field: value})


def test_a_host_is_refused_with_its_name() -> None:
    nics = build("pair", 2).hosts[0].nics
    with pytest.raises(TopologyError, match="host name 'host one'"):
        Host("host one", 1, nics)
    with pytest.raises(TopologyError, match="host h1 has no NIC"):
        Host("h1", 1, ())


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
