"""What an endpoint is told: everything that was asked of all hosts, and what is its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.network import NetworkRequest, host_config
from nodes.host_config import HostOptions, NicConfig, check, decode, encode
from topologies.host import CEILING_MAX, CEILING_MIN, Host, Nic
from topologies.shapes.registry import build
from workloads.experiment.records import NetworkConfig

SECOND = Nic(
    "h2-eth1", "10.1.0.2/16", "02:01:0a:00:00:02", "10.1.1.2/16", "02:01:0a:00:01:02",
    endpoint_address6="fd01::2/64",
)  # fmt: skip
# No value is the default's.
ASKED = NetworkConfig(
    gso_max_bytes=524280, rx_queues=9, rx_buf_len=16384, nic="gve", header_buffer_bytes=100, tcp_ecn=1,
    tcp_rmem="4096,65536,1M", tcp_wmem="4096,65536,1M",
    kernel="6.12", host_mem_bw_bytes_per_s=2e9, pcie_bw_bytes_per_s=3e9, impair="loss=0.01", mtu=9000,
    pcap=True, trace=True,
)  # fmt: skip


def request(config: NetworkConfig) -> NetworkRequest:
    return NetworkRequest(build("star", 2), Path("/results/it"), config)


def test_every_option_of_hosts_reaches_the_endpoint_through_json() -> None:
    config = host_config(request(ASKED), build("star", 2).host("h2"), Path("/tmp/c"))
    assert decode(encode(config)) == config
    default = NetworkConfig()
    for field in HostOptions.__struct_fields__:
        assert getattr(ASKED, field) != getattr(default, field), f"{field}: give it another value above"
        assert getattr(config, field) == getattr(ASKED, field)


def test_a_host_has_its_own_addresses_channel_and_files() -> None:
    config = host_config(request(ASKED), build("star", 2).host("h2"), Path("/tmp/c"))
    assert (config.name, config.channel, config.kernel_address) == ("h2", "/tmp/c/h2.sock", "10.0.0.2")
    assert (config.pcap, config.trace) == ("/results/it/h2.pcapng", "/results/it/h2.trace.jsonl")
    assert not config.dad  # a topology has each address once
    (nic,) = config.nics
    assert nic == NicConfig(
        interface="h2-eth0", address="10.0.1.2/16", address6="fd00::1:2/64", mac="02:00:0a:00:01:02"
    )
    quiet = host_config(request(NetworkConfig()), build("star", 2).host("h2"), Path("/tmp/c"))
    assert (quiet.pcap, quiet.trace) == ("", "")


def test_every_nic_of_a_host_reaches_its_endpoint() -> None:
    host = build("star", 2).host("h2")
    both = Host(host.name, host.index, (*host.nics, SECOND))
    first, second = host_config(request(ASKED), both, Path("/tmp/c")).nics
    assert (first.interface, first.address) == ("h2-eth0", "10.0.1.2/16")
    assert second == NicConfig(
        interface="h2-eth1", address="10.1.1.2/16", address6="fd01::2/64", mac="02:01:0a:00:01:02"
    )


def test_an_endpoint_has_the_gateways_and_the_routes_of_its_nics() -> None:
    topology = build("dual_plane", 4)
    host = topology.host("h1")
    assert host.nics[1].routes, "the second plane is reached by the second NIC alone"
    config = host_config(NetworkRequest(topology, Path("/r"), ASKED), host, Path("/tmp/c"))
    assert [(nic.gateway, nic.gateway6) for nic in config.nics] == [
        ("10.0.255.254", "fd00::ffff"), ("10.1.255.254", "fd00:1::ffff"),
    ]  # fmt: skip
    assert config.routes == (
        "10.3.0.0/16,via=10.1.255.254,dev=h1-eth1", "fd00:3::/64,via=fd00:1::ffff,dev=h1-eth1",
    )  # fmt: skip
    check(config)


def test_the_endpoint_of_a_network_without_routers_has_no_route() -> None:
    config = host_config(request(ASKED), build("star", 2).host("h2"), Path("/tmp/c"))
    assert config.routes == ()
    assert [(nic.gateway, nic.gateway6) for nic in config.nics] == [("", "")]


def test_a_ceiling_of_a_host_is_instead_of_that_of_all_hosts() -> None:
    host = build("star", 2).host("h2")
    own = Host(host.name, host.index, host.nics, pcie_bw_bytes_per_s=5e6)
    config = host_config(request(ASKED), own, Path("/tmp/c"))
    assert (config.host_mem_bw_bytes_per_s, config.pcie_bw_bytes_per_s) == (2e9, 5e6)
    both = Host(host.name, host.index, host.nics, host_mem_bw_bytes_per_s=4e6, pcie_bw_bytes_per_s=5e6)
    config = host_config(request(NetworkConfig()), both, Path("/tmp/c"))
    assert (config.host_mem_bw_bytes_per_s, config.pcie_bw_bytes_per_s) == (4e6, 5e6)
    check(config)


@pytest.mark.parametrize("ceiling", [CEILING_MIN, CEILING_MAX])
def test_an_endpoint_takes_whatever_ceiling_a_topology_may_have(ceiling: float) -> None:
    host = build("star", 2).host("h2")
    own = Host(host.name, host.index, host.nics, host_mem_bw_bytes_per_s=ceiling, pcie_bw_bytes_per_s=ceiling)
    check(host_config(request(NetworkConfig()), own, Path("/tmp/c")))
