"""What an application or an administrator may choose of our TCP, with Linux at the other end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nodes.uapi import socket as uapi
from tests.system.network import MIB, Network
from tests.system.transfer import Peers, dropped, rules_at_bridge, shell
from topologies.mininet.fabric import Fabric
from topologies.shapes import registry

pytestmark = pytest.mark.system

TCPI_OPT_ECN = 8
NO_THRESHOLD = 0xFFFF  # packets


@pytest.fixture
def fabric(tmp_path: Path) -> Iterator[Network]:
    """Hosts h1 and h2; h1 is Linux's."""
    directory = tmp_path / "run"
    directory.mkdir()
    with Fabric(registry.build("star", 2), directory) as fabric:
        network = Network(fabric, directory, {})
        network.start("h1")
        yield network


def test_a_paced_stream_is_no_faster_than_its_rate(fabric: Network) -> None:
    """A link of many Gbit/s; the first ten segments are free."""
    fabric.start("h2")
    rate, size = 8 * MIB, 6 * MIB
    with ExitStack() as stack:
        stream = Peers(stack, fabric).we_connect()
        stream.ours.setsockopt(uapi.SOL_SOCKET, uapi.SO_MAX_PACING_RATE, rate)
        begun = time.monotonic()
        stream.sends(size)
        assert time.monotonic() - begun > 0.95 * size / rate


MARK = "ip ecn ect0 numgen inc mod 20 == 7 ip ecn set ce counter"
REDUCED = "tcp flags & (syn | cwr) == cwr counter"
ECHOED = "tcp flags & (syn | ecn) == ecn counter"


@pytest.mark.parametrize("tcp_ecn", [1, 2])
def test_classic_ecn_slows_a_stream_without_losing_any_of_it(fabric: Network, tcp_ecn: int) -> None:
    """RFC 3168: we ask, Linux (net.ipv4.tcp_ecn 1 or 2) grants, the switch marks every 20th super-packet."""
    fabric.start("h2", "--tcp-ecn", "1")
    shell(fabric, "h1", f"echo {tcp_ecn} > /proc/sys/net/ipv4/tcp_ecn")
    rules_at_bridge(fabric, MARK, REDUCED, ECHOED)
    with ExitStack() as stack:
        peers = Peers(stack, fabric)
        stream = peers.we_connect()
        stream.sends(16 * MIB)
        (row,) = [row for row in peers.h2.sockets() if row.state == "ESTAB"]
        info, snmp = row.info, peers.h2.snmp()
    marked, reduced, echoed = (sum(dropped(fabric)[kind::3]) for kind in range(3))
    assert int(info["options"]) & TCPI_OPT_ECN
    assert marked > 5
    assert 0 < reduced <= marked
    assert echoed >= reduced
    assert int(info["delivered_ce"]) > 0
    assert int(info["snd_ssthresh"]) < NO_THRESHOLD, "the window was reduced"
    # A late process may make us probe the tail; nothing else went twice.
    assert snmp["TcpExtTCPSackRecovery"] == 0
    assert snmp["TcpRetransSegs"] <= snmp["TcpExtTCPLossProbes"]


@pytest.mark.parametrize(("ours", "peers_choice"), [("0", 1), ("2", 2), ("1", 0)])
def test_without_asking_or_granting_nothing_is_marked(fabric: Network, ours: str, peers_choice: int) -> None:
    fabric.start("h2", "--tcp-ecn", ours)
    shell(fabric, "h1", f"echo {peers_choice} > /proc/sys/net/ipv4/tcp_ecn")
    rules_at_bridge(fabric, MARK)
    with ExitStack() as stack:
        peers = Peers(stack, fabric)
        for stream in (peers.we_connect(), peers.we_listen()):
            stream.sends(MIB)
            stream.receives(MIB)
    assert sum(dropped(fabric)) == 0


def test_linux_that_asks_is_granted_and_its_marks_are_echoed(fabric: Network) -> None:
    """The other direction, with our default."""
    fabric.start("h2")
    shell(fabric, "h1", "echo 1 > /proc/sys/net/ipv4/tcp_ecn")
    rules_at_bridge(fabric, MARK, REDUCED, ECHOED)
    with ExitStack() as stack:
        Peers(stack, fabric).we_listen().receives(16 * MIB)
    marked, reduced, echoed = (sum(dropped(fabric)[kind::3]) for kind in range(3))
    assert marked > 5
    assert 0 < reduced <= marked
    assert echoed >= reduced
