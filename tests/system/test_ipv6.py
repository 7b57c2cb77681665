"""IPv6 with Linux at the other end of the wire, offloads on and off, and dual-stack sockets as ncdevmem's."""

from __future__ import annotations

import errno
import hashlib
import random
import socket as linux
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from nodes.client.host import Host
from nodes.client.socket import Socket
from nodes.machine import dmabuf
from nodes.machine.memory import Region
from nodes.uapi import socket as uapi
from tests.system.network import MIB, OFFLOADS, PORT, Network, accept, receive_devmem
from tests.system.transfer import dropped, rules_at_bridge
from topologies.link import GSO_MAX_BYTES
from topologies.mininet.fabric import Fabric
from topologies.shapes import registry

pytestmark = pytest.mark.system

OURS, LINUX = "2001:db8::1", "2001:db8::2"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """h1 is our stack, h2 Linux's."""
    directory = tmp_path / "run"
    directory.mkdir()
    with Fabric(registry.build("star", 2), directory) as fabric:
        yield start(fabric, directory)


def start(fabric: Fabric, directory: Path, *more: str) -> Network:
    network = Network(fabric, directory, {})
    network.start("h1", "--address6", f"{OURS}/64", *more)
    interface = network.nic("h2").interface
    shell(network, "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0")
    shell(network, f"sysctl -qw net.ipv6.conf.{interface}.disable_ipv6=0")
    shell(network, f"ip -6 addr add {LINUX}/64 dev {interface} nodad")
    return network


@pytest.fixture
def host(network: Network) -> Iterator[Host]:
    with closing(network.host("h1")) as host:
        yield host


def shell(network: Network, command: str) -> str:
    done = network.fabric.run("h2", ["sh", "-c", command])
    assert done.status == 0, done
    return done.stdout


def offloads_off(network: Network) -> None:
    flags = [word for flag in OFFLOADS for word in (flag, "off")]
    shell(network, f"ethtool -K {network.nic('h2').interface} {' '.join(flags)}")


def bind_rx(stack: ExitStack, host: Host) -> Region:
    """A dma-buf on queue 7, and every flow there."""
    host.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
    host.ethtool.rss_set({"indir": [7] * 128})
    memory = stack.enter_context(closing(dmabuf.export(16 * MIB)))
    queues = [{"type": "rx", "id": 7}]
    host.netdev.bind_rx({"ifindex": host.ifindex, "fd": memory.fd, "queues": queues, "rx-page-size": 65536})
    return memory


def listen6(stack: ExitStack, host: Host) -> Socket:
    listener = stack.enter_context(closing(host.socket(linux.AF_INET6)))
    listener.settimeout(20)
    listener.bind(("::", PORT, 0, 0))
    listener.listen()
    return listener


def test_linux_finds_and_pings_us(network: Network, host: Host) -> None:
    assert host.address6 == OURS
    out = shell(network, f"ping -6 -c 3 -i 0.2 -s 1000 -W 5 {OURS}")
    assert "3 received" in out
    assert "lladdr" in shell(network, f"ip -6 neigh show {OURS}")


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_linux_sends_into_device_memory(network: Network, host: Host, offloads: str) -> None:
    content = random.Random(1).randbytes(32 * MIB if offloads == "on" else 4 * MIB)
    file = network.directory / "content"
    file.write_bytes(content)
    if offloads == "off":
        offloads_off(network)
    with ExitStack() as stack:
        memory = bind_rx(stack, host)
        listener = listen6(stack, host)
        network.fabric.spawn("h2", ["sh", "-c", f"nc -6 -N {OURS} {PORT} < {file}"], "nc.log")
        server = accept(stack, listener)
        assert server.getpeername()[0] == LINUX
        assert server.getsockname()[:2] == (OURS, PORT)
        digest = hashlib.sha256()
        assert receive_devmem(server, memory, digest) == len(content)
        assert digest.digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("offloads", ["on", "off"])
def test_device_memory_is_sent_to_linux(network: Network, host: Host, offloads: str) -> None:
    content = random.Random(2).randbytes(32 * MIB if offloads == "on" else 4 * MIB)
    if offloads == "off":
        offloads_off(network)
    send_devmem(network, host, content)


def test_linux_takes_super_packets_of_half_a_megabyte(tmp_path: Path) -> None:
    """BIG TCP over IPv6: the jumbo option of RFC 2675. The switch counts what is longer than IPv6 allows."""
    directory = tmp_path / "run"
    directory.mkdir()
    with Fabric(registry.build("star", 2, gso_max_bytes=GSO_MAX_BYTES), directory) as fabric:
        network = start(fabric, directory, "--gso-max", str(GSO_MAX_BYTES))
        rules_at_bridge(network, "meta length > 70000 counter")
        with closing(network.host("h1")) as host:
            send_devmem(network, host, random.Random(3).randbytes(64 * MIB))
            assert max(dropped(network)) > 0
        assert " 0 " in shell(network, "nstat -asz Ip6InHdrErrors"), "Linux refused none of them"


@pytest.mark.parametrize(("where", "taken"), [("h1", LINUX), ("h2", OURS)])
def test_an_address_in_use_ends_the_endpoint(network: Network, host: Host, where: str, taken: str) -> None:
    """Duplicate address detection (RFC 4862 section 5.4): Linux answers, and so do we."""
    assert host.address6 == OURS
    argv = [
        sys.executable, "-m", "nodes.endpoint", "--interface", f"{where}-eth0", "--address", "10.0.9.9/16",
        "--mac", "02:00:00:00:99:01", "--channel", str(network.directory / "second.sock"),
        "--address6", f"{taken}/64",
    ]  # fmt: skip
    done = network.fabric.run(where, argv, 20)
    assert done.status == 1
    assert f"address {taken} is in use on the link" in done.stderr
    assert done.stderr.rstrip().endswith("choose another --address6")


def send_devmem(network: Network, host: Host, content: bytes) -> None:
    output = network.directory / "sum"
    receiver = f"nc -6 -l -p {PORT} -s {LINUX} | sha256sum > {output}"
    network.fabric.spawn("h2", ["sh", "-c", receiver], "nc.log")
    with ExitStack() as stack:
        source = stack.enter_context(closing(dmabuf.export(len(content))))
        source.view[:] = content
        tx_id = host.netdev.bind_tx({"ifindex": host.ifindex, "fd": source.fd})["id"]
        client = _connect(stack, host)
        client.setsockopt(uapi.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
        control = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, uapi.TX_DMABUF_ID.pack(tx_id))]
        assert client.sendmsg([(0, len(content))], control, uapi.MSG_ZEROCOPY) == len(content)
        client.wait_completions(1)
        client.shutdown(linux.SHUT_WR)
        deadline = time.monotonic() + 20
        while not (output.exists() and output.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert output.read_text().split()[0] == hashlib.sha256(content).hexdigest()


def _connect(stack: ExitStack, host: Host) -> Socket:
    deadline = time.monotonic() + 10
    while True:
        client = stack.enter_context(closing(host.socket(linux.AF_INET6)))
        client.settimeout(20)
        try:
            client.connect((LINUX, PORT, 0, 0))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return client


def test_a_dual_stack_listener_names_an_ipv4_peer_as_python_does(network: Network, host: Host) -> None:
    with ExitStack() as stack:
        listener = listen6(stack, host)
        assert listener.getsockname() == ("::", PORT, 0, 0)
        network.fabric.spawn("h2", ["sh", "-c", f"echo hello | nc -4 -N {host.address} {PORT}"], "nc.log")
        child, peer = listener.accept()
        stack.enter_context(closing(child))
        assert peer[0] == f"::ffff:{network.kernel_address('h2')}"
        assert len(peer) == 4
        assert child.family == linux.AF_INET6
        assert child.recv(100) == b"hello\n"


def test_addresses_of_the_wrong_family_fail_as_in_linux(host: Host) -> None:
    with closing(host.socket()) as v4, closing(host.socket(linux.AF_INET6)) as v6:
        for call, number in (
            (lambda: v4.connect((LINUX, PORT)), "EAFNOSUPPORT"),
            (lambda: v6.bind(("10.0.0.1", PORT)), "EINVAL"),
            (lambda: v6.bind(("2001:db8::77", PORT, 0, 0)), "EADDRNOTAVAIL"),
            (lambda: v6.connect(("2001:db9::1", PORT, 0, 0)), "ENETUNREACH"),
            (lambda: host.socket(linux.AF_UNIX), "EAFNOSUPPORT"),
        ):
            with pytest.raises(OSError, match=r".") as e:
                call()
            assert errno.errorcode[e.value.errno or 0] == number
