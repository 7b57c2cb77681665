"""What others say of our stack: tshark, nmap, hping3, and middleboxes and NICs that do less than ours."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import select
import socket as linux
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from nodes.client.host import Host
from tests.system.network import MIB, OFFLOADS, Network, accept, bind_rx, listen, receive_devmem
from tests.system.transfer import Peers, both_ways, dropped, rules_at_bridge, shell, until
from topologies.mininet.fabric import Fabric
from topologies.shapes import registry

pytestmark = pytest.mark.system


class Captured:
    """Endpoints with a capture of h2's, read by tshark."""

    def __init__(self, stack: ExitStack, network: Network) -> None:
        self.network = network
        self.file = network.directory / "h2.pcapng"
        network.start("h1")
        network.start("h2", "--pcap", str(self.file))
        self.peers = Peers(stack, network)

    def tshark(self, *arguments: str) -> str:
        """The capture ends with the endpoint: it stops here."""
        self.peers.close()
        pid = self.network.pids.pop("h2", None)
        if pid is not None:
            assert self.network.fabric.terminate(pid) == 0
        command = ["tshark", "-n", "-r", str(self.file), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fields(self, display_filter: str, *names: str) -> list[list[str]]:
        words = [word for name in names for word in ("-e", name)]
        lines = self.tshark("-Y", display_filter, "-T", "fields", *words).splitlines()
        return [line.split("\t") for line in lines]


@pytest.fixture
def captured(tmp_path: Path) -> Iterator[Captured]:
    directory = tmp_path / "run"
    directory.mkdir()
    with Fabric(registry.build("star", 2), directory) as fabric, ExitStack() as stack:
        yield Captured(stack, Network(fabric, directory, {}))


@pytest.fixture
def peers(network: Network) -> Iterator[Peers]:
    with ExitStack() as stack:
        yield Peers(stack, network)


@pytest.fixture
def one_cpu(captured: Captured) -> Iterator[None]:
    """The sender and both stacks on one CPU: two would overtake each other inside the veth pairs."""
    before = os.sched_getaffinity(0)
    cpu = {min(before)}
    for pid in captured.network.pids.values():
        os.sched_setaffinity(pid, cpu)
    os.sched_setaffinity(threading.get_native_id(), cpu)  # threads that begin later inherit it
    yield
    os.sched_setaffinity(threading.get_native_id(), before)


# --- tshark


@pytest.mark.usefixtures("one_cpu")
def test_tshark_has_nothing_to_say_about_a_clean_run(captured: Captured) -> None:
    """4 MiB each way in both roles, handshakes and ends included. An end that waits for the CPU longer than a
    probe timeout retransmits, and rightly so: one connection of each role has to be clean."""
    rounds = 4
    for _ in range(rounds):
        both_ways(captured.peers, 4 * MIB)
    captured.peers.close()
    until(lambda: all(row.state == "TIME-WAIT" for row in captured.peers.h2.sockets()))
    addresses = captured.network.kernel_address("h1"), captured.peers.h2.address
    ends = captured.fields("tcp.flags.fin == 1", "tcp.stream", "ip.src")
    assert {*map(tuple, ends)} == {(str(n), one) for n in range(2 * rounds) for one in addresses}
    assert captured.fields("tcp.flags.reset == 1", "frame.number") == []
    warning = "_ws.expert.severity >= 0x600000"
    ordinary = "tcp.analysis.window_update || tcp.analysis.window_full"  # of a reader slower than its peer
    remarkable = f"(tcp.analysis.flags && !({ordinary})) || ({warning} && !tcp.analysis.window_full)"
    remarks = captured.fields(remarkable, "tcp.stream", "_ws.expert.message")
    unclean = {int(stream) for stream, _ in remarks}
    assert {stream % 2 for stream in {*range(2 * rounds)} - unclean} == {0, 1}, remarks


def test_tshark_sees_no_spurious_retransmission_when_every_nth_frame_is_lost(captured: Captured) -> None:
    rules_at_bridge(captured.network, "meta length > 100 numgen inc mod 50 == 7 counter drop")
    both_ways(captured.peers, 8 * MIB)
    assert all(dropped(captured.network))
    ours = f"ip.src == {captured.peers.h2.address}"
    assert captured.fields(f"tcp.analysis.retransmission && {ours}", "frame.number")
    spurious = captured.fields(
        f"tcp.analysis.spurious_retransmission && {ours}", "frame.number", "tcp.seq", "tcp.len", "tcp.ack"
    )
    assert spurious == []


def test_a_capture_holds_headers_only_of_device_memory(captured: Captured) -> None:
    with ExitStack() as stack:
        memory = bind_rx(stack, captured.peers.h2)
        listener = listen(stack, captured.peers.h2)
        with captured.peers.linux_socket() as peer:
            peer.connect((captured.peers.h2.address, 7000))
            ours = accept(stack, listener)
            peer.sendall(b"the payload" * 5000)
        assert receive_devmem(ours, memory, hashlib.sha256()) == 55_000
    data = "tcp.dstport == 7000 && tcp.len > 0 && !tcp.analysis.retransmission"
    lengths = captured.fields(data, "frame.len", "frame.cap_len", "tcp.len")
    assert sum(int(length[2]) for length in lengths) == 55_000
    assert all(int(whole) - int(stored) == int(payload) for whole, stored, payload in lengths)
    assert b"the payload" not in captured.file.read_bytes()


# --- scanners


def test_nmap_sees_of_our_ports_what_it_sees_of_linux(peers: Peers) -> None:
    network = peers.network
    linux_address = network.kernel_address("h2")
    with ExitStack() as stack:
        listen(stack, peers.h2, 7000)
        kernel = stack.enter_context(closing(peers.h2.kernel_socket()))
        kernel.bind((linux_address, 7000))
        kernel.listen()
        for scan in ("-sS", "-sA", "-sF", "-sX", "-sN", "-sM", "-sW", "-sT"):
            addresses = f"{peers.h2.address} {linux_address}"
            command = f"nmap -n -Pn {scan} -p 7000,7001 -T5 --max-retries 1 -oG - {addresses}"
            found = dict(re.findall(r"Host: ([\d.]+) .*Ports: (.*)", shell(network, "h1", command)))
            states = {host: re.findall(r"(\d+)/([a-z|]+)/tcp", ports) for host, ports in found.items()}
            ours, linux = states[peers.h2.address], states[linux_address]
            assert len(linux) == 2
            assert ours == linux, scan


def test_hping3_cannot_predict_initial_sequence_numbers(peers: Peers) -> None:
    with ExitStack() as stack:
        listen(stack, peers.h2, 7000)
        command = f"hping3 -S -Q -c 40 -i u5000 -p 7000 {peers.h2.address} 2>/dev/null"
        found = re.findall(r"^ *(\d+) \+(\d+)$", shell(peers.network, "h1", command), re.MULTILINE)
    numbers = [int(number) for number, _ in found]
    assert len(numbers) >= 35
    assert len(set(numbers)) == len(numbers)
    steps = [(b - a) % 2**32 for a, b in itertools.pairwise(numbers)]
    assert 0.6 < statistics.pstdev(steps) / (2**32 / 12**0.5) < 1.4  # as even as chance
    rises = sum(b > a for a, b in itertools.pairwise(numbers))
    assert 0.2 < rises / len(steps) < 0.8


def test_connections_are_made_beside_a_flood_of_syns(peers: Peers) -> None:
    """20,000 SYNs a second are more than we can answer, Linux can. A connect sends three SYNs, in 4 s."""
    with ExitStack() as stack:
        listen(stack, peers.h2, 7000)
        command = ["hping3", "-S", "-q", "-i", "u50", "-p", "7000", peers.h2.address]
        flood = peers.network.fabric.spawn("h1", command, "flood.log")
        stack.callback(peers.network.fabric.terminate, flood)
        until(lambda: overruns(peers.h2), 30)
        waiting = [connecting(stack, peers, 7000) for _ in range(20)]
        until(lambda: all(ended(each) for each in waiting), 60)
        errors = [each.getsockopt(linux.SOL_SOCKET, linux.SO_ERROR) for each in waiting]
    assert errors.count(0) >= 16, errors


def overruns(host: Host) -> int:
    """Frames that the NIC of `host` has dropped before its queues."""
    return sum(each.get("rx-hw-drop-overruns", 0) for each in host.netdev.qstats_get())


def connecting(stack: ExitStack, peers: Peers, port: int) -> linux.socket:
    """A Linux socket of h1 that sends its first SYN, and two more if it has to."""
    sock = stack.enter_context(closing(peers.h1.kernel_socket()))
    sock.setsockopt(linux.IPPROTO_TCP, linux.TCP_SYNCNT, 2)
    sock.setblocking(False)
    assert sock.connect_ex((peers.h2.address, port)) == errno.EINPROGRESS
    time.sleep(0.05)  # so that not all of them meet one poll of the NIC
    return sock


def ended(sock: linux.socket) -> bool:
    """Whether the connect of `sock` has succeeded or failed."""
    return bool(select.select((), (sock,), (), 0)[1])


def test_a_bad_checksum_gets_no_answer(peers: Peers) -> None:
    with ExitStack() as stack:
        listen(stack, peers.h2, 7000)
        for port in (7000, 7001):
            for flag, answered in (("-b", 0), ("", 3)):
                command = f"hping3 -S {flag} -c 3 -i u20000 -p {port} {peers.h2.address} 2>&1 || true"
                said = shell(peers.network, "h1", command)
                assert f"3 packets transmitted, {answered} packets received" in said, (port, flag, said)
    assert peers.h2.netdev.qstats_get({"ifindex": peers.h2.ifindex})[0]["rx-hw-drops"] == 6


# --- middleboxes and lesser NICs


@pytest.mark.parametrize(
    "rule", ["tcp option maxseg size set 700", "reset tcp option sack-perm", "reset tcp option timestamp"]
)
def test_streams_are_whole_through_a_middlebox_that_strips_options(peers: Peers, rule: str) -> None:
    """On every SYN in both directions, with one frame in a hundred lost beside it."""
    rules_at_bridge(
        peers.network, f"tcp flags syn {rule}", "meta length > 100 numgen inc mod 100 == 7 counter drop"
    )
    both_ways(peers, 4 * MIB)
    assert all(dropped(peers.network))


@pytest.mark.parametrize("hosts", [("h1",), ("h1", "h2")])
def test_streams_are_whole_with_offloads_off(peers: Peers, hosts: tuple[str, ...]) -> None:
    for host in hosts:
        interface = peers.network.nic(host).interface
        words = " ".join(f"{name} off" for name in OFFLOADS)
        shell(peers.network, host, f"ethtool -K {interface} {words}")
    both_ways(peers, 8 * MIB)
