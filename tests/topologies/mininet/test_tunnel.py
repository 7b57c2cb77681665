"""What `ip` is told of a half of a tunnel."""

from __future__ import annotations

import msgspec

from topologies.mininet.tunnel import line
from topologies.part import homes, split
from topologies.shapes.registry import build

PAIR = build("pair", 2)


def test_a_nic_that_is_half_of_a_tunnel_has_its_mac_and_its_queues() -> None:
    (near,), (far,) = (
        part.tunnels for part in split(PAIR, homes(PAIR, 2), ("10.9.0.1", "10.9.0.2"), 77, 4790)
    )
    ways = "id 77 local {} remote {} dstport 4790 nolearning"
    there = "netns /proc/1/ns/net type vxlan"
    nic = msgspec.structs.replace(PAIR.host("h1").nics[0], rx_queues=3, tx_queues=2)
    assert line(near, nic) == (
        f"link add h1-eth0 address {nic.kernel_mac} numrxqueues 3 numtxqueues 2 {there} "
        f"{ways.format('10.9.0.1', '10.9.0.2')}"
    )
    assert line(far) == f"link add h2-eth0 {there} {ways.format('10.9.0.2', '10.9.0.1')}"
