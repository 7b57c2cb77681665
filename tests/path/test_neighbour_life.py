"""Two hosts whose neighbour entries age while a third claims their addresses; sockets without a program."""

from __future__ import annotations

import errno

import pytest

from nodes.inet.neighbour import Nud
from nodes.nic.wire_port import TxOffload
from nodes.sock import tcp_stack
from nodes.sock.devmem_socket import DevmemSocket
from nodes.tcp.state import State
from nodes.wire import arp, ethernet
from tests.path.two_hosts import TwoHosts

STRANGER = bytes.fromhex("020000000009")


def spoof(hosts: TwoHosts, operation: int) -> None:
    """A third host says to a that it is b."""
    a, b = hosts.a, hosts.b
    packet = arp.Arp(operation, STRANGER, b.address, a.device.config.mac, a.address)
    frame = ethernet.emit(a.device.config.mac, STRANGER, ethernet.TYPE_ARP) + arp.emit(packet)
    b.device.wire.send(frame, [], TxOffload())


def only_to_b(hosts: TwoHosts) -> None:
    """As a switch: frames to another MAC do not reach b."""
    macs = ethernet.BROADCAST, hosts.b.device.config.mac
    hosts.to_b.lose = lambda frame: frame[:6] not in macs


def stream(hosts: TwoHosts, client: DevmemSocket, server: DevmemSocket) -> None:
    """Some bytes from a to b."""
    hosts.a.send(client, b"x" * 1000)
    hosts.run_until(lambda: bool(server.recv_queue.length), within_s=30.0)
    assert len(hosts.b.recv(server, 1000)) == 1000


@pytest.mark.parametrize("operation", [arp.REQUEST, arp.REPLY])
def test_one_claim_by_another_host_does_not_stop_a_stream(hosts: TwoHosts, operation: int) -> None:
    only_to_b(hosts)
    client, server = hosts.connect(5000)
    hosts.rest(2.0)
    spoof(hosts, operation)
    hosts.rest(0.1)
    before = hosts.now
    stream(hosts, client, server)
    assert hosts.now - before < 0.1


def test_a_stream_recovers_when_an_idle_neighbour_was_claimed(hosts: TwoHosts) -> None:
    only_to_b(hosts)
    client, server = hosts.connect(5000)
    hosts.rest(60.0)  # STALE: the claim is believed until it is put to the test
    spoof(hosts, arp.REQUEST)
    hosts.rest(0.1)
    stream(hosts, client, server)
    entry = hosts.a.link.neighbours.entry(hosts.b.address)
    assert entry is not None
    assert entry.mac == hosts.b.device.config.mac


def test_tcp_progress_spares_questions(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    asked = []

    def count(frame: bytes) -> bool:
        asked.extend([frame] if frame[12:14] == b"\x08\x06" else [])
        return False

    hosts.to_b.lose = count
    for _ in range(100):
        stream(hosts, client, server)
        hosts.rest(1.0)
    entry = hosts.a.link.neighbours.entry(hosts.b.address)
    assert entry is not None
    assert entry.state in (Nud.REACHABLE, Nud.DELAY)
    assert [frame for frame in asked if frame[21] == arp.REQUEST] == []


def test_a_neighbour_over_ipv6_is_asked_itself(hosts: TwoHosts) -> None:
    a, b = hosts.a, hosts.b
    a.link.neighbours.learn(b.address6, b.device.config.mac, hosts.now)
    client = a.socket(10)
    client.start_connect(b.address6, 9, hosts.now)
    hosts.rest(6.0)
    entry = a.link.neighbours.entry(b.address6)
    assert entry is not None
    assert entry.state is Nud.REACHABLE


# --- sockets of dead applications


def test_an_orphan_gives_up_after_tcp_orphan_retries(hosts: TwoHosts) -> None:
    """102 s instead of 924: 8 retries of a peer that does not answer."""
    client, _ = hosts.connect(5000)
    hosts.to_b.lose = lambda frame: frame[12:14] == b"\x08\x00"
    hosts.a.send(client, b"x" * 1000)
    client.close(hosts.now)
    hosts.rest(90.0)
    assert client in hosts.a.stack.sockets()
    hosts.rest(30.0)
    assert client not in hosts.a.stack.sockets()


def test_an_orphan_with_a_zero_window_gives_up_as_well(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    while True:
        try:
            hosts.a.send(client, b"x" * (1 << 20))
        except BlockingIOError:
            break
        hosts.rest(0.05)
    hosts.to_b.lose = lambda frame: frame[12:14] == b"\x08\x00"
    client.close(hosts.now)
    hosts.rest(250.0)  # the timeout reaches its maximum of 120 s after 205 s
    assert client not in hosts.a.stack.sockets()


def test_a_socket_that_is_open_waits_for_tcp_retries2(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    hosts.to_b.lose = lambda frame: frame[12:14] == b"\x08\x00"
    hosts.a.send(client, b"x" * 1000)
    hosts.rest(900.0)
    assert client in hosts.a.stack.sockets()
    hosts.rest(60.0)
    assert client.pending_error == errno.ETIMEDOUT


def test_beyond_tcp_max_orphans_close_resets(hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_stack, "MAX_ORPHANS", 2)
    pairs = [hosts.connect(port) for port in (5000, 5001, 5002)]
    for client, _ in pairs:
        client.close(hosts.now)
    hosts.rest(0.1)
    states = [server.connection.state for _, server in pairs if server.connection is not None]
    assert states == [State.CLOSE_WAIT, State.CLOSE_WAIT, State.CLOSED]
    assert hosts.a.stack.tcp.mib.TcpExtTCPAbortOnMemory == 1
