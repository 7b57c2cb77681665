"""The lines of /etc/hosts inside a network."""

from __future__ import annotations

from topologies.mininet.host_names import hosts_lines
from topologies.shapes.registry import build


def test_a_host_has_a_name_for_each_of_its_stacks_and_address_families() -> None:
    assert hosts_lines(build("star", 2)).splitlines() == [
        "10.0.0.1 h1 h1-eth0",
        "fd00::1 h1 h1-eth0",
        "10.0.1.1 h1-endpoint h1-eth0-endpoint",
        "fd00::1:1 h1-endpoint h1-eth0-endpoint",
        "10.0.0.2 h2 h2-eth0",
        "fd00::2 h2 h2-eth0",
        "10.0.1.2 h2-endpoint h2-eth0-endpoint",
        "fd00::1:2 h2-endpoint h2-eth0-endpoint",
    ]


def test_without_ipv6_there_are_ipv4_names_only() -> None:
    lines = hosts_lines(build("pair", 2, mtu=1000)).splitlines()
    assert len(lines) == 4
    assert not any(":" in line for line in lines)
