"""Routed fabrics for real: every shape's hosts reach each other, flows spread, routers answer as routers."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Thread

import pytest

from nodes.client.socket import Socket
from tests.system.network import PORT, Network, accept, bind_rx, receive_devmem
from topologies.mininet.fabric import Fabric
from topologies.shapes.registry import build
from topologies.topology import Topology

pytestmark = pytest.mark.system
DATA = bytes(range(251)) * 4000

SMALL = (
    "line:hosts=3", "ring:hosts=4", "dumbbell:hosts=4", "leaf_spine:hosts=4", "fat_tree:k=2",
    "storage:hosts=4", "rail_optimized:hosts=2", "dual_plane:hosts=4", "torus2d:rows=2,columns=2",
    "incast:hosts=3",
)  # fmt: skip
N_FLOWS = 200
# Arguments: addresses. To each a datagram from each of N_FLOWS ports.
FLOWS = f"""
import socket, sys
for address in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in range({N_FLOWS}):
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind(("", 20000 + port))
            sock.sendto(b"flow", (address, 9))
"""


def addresses(topology: Topology, but: str) -> Iterator[str]:
    """Linux's own, of all hosts but one."""
    for host in topology.hosts:
        for nic in host.nics if host.name != but else ():
            for address in (nic.kernel_address, nic.kernel_address6):
                yield address.partition("/")[0]


@pytest.mark.parametrize("shape", SMALL)
def test_every_host_of_a_shape_reaches_every_other(shape: str, tmp_path: Path) -> None:
    topology = build(shape)
    with Fabric(topology, tmp_path) as fabric:
        for host in topology.hosts:
            pings = [
                f"ping -c1 -W5 -q {address} >/dev/null || echo {address} &"
                for address in addresses(topology, host.name)
            ]
            assert pings
            pinged = fabric.run(host.name, ["sh", "-c", " ".join([*pings, "wait"])])
            assert (pinged.stdout, pinged.stderr) == ("", ""), host.name
        assert fabric.dead_children() == []


def test_links_have_the_rate_that_was_asked_in_both_directions(tmp_path: Path) -> None:
    topology = build("dumbbell:hosts=2", link="200Mbit", bottleneck="50Mbit")
    with Fabric(topology, tmp_path) as fabric:
        found = fabric.calibrate()
    asked = {end.interface: link.rate_bps for link in topology.links for end in link.ends}
    assert {each.sender: each.asked_bps for each in found} == asked
    assert set(asked.values()) == {200_000_000, 50_000_000}
    assert [str(each) for each in found if not each.is_faithful] == []


def sent_packets(fabric: Fabric, node: str) -> dict[str, int]:
    shown = fabric.run(node, ["ip", "-json", "-s", "link"]).stdout
    return {each["ifname"]: each["stats64"]["tx"]["packets"] for each in json.loads(shown)}


def test_flows_spread_over_all_equal_paths(tmp_path: Path) -> None:
    topology = build("leaf_spine:leaves=2,spines=4,hosts=2")
    leaf = topology.switch("leaf1")
    with Fabric(topology, tmp_path) as fabric:
        for address in addresses(topology, "h1"):
            before = sent_packets(fabric, leaf.name)
            flows = fabric.run("h1", ["python3", "-c", FLOWS, address])
            assert flows.status == 0, flows.stderr
            spread: list[int] = []
            deadline = time.monotonic() + 10
            while sum(spread) < N_FLOWS:  # the first ones wait for neighbours to answer
                assert time.monotonic() < deadline, f"{address}: {spread}"
                after = sent_packets(fabric, leaf.name)
                spread = [after[port.interface] - before[port.interface] for port in leaf.uplinks]
            # Of 50: a chance of 1 in 10 million to be below.
            assert min(spread) >= 20, f"{address}: {spread}"


def test_endpoints_of_two_leaves_send_into_device_memory(tmp_path: Path) -> None:
    topology = build("leaf_spine:leaves=2,spines=2,hosts=2")
    with ExitStack() as stack:
        network = Network(stack.enter_context(Fabric(topology, tmp_path)), tmp_path, {})
        for name in ("h1", "h2"):
            network.start(name)
        h1, h2 = (stack.enter_context(closing(network.host(name))) for name in ("h1", "h2"))
        memory = bind_rx(stack, h2)
        h2.ethtool.ntuple_insert({"flow-type": "tcp6", "dst-port": PORT, "queue": 7})
        for family, address in (
            (socket.AF_INET, network.address("h2")),
            (socket.AF_INET6, network.address6("h2")),
        ):
            with closing(h2.socket(family)) as listener, closing(h1.socket(family)) as client:
                listener.settimeout(20)
                listener.bind((address, PORT))
                listener.listen()
                client.settimeout(20)
                client.connect((address, PORT))
                digest = hashlib.sha256()
                sender = Thread(target=send_all, args=(client,))
                sender.start()
                assert receive_devmem(accept(stack, listener), memory, digest) == len(DATA)
                sender.join()
                assert digest.digest() == hashlib.sha256(DATA).digest(), address


def send_all(client: Socket) -> None:
    client.sendall(DATA)
    client.shutdown(socket.SHUT_WR)
