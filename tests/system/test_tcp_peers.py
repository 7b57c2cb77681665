"""Our stack against Linux: both roles, both directions, clean and impaired wires, and peers with habits."""

from __future__ import annotations

import hashlib
import json
import re
import socket as linux
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.machine import dmabuf
from nodes.uapi import socket as uapi
from tests.system import iperf3
from tests.system.network import (
    MIB,
    PORT,
    Network,
    accept,
    bind_rx,
    connect_when_open,
    listen,
    receive_devmem,
)
from tests.system.transfer import Peers, Stream, both_ways, dropped, lost, rules_at_bridge, send, shell, until
from topologies.mininet.fabric import Fabric
from topologies.shapes import registry

pytestmark = pytest.mark.system

BAD_WIRE = "loss=0.01,reorder=0.02,duplicate=0.001,corrupt=0.001,seed=3"


@pytest.fixture
def fabric(tmp_path: Path) -> Iterator[Network]:
    """Hosts h1 and h2 without endpoints."""
    directory = tmp_path / "run"
    directory.mkdir()
    with Fabric(registry.build("star", 2), directory) as fabric:
        yield Network(fabric, directory, {})


@pytest.fixture
def peers(network: Network) -> Iterator[Peers]:
    with ExitStack() as stack:
        yield Peers(stack, network)


# --- a clean wire


@pytest.mark.timeout(3600)
def test_a_large_stream_lands_in_device_memory_whole(peers: Peers, soak: bool) -> None:
    """Linux sends 1 GiB, 50 GiB in a soak."""
    size = (50 if soak else 1) << 30
    with ExitStack() as stack:
        memory = bind_rx(stack, peers.h2, niov_size=65536, size=64 * MIB)
        listener = listen(stack, peers.h2)
        peer = peers.linux_socket()
        peer.connect((peers.h2.address, PORT))
        ours = accept(stack, listener)
        digest = hashlib.sha256()
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(_send_and_end, peer, size)
            assert receive_devmem(ours, memory, digest) == size
            assert digest.hexdigest() == sent.result(10)


def _send_and_end(peer: linux.socket, size: int) -> str:
    digest = send(peer, memoryview(bytearray(MIB)), size, 3)
    peer.shutdown(linux.SHUT_WR)
    return digest


@pytest.mark.timeout(3600)
def test_a_large_stream_leaves_device_memory_whole(peers: Peers, soak: bool) -> None:
    """Linux receives 1 GiB, 50 GiB in a soak."""
    region, times = 32 * MIB, 32 * (50 if soak else 1)
    with ExitStack() as stack:
        source = stack.enter_context(closing(dmabuf.export(region)))
        source.view[:] = np.random.default_rng(4).bytes(region)
        tx_id = peers.h2.netdev.bind_tx({"ifindex": peers.h2.ifindex, "fd": source.fd})["id"]
        listener = peers.linux_socket()
        where = (peers.network.kernel_address("h1"), PORT)
        listener.bind(where)
        listener.listen()
        ours = connect_when_open(stack, peers.h2, where)
        ours.setsockopt(uapi.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
        peer = stack.enter_context(closing(listener.accept()[0]))
        expected = hashlib.sha256()
        for _ in range(times):
            expected.update(source.view)
        with ThreadPoolExecutor(1) as pool:
            got = pool.submit(_digest, peer)
            control = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, uapi.TX_DMABUF_ID.pack(tx_id))]
            for _ in range(times):
                assert ours.sendmsg([(0, region)], control, uapi.MSG_ZEROCOPY) == region
            ours.wait_completions(times)
            ours.shutdown(linux.SHUT_WR)
            assert got.result(3600) == expected.hexdigest()


def _digest(peer: linux.socket) -> str:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(MIB))
    while got := peer.recv_into(buffer):
        digest.update(buffer[:got])
    return digest.hexdigest()


def test_both_roles_and_directions_on_a_clean_wire_without_a_retransmission(peers: Peers) -> None:
    both_ways(peers, 32 * MIB)
    # veth reorders across cores, and a probe may overtake a starved peer's answer: super-packets, few of them
    assert peers.h2.stats().tcp_retrans_segs < 200


@pytest.mark.parametrize("program", ["nc", "socat"])
def test_programs_of_debian_talk_both_ways_at_once(peers: Peers, program: str) -> None:
    """As client and as server, 8 MiB each way at once, ended by FIN from both sides."""
    network, size = peers.network, 8 * MIB
    content = np.random.default_rng(6).bytes(size)
    (network.directory / "in").write_bytes(content)
    address = network.kernel_address("h1")
    commands = {
        ("nc", "client"): f"nc -N {peers.h2.address} 6001",
        ("nc", "server"): f"nc -N -l -s {address} -p 6002",
        ("socat", "client"): f"socat -t20 -b1048576 - TCP:{peers.h2.address}:6001",
        ("socat", "server"): f"socat -t20 -b1048576 - TCP-LISTEN:6002,bind={address}",
    }
    for role in ("client", "server"):
        out = network.directory / f"out-{role}"
        with ExitStack() as stack:
            listener = listen(stack, peers.h2, 6001) if role == "client" else None
            command = f"{commands[program, role]} < {network.directory / 'in'} > {out}"
            network.fabric.spawn("h1", ["sh", "-c", command], f"{program}-{role}.log")
            if listener is not None:
                ours = accept(stack, listener)
            else:
                ours = connect_when_open(stack, peers.h2, (address, 6002))
            with ThreadPoolExecutor(1) as pool:
                twin = stack.enter_context(closing(ours.dup()))
                twin.settimeout(20)
                # `nc -l` ends at its peer's FIN, whatever it has still to send: there ours follows its FIN
                ends_at_our_fin = (program, role) == ("nc", "server")
                sent = pool.submit(twin.sendall if ends_at_our_fin else partial(_send_all, twin), content)
                got = b"".join(iter(lambda ours=ours: ours.recv(MIB), b""))  # type: ignore[misc]
                sent.result(20)
                if ends_at_our_fin:
                    ours.shutdown(linux.SHUT_WR)
            assert got == content
            until(lambda out=out: out.stat().st_size == size)  # type: ignore[misc]
            assert out.read_bytes() == content


def _send_all(ours: Any, content: bytes) -> None:
    ours.sendall(content)
    ours.shutdown(linux.SHUT_WR)


def test_iperf3_measures_us_in_both_roles(peers: Peers) -> None:
    """Its own control protocol and its data, 64 MiB each time."""
    network, size = peers.network, 64 * MIB
    address = network.kernel_address("h1")
    with ExitStack() as stack:
        listener = listen(stack, peers.h2, 5201)
        with ThreadPoolExecutor(1) as pool:
            buffer = memoryview(bytearray(MIB))
            served = pool.submit(iperf3.serve, lambda: accept(stack, listener), buffer)
            report = json.loads(shell(network, "h1", f"iperf3 -c {peers.h2.address} -n {size} -J"))
            assert served.result(10) == report["end"]["sum_sent"]["bytes"] >= size
        output = network.directory / "iperf3.log"
        network.fabric.spawn("h1", ["iperf3", "-s", "-1", "-J", "-B", address], output.name)
        content = memoryview(bytearray(size))

        def read_by_iperf3() -> bool:
            waiting = shell(network, "h1", "ss -Htn state established sport = :5201").splitlines()
            unread = [int(line.split()[0]) for line in waiting]
            unsent = [row.send_q for row in peers.h2.sockets() if row.state == "ESTAB"]
            return not any(unread) and not any(unsent)

        connect = partial(connect_when_open, stack, peers.h2, (address, 5201))
        results = iperf3.measure(connect, content, partial(until, read_by_iperf3))
        assert results["streams"][0]["bytes"] == size


# --- a bad wire


@pytest.mark.parametrize("congestion", ["cubic", "bbr", "reno"])
def test_streams_are_whole_over_our_bad_wire(fabric: Network, congestion: str) -> None:
    fabric.start("h1")
    fabric.start("h2", "--impair", BAD_WIRE)
    with ExitStack() as stack:
        peers = Peers(stack, fabric)
        both_ways(peers, 32 * MIB, congestion)
        lanes = peers.h2.stats().impaired
        assert all(lane.lost and lane.reordered and lane.packets > 10_000 for lane in lanes), lanes


@pytest.mark.parametrize("congestion", ["cubic", "bbr", "reno"])
def test_streams_are_whole_when_a_switch_drops_one_frame_in_a_hundred(
    peers: Peers, congestion: str
) -> None:
    rules_at_bridge(peers.network, "meta length > 100 numgen random mod 100 < 1 counter drop")
    both_ways(peers, 32 * MIB, congestion)
    assert all(dropped(peers.network)), "each direction lost something"


@pytest.mark.parametrize("option", ["tcp_sack", "tcp_timestamps", "tcp_window_scaling"])
def test_a_peer_without_an_option_loses_speed_and_nothing_else(fabric: Network, option: str) -> None:
    fabric.start("h1")
    fabric.start("h2", "--impair", "loss=0.002,reorder=0.002,seed=5")
    shell(fabric, "h1", f"echo 0 > /proc/sys/net/ipv4/{option}")
    with ExitStack() as stack:
        peers = Peers(stack, fabric)
        both_ways(peers, 4 * MIB)
        assert lost(peers.h2)


@pytest.mark.timeout(900)
def test_many_short_connections_open_and_close_over_a_bad_wire(fabric: Network, soak: bool) -> None:
    """20 of them, 1,000 in a soak, both roles in turn: handshakes and ends suffer as data does."""
    fabric.start("h1")
    fabric.start("h2", "--impair", "loss=0.03,reorder=0.05,duplicate=0.02,corrupt=0.01,seed=11")
    chance = np.random.default_rng(8)
    for batch in range(50 if soak else 1):
        with ExitStack() as stack:
            peers = Peers(stack, fabric, first_port=5000 + 20 * batch)
            for number in range(20):
                size = int(chance.integers(1, 60_000))
                stream = peers.we_listen() if number % 2 else peers.we_connect()
                stream.sends(size, number)
                stream.receives(size, number + 1)
                stream.ours.close()
                stream.peer.close()


# --- peers and links with habits


@pytest.mark.parametrize("host", ["h1", "h2"])
def test_a_stream_outlives_three_seconds_without_a_link(peers: Peers, host: str) -> None:
    """The cable is out at the peer (h1) or at our NIC (h2), in the middle of a stream each way."""
    interface = peers.network.nic(host).interface
    outage = f"ip link set {interface} down; sleep 3; ip link set {interface} up"
    sending, receiving = peers.we_listen(), peers.we_connect()
    cut = threading.Event()

    def cut_once(count: int) -> None:
        if count > 8 * MIB and not cut.is_set():
            cut.set()
            shell(peers.network, host, outage)

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(sending.sends, 96 * MIB, 1, cut_once), pool.submit(_receives, receiving)]
        for job in jobs:
            job.result(60)
    assert cut.is_set()


def _receives(stream: Stream) -> None:
    Stream(stream.ours, stream.peer, memoryview(bytearray(MIB))).receives(48 * MIB, 2)


def test_a_killed_peer_resets_what_we_send_it(peers: Peers) -> None:
    network = peers.network
    address = network.kernel_address("h1")
    command = ["sh", "-c", f"nc -l -s {address} -p 6100 > /dev/null & echo $! ; wait"]
    log = network.directory / "nc.log"
    network.fabric.spawn("h1", command, "nc.log")
    with ExitStack() as stack:
        ours = connect_when_open(stack, peers.h2, (address, 6100))
        ours.sendall(b"x" * MIB)
        until(log.read_text)
        shell(network, "h1", f"kill -9 {log.read_text().split()[0]}")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(500):
                ours.sendall(b"x" * MIB)


def test_a_reader_that_pauses_for_ten_seconds_gets_everything(peers: Peers) -> None:
    """Windows close and open again: theirs while we send, ours while they send."""
    stream, other = peers.we_connect(), peers.we_listen()

    def pause_once() -> Any:
        paused = threading.Event()

        def pause(count: int) -> None:
            if count > 2 * MIB and not paused.is_set():
                paused.set()
                time.sleep(10)

        return pause

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(stream.sends, 64 * MIB, 1, pause_once())]
        memory = memoryview(bytearray(MIB))
        again = Stream(other.ours, other.peer, memory)
        jobs.append(pool.submit(again.receives, 64 * MIB, 2, pause_once()))
        for job in jobs:
            job.result(60)


def test_a_delay_of_the_bad_wire_is_kept_to_the_microsecond(fabric: Network) -> None:
    """300 us each way at h2: what ping sees is that, not epoll's milliseconds."""
    fabric.start("h1")
    fabric.start("h2", "--impair", "delay=300us")
    with closing(fabric.host("h2")):
        said = shell(fabric, "h1", f"ping -c 20 -i 0.02 {fabric.address('h2')}")
    least = float(re.findall(r"= ([\d.]+)/", said)[0])
    assert 0.6 <= least < 1.8
