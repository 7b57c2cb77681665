"""A Linux router between two endpoints: transfers across a smaller MTU, a redirect, changed routes, errors of
routers; what Linux's own sockets answer on the same paths is compared. One network serves all of it."""

from __future__ import annotations

import errno
import hashlib
import json
import random
import select
import socket as linux
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.client import route_command
from nodes.client.host import Host
from nodes.machine import dmabuf
from nodes.machine.memory import Region
from nodes.machine.routes import totals
from nodes.uapi import socket as uapi
from tests.system.network import MIB, PORT, Network, accept, receive_devmem
from tests.system.transfer import AnySocket, shell, until
from topologies.mininet.fabric import Fabric
from topologies.shapes.registry import build

pytestmark = pytest.mark.system

# h1's second NIC is a cable to the router.
SECOND_NIC = ("--interface", "h1-eth1", "--address", "10.3.0.1/24", "--gateway", "10.3.0.254")
NARROW = 1400  # MTU of the router's second interface; every other link has 1500
SIZE = 4 * MIB
ROUTER = f"""
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.disable_ipv6=0
ip addr add 10.1.0.254/24 dev h3-eth0
ip addr add fd01::fe/64 dev h3-eth0 nodad
ip link add link h3-eth0 name narrow mtu {NARROW} type macvlan mode bridge
ip link set narrow up
ip addr add 10.2.0.254/24 dev narrow
ip addr add fd02::fe/64 dev narrow nodad
ip route add 10.9.0.0/24 via 10.1.0.2
ip addr add 10.3.0.254/24 dev h3-eth1
ip link set h3-eth1 up
"""
LINUX_OF_H1 = """
ip link set h1-eth1 up
ip route add 10.2.0.0/24 via 10.0.0.3
ip -6 route add fd02::/64 via fd00::3
"""
LINUX_OF_H2 = """
ip addr add 10.1.0.2/24 dev h2-eth0
ip link set lo up
ip addr add 10.9.0.1/32 dev lo
ip route add 10.3.0.0/24 dev h2-eth0
"""
# (family, address, time to live): no route; a router's time exceeded; an address that nobody has
CASES = [
    (linux.AF_INET, "192.0.2.1", 64), (linux.AF_INET6, "2001:db9::1", 64),
    (linux.AF_INET, "10.2.0.1", 1), (linux.AF_INET6, "fd02::1", 1),
    (linux.AF_INET, "10.2.0.77", 64), (linux.AF_INET6, "fd02::77", 64),
]  # fmt: skip
ANSWERS = ["ENETUNREACH"] * 2 + ["EHOSTUNREACH"] * 4
IN_LINUX = """
import errno, json, select, socket, sys
from tests.system.test_routes import CASES, outcomes
print(json.dumps(outcomes([socket.socket(family) for family, _, _ in CASES])))
"""


@dataclass
class Routed:
    """h1 and h2 are endpoints, h3 is the router."""

    network: Network
    h1: Host
    h2: Host


@pytest.fixture
def routed(tmp_path: Path) -> Iterator[Routed]:
    directory = tmp_path / "run"
    directory.mkdir()
    with Fabric(build("star", 3), directory) as fabric:
        network = Network(fabric, directory, {})
        _cable(fabric, "h1", "h3")
        for name, commands in (("h3", ROUTER), ("h1", LINUX_OF_H1), ("h2", LINUX_OF_H2)):
            shell(network, name, commands)
        for number, more in ((1, SECOND_NIC), (2, ())):
            network.start(
                f"h{number}", "--address", f"10.{number}.0.1/24", "--address6", f"fd0{number}::1/64",
                "--gateway", f"10.{number}.0.254", "--gateway6", f"fd0{number}::fe", *more,
            )  # fmt: skip
        with closing(network.host("h1")) as h1, closing(network.host("h2")) as h2:
            yield Routed(network, h1, h2)


def _cable(fabric: Fabric, first: str, second: str) -> None:
    """A link between two hosts beside those of the topology: FIRST-eth1 and SECOND-eth1."""
    pids = [str(fabric.shell_pid(name)) for name in (first, second)]
    words = f"ip link add {first}-eth1 type veth peer name {second}-eth1 netns {pids[1]}"
    subprocess.run(["nsenter", "-t", pids[0], "-n", *words.split()], check=True, timeout=10)


def test_endpoints_behind_a_linux_router(routed: Routed) -> None:
    with ExitStack() as stack:
        device_memory_crosses_the_narrow_hop(routed, stack)
    a_host_with_two_nics(routed)
    a_redirect_is_followed(routed)
    routes_change(routed)
    errors_are_as_linuxs(routed)


# --- transfers


def device_memory_crosses_the_narrow_hop(routed: Routed, stack: ExitStack) -> None:
    """Super-packets with segments of 1500 bytes: the router drops the first ones whole, and says so."""
    into = _prepare(stack, routed.h2)
    content = random.Random(1).randbytes(SIZE)
    source = stack.enter_context(closing(dmabuf.export(SIZE)))
    source.view[:] = content
    h1 = routed.h1
    tx_id = h1.netdev.bind_tx({"ifindex": h1.ifindex, "fd": source.fd})["id"]
    control = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, uapi.TX_DMABUF_ID.pack(tx_id))]
    for family, to, level, option in (
        (linux.AF_INET, "10.2.0.1", linux.IPPROTO_IP, uapi.IP_MTU),
        (linux.AF_INET6, "fd02::1", linux.IPPROTO_IPV6, uapi.IPV6_MTU),
    ):
        with ExitStack() as sockets:
            listener = sockets.enter_context(closing(routed.h2.socket(family)))
            listener.settimeout(20)
            listener.bind((to, PORT))
            listener.listen()
            client = sockets.enter_context(closing(h1.socket(family)))
            client.settimeout(20)
            client.connect((to, PORT))
            server = accept(sockets, listener)
            assert client.getsockopt(level, option) == 1500
            client.setsockopt(uapi.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
            digest = hashlib.sha256()
            with ThreadPoolExecutor(1) as pool:  # more than the send buffer and the window hold
                received = pool.submit(receive_devmem, server, into, digest)
                assert client.sendmsg([(0, SIZE)], control, uapi.MSG_ZEROCOPY) == SIZE
                client.shutdown(linux.SHUT_WR)
                assert received.result(20) == SIZE
            assert digest.digest() == hashlib.sha256(content).digest()
            client.wait_completions(1)
            assert client.getsockopt(level, option) == NARROW
            server.sendall(b"back")
            assert client.recv(10) == b"back"
    counters = h1.snmp()
    assert counters["IcmpInDestUnreachs"] > 0
    assert counters["Icmp6InPktTooBigs"] > 0
    first, second = h1.stats().nics
    assert totals(first.moved).device_read_bytes >= 2 * SIZE
    assert totals(first.moved).pcie_switch_bytes > 2 * SIZE
    assert (second.ifname, second.ifindex) == (h1.nics[1].ifname, h1.nics[1].ifindex)
    assert totals(second.moved).device_read_bytes == 0


def _prepare(stack: ExitStack, host: Host) -> Region:
    """A dma-buf on queue 7, and both versions' port there."""
    host.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
    host.ethtool.rss_set({"equal": 7})
    for flow in ("tcp4", "tcp6"):
        host.ethtool.ntuple_insert({"flow-type": flow, "dst-port": PORT, "queue": 7})
    memory = stack.enter_context(closing(dmabuf.export(16 * MIB)))
    queues = [{"type": "rx", "id": 7}]
    host.netdev.bind_rx({"ifindex": host.ifindex, "fd": memory.fd, "queues": queues})
    return memory


# --- two NICs


def sent_by(host: Host) -> list[int]:
    return [nic.tx_packets for nic in host.stats().nics]


def a_host_with_two_nics(routed: Routed) -> None:
    """A socket leaves by the NIC of its address or of its device; Linux reaches either address by either."""
    h1, options = routed.h1, linux.SOL_SOCKET
    with closing(routed.h2.socket()) as listener:
        listener.settimeout(20)
        listener.bind(("10.2.0.1", PORT + 2))
        listener.listen()
        for by_device in (False, True):
            before = sent_by(h1)
            with closing(h1.socket()) as client, ExitStack() as stack:
                client.settimeout(20)
                if by_device:
                    client.setsockopt(options, linux.SO_BINDTODEVICE, b"h1-eth1")
                else:
                    client.bind(("10.3.0.1", 0))
                client.connect(("10.2.0.1", PORT + 2))
                accept(stack, listener)
                assert client.getsockname()[0] == "10.3.0.1"
            assert sent_by(h1)[1] > before[1]
    assert "1 received" in shell(routed.network, "h2", "ping -c 1 -W 5 -I 10.1.0.2 10.3.0.1")
    assert "1 received" in shell(routed.network, "h3", "ping -c 1 -W 5 10.3.0.1")


# --- redirects and changes


def a_redirect_is_followed(routed: Routed) -> None:
    """h3 sends packets to 10.9.0.1 back by the interface that they came by, to h2's Linux, and says so."""
    with closing(routed.h2.kernel_socket()) as listener, closing(routed.h1.socket()) as client:
        listener.bind(("10.9.0.1", PORT))
        listener.listen()
        client.settimeout(20)
        client.connect(("10.9.0.1", PORT))
        mtu = client.getsockopt(linux.IPPROTO_IP, uapi.IP_MTU)
        assert mtu == 1500, "the narrow hop is on the way to another destination of the same gateway"
        server, _ = listener.accept()
        with closing(server):
            server.settimeout(20)
            wanted = {"rtm-family": 2, "dst": "10.9.0.1"}

            def redirected() -> bool:
                client.sendall(b"x")
                assert server.recv(100)
                return bool(routed.h1.route.getroute(wanted)["gateway"] == "10.1.0.2")

            until(redirected)
            assert routed.h1.snmp()["IcmpInRedirects"] > 0
            client.sendall(b"by the new gateway")
            assert server.recv(100) == b"by the new gateway"


def routes_change(routed: Routed) -> None:
    """Without its default route a connection stands still, and goes on when it has one again."""
    h1 = routed.h1
    with closing(routed.h2.socket()) as listener, closing(h1.socket()) as client, ExitStack() as stack:
        listener.settimeout(20)
        listener.bind(("10.2.0.1", PORT + 1))
        listener.listen()
        client.settimeout(20)
        client.connect(("10.2.0.1", PORT + 1))
        server = accept(stack, listener)
        for _ in h1.nics:
            assert route_command.run(h1, ["del", "default"]) == ""
        client.sendall(b"waits")
        until(lambda: h1.snmp()["IpOutNoRoutes"])
        with closing(h1.socket()) as other, pytest.raises(OSError, match="no route") as e:
            other.connect(("10.2.0.1", PORT + 1))
        assert e.value.errno == errno.ENETUNREACH
        before = sent_by(h1)
        route_command.run(h1, ["add", "10.2.0.0/24", "via", "10.3.0.254"])
        assert server.recv(10) == b"waits"
        assert sent_by(h1)[1] > before[1], "by the other NIC now, from the address that it has"
        assert "10.2.0.0/24 via 10.3.0.254 dev h1-eth1" in route_command.run(h1, []).splitlines()
    # IPv6 loses its default route too: so has Linux none on h1, whose answers are compared.
    route_command.run(h1, ["-6", "del", "default"])
    route_command.run(h1, ["add", "fd02::/64", "via", "fd01::fe"])


# --- errors


def errors_are_as_linuxs(routed: Routed) -> None:
    with ThreadPoolExecutor(1) as pool:  # Linux asks for the addresses that nobody has meanwhile
        linuxs = pool.submit(routed.network.fabric.run, "h1", [sys.executable, "-c", IN_LINUX], 30)
        ours = outcomes([routed.h1.socket(family) for family, _, _ in CASES])
        done = linuxs.result(60)
    assert done.status == 0, done.stderr
    assert (ours, json.loads(done.stdout)) == (ANSWERS, ANSWERS)


def outcomes(sockets: Sequence[AnySocket]) -> list[str]:
    """What connect comes to in each case, the names of errnos; all of them at once."""
    numbers = []
    for sock, (family, address, ttl) in zip(sockets, CASES, strict=True):
        sock.setblocking(False)
        if family == linux.AF_INET:
            sock.setsockopt(linux.IPPROTO_IP, linux.IP_TTL, ttl)
        else:
            sock.setsockopt(linux.IPPROTO_IPV6, linux.IPV6_UNICAST_HOPS, ttl)
        numbers.append(sock.connect_ex((address, PORT)))
    for at, sock in enumerate(sockets):
        if numbers[at] == errno.EINPROGRESS:
            select.select([], [sock], [], 20)
            numbers[at] = int(sock.getsockopt(linux.SOL_SOCKET, linux.SO_ERROR))
        sock.close()
    return [errno.errorcode[number] if number else "connected" for number in numbers]
