"""Segments of one poll batch behind the one that ends their connection: they are answered as later ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from nodes.sock.devmem_socket import DevmemSocket
from nodes.tcp.state import State
from nodes.wire import ethernet, icmp, ip, ipv4, tcp
from nodes.wire.icmp import IcmpError
from nodes.wire.tcp import ACK, FIN, RST, SYN, TcpHeader
from tests.path.two_hosts import Frame, TwoHosts

PORT = 5000
STRANGER_PORT = 4000


@dataclass
class Peer:
    """b's peer by hand: it has a's address, and sees what b answers."""

    hosts: TwoHosts
    answers: list[TcpHeader]

    def batch(self, *headers: TcpHeader, data: bytes = b"") -> list[TcpHeader]:
        """b finds these in one poll, the last with `data`; what it answers."""
        for header in headers:
            self.put(header, data if header is headers[-1] else b"")
        self.answers.clear()
        self.hosts.b.turn()
        return [*self.answers]

    def put(self, header: TcpHeader, data: bytes) -> None:
        hosts = self.hosts
        l4 = tcp.emit(header) + data
        packet = ipv4.emit(hosts.a.address, hosts.b.address, ip.TCP, len(l4)) + l4
        macs = hosts.b.device.config.mac, hosts.a.device.config.mac
        frame = ethernet.emit(*macs, ethernet.TYPE_IPV4) + packet
        hosts.to_b.frames.append(Frame(frame, 0, hosts.now))

    def put_error(self, error: IcmpError) -> None:
        hosts = self.hosts
        message = icmp.emit_error(error)
        packet = ipv4.emit(hosts.a.address, hosts.b.address, ip.ICMP, len(message)) + message
        macs = hosts.b.device.config.mac, hosts.a.device.config.mac
        frame = ethernet.emit(*macs, ethernet.TYPE_IPV4) + packet
        hosts.to_b.frames.append(Frame(frame, 0, hosts.now))

    def open(self) -> TcpHeader:
        """A connection; returns the header of the peer's next segment, an ACK."""
        syn = TcpHeader(STRANGER_PORT, PORT, 1000, 0, SYN, 65535, mss=1460)
        (syn_ack,) = self.batch(syn)
        ack = TcpHeader(STRANGER_PORT, PORT, 1001, syn_ack.seq + 1, ACK, 65535)
        assert self.batch(ack) == []
        return ack


@pytest.fixture
def peer(hosts: TwoHosts) -> Iterator[Peer]:
    hosts.b.link.neighbours.learn(hosts.a.address, hosts.a.device.config.mac, hosts.now)
    answers: list[TcpHeader] = []

    def catch(frame: bytes) -> bool:
        if frame[23] == ip.TCP:
            answers.append(tcp.parse(frame, ethernet.HEADER_BYTES + ipv4.HEADER_BYTES)[0])
        return True

    hosts.to_a.lose = catch
    yield Peer(hosts, answers)
    hosts.to_a.lose = lambda _: False


@pytest.fixture
def listener(hosts: TwoHosts) -> DevmemSocket:
    sock = hosts.b.socket()
    sock.bind(0, PORT)
    sock.listen(8)
    return sock


@pytest.mark.usefixtures("listener")
def test_a_syn_behind_a_reset_opens_the_connection_again(peer: Peer) -> None:
    ack = peer.open()
    syn = TcpHeader(STRANGER_PORT, PORT, 900_000, 0, SYN, 65535, mss=1460)
    (answer,) = peer.batch(replace(ack, flags=RST), syn)
    assert (answer.flags, answer.ack) == (SYN | ACK, 900_001)
    next_ack = replace(syn, seq=900_001, ack=answer.seq + 1, flags=ACK)
    assert peer.batch(next_ack) == []
    assert [sock.state for sock in peer.hosts.b.stack.sockets() if not sock.listening] == [State.ESTABLISHED]


@pytest.mark.usefixtures("listener")
def test_an_ack_behind_a_reset_is_reset(peer: Peer) -> None:
    ack = peer.open()
    (answer,) = peer.batch(replace(ack, flags=RST | ACK), ack)
    assert (answer.flags, answer.seq) == (RST, ack.ack)


def test_data_behind_the_last_ack_is_reset(peer: Peer, listener: DevmemSocket) -> None:
    ack = peer.open()
    peer.batch(replace(ack, flags=FIN | ACK))
    server = listener.accept()
    server.close(peer.hosts.now)
    (fin,) = peer.batch()
    assert fin.flags == FIN | ACK
    last = replace(ack, seq=ack.seq + 1, ack=fin.seq + 1)
    (answer,) = peer.batch(last, last, data=b"late")
    assert (answer.flags, answer.seq) == (RST, last.ack)


def test_a_syn_behind_the_last_fin_takes_the_place_of_time_wait(peer: Peer, listener: DevmemSocket) -> None:
    ack = peer.open()
    server = listener.accept()
    server.close(peer.hosts.now)
    (fin,) = peer.batch()
    last = replace(ack, flags=FIN | ACK, ack=fin.seq + 1)
    syn = TcpHeader(STRANGER_PORT, PORT, 900_000, 0, SYN, 65535, mss=1460)
    acked, answer = peer.batch(last, syn)
    assert (acked.flags, acked.ack) == (ACK, last.seq + 1)
    assert (answer.flags, answer.ack) == (SYN | ACK, 900_001)
    assert [*peer.hosts.b.stack.timewait] == []


def test_data_in_front_of_a_reset_can_still_be_read(peer: Peer, listener: DevmemSocket) -> None:
    ack = peer.open()
    server = listener.accept()
    peer.hosts.b.sockets.append(server)
    peer.put(ack, b"abc")
    _, answer = peer.batch(replace(ack, seq=ack.seq + 3, flags=RST), replace(ack, seq=ack.seq + 3))
    assert answer.flags == RST
    assert server.recv_queue.length == 3
    assert server.connection is not None
    assert server.connection.state is State.CLOSED


def test_a_segment_behind_an_icmp_error_that_ended_the_connection_is_reset(peer: Peer) -> None:
    hosts = peer.hosts
    client = hosts.b.socket()
    client.start_connect(hosts.a.address, PORT, hosts.now)
    (syn,) = peer.batch()
    l4 = tcp.emit(syn)
    packet = ipv4.emit(hosts.b.address, hosts.a.address, ip.TCP, len(l4)) + l4
    peer.put_error(IcmpError(icmp.UNREACHABLE, 3, 0, packet))
    syn_ack = TcpHeader(PORT, syn.src_port, 77, syn.seq + 1, SYN | ACK, 65535)
    (answer,) = peer.batch(syn_ack)
    assert (answer.flags, answer.seq) == (RST, syn.seq + 1)


def test_a_reset_of_a_handshake_lets_the_next_syn_in(peer: Peer, listener: DevmemSocket) -> None:
    syn = TcpHeader(STRANGER_PORT, PORT, 1000, 0, SYN, 65535, mss=1460)
    peer.batch(syn)
    (answer,) = peer.batch(replace(syn, seq=1001, flags=RST, mss=None), replace(syn, seq=5000))
    assert (answer.flags, answer.ack) == (SYN | ACK, 5001)
    assert listener.syn_queue_length == 1


def test_a_connection_that_ended_is_gone_though_the_wire_takes_no_packet(
    peer: Peer, listener: DevmemSocket
) -> None:
    """Closed by the application while the device is stopped: the next batch meets no connection."""
    ack = peer.open()
    server = listener.accept()
    peer.hosts.b.device.tx.ring_size = 0
    server.options.linger = True
    server.close(peer.hosts.now)
    (reset,) = peer.batch()
    assert reset.flags & RST
    (answer,) = peer.batch(ack)
    assert answer.flags == RST
    peer.hosts.b.device.tx.ring_size = 1


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("flags", [SYN | FIN, SYN | RST, SYN | FIN | RST, FIN, 0])
def test_a_listener_drops_what_is_neither_a_syn_nor_an_ack(peer: Peer, flags: int) -> None:
    assert peer.batch(TcpHeader(STRANGER_PORT, PORT, 1000, 0, flags, 65535)) == []
    assert [sock for sock in peer.hosts.b.stack.sockets() if not sock.listening] == []
    assert peer.hosts.b.stack.tcp.mib.TcpOutRsts == 0


@pytest.mark.usefixtures("listener")
def test_a_syn_with_fin_ends_time_wait_and_opens_nothing(peer: Peer, listener: DevmemSocket) -> None:
    """As in Linux: TIME-WAIT lets the SYN through, and the listener drops it."""
    ack = peer.open()
    listener.accept().close(peer.hosts.now)
    (fin,) = peer.batch()
    peer.batch(replace(ack, flags=FIN | ACK, ack=fin.seq + 1))
    assert len([*peer.hosts.b.stack.timewait]) == 1
    assert peer.batch(TcpHeader(STRANGER_PORT, PORT, 900_000, 0, SYN | FIN, 65535)) == []
    assert [*peer.hosts.b.stack.timewait] == []
