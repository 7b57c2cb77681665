"""What a connection leaves behind in TIME-WAIT: enough for RFC 9293, RFC 6191 and 1337, and little of it."""

from __future__ import annotations

import errno
import gc
import tracemalloc
from dataclasses import dataclass
from functools import partial

import pytest

from nodes.sock import timewait
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.inet_diag import sockets
from nodes.tcp.state import State
from nodes.tcp.time_wait import TIME_WAIT_S
from nodes.wire import ethernet, icmp, ip, ipv4, tcp
from nodes.wire.icmp import IcmpError
from tests.path.two_hosts import Frame, TwoHosts

PORT = 5000
FIN, RST, ACK = tcp.FIN, tcp.RST, tcp.ACK


@dataclass
class Over:
    """A connection that b, the server, closed first; `fin` is the peer's last frame."""

    client: DevmemSocket
    server: DevmemSocket
    fin: bytes


def tcp_of(frame: bytes) -> tcp.TcpHeader:
    return tcp.parse(frame, ethernet.HEADER_BYTES + ipv4.HEADER_BYTES)[0]


def heard_the_end(sock: DevmemSocket) -> bool:
    return sock.connection is not None and sock.connection.fin_received


def end(hosts: TwoHosts, closed: bool = True, port: int = PORT) -> Over:
    """Runs until b waits. Without `closed` b's application only shuts down for sending."""
    client, server = hosts.connect(port)
    frames: list[bytes] = []

    def note(frame: bytes) -> bool:
        frames.append(frame)
        return False

    hosts.to_b.lose = note
    if closed:
        server.close(hosts.now)
    else:
        server.shutdown(1, hosts.now)
    hosts.run_until(lambda: heard_the_end(client), 5)
    if not closed:
        hosts.a.send(client, b"last words")
    client.close(hosts.now)
    hosts.run_until(lambda: (hosts.b.address, port, *client.local) in hosts.b.stack.timewait, 5)
    hosts.run_until(lambda: not hosts.a.stack.sockets(), 5)
    hosts.to_b.lose = lambda _: False
    return Over(client, server, next(f for f in reversed(frames) if tcp_of(f).flags & FIN))


def inject(hosts: TwoHosts, frame: bytes) -> list[tcp.TcpHeader]:
    """b gets `frame`; what it answers (and a does not see)."""
    answers: list[tcp.TcpHeader] = []

    def catch(answer: bytes) -> bool:
        answers.append(tcp_of(answer))
        return True

    hosts.to_a.lose = catch
    hosts.to_b.frames.append(Frame(frame, 0, hosts.now))
    hosts.b.turn()
    hosts.to_a.lose = lambda _: False
    return answers


def again(fin: bytes, flags: int) -> bytes:
    """The peer's last frame with other flags; without a checksum, which the link vouches for."""
    at = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES + 13
    return fin[:at] + bytes([flags]) + fin[at + 1 :]


def test_the_socket_and_its_connection_are_gone(hosts: TwoHosts) -> None:
    over = end(hosts)
    assert over.server.connection is not None
    gone = id(over.server), type(over.server)
    hosts.b.sockets.remove(over.server)
    hosts.b.stack.take_changed()  # as the endpoint does
    del over
    gc.collect()
    assert gone not in [(id(each), type(each)) for each in gc.get_objects()]


def test_what_waits_takes_about_a_kilobyte(hosts: TwoHosts) -> None:
    listener = hosts.b.socket()
    listener.bind(0, PORT)
    listener.listen(8)

    def make(count: int) -> None:
        for _ in range(count):
            client = hosts.a.socket()
            client.start_connect(hosts.b.address, PORT, hosts.now)
            hosts.run_until(lambda: bool(listener.accept_queue))
            listener.accept().close(hosts.now)
            hosts.run_until(partial(heard_the_end, client))
            client.close(hosts.now)
            hosts.run_until(lambda: not hosts.a.stack.sockets())
        for host in (hosts.a, hosts.b):
            host.stack.take_changed()  # as the endpoint does
        hosts.a.sockets.clear()
        gc.collect()

    make(5)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        make(40)
        assert len([*hosts.b.stack.timewait]) == 45
        each = (tracemalloc.get_traced_memory()[0] - before) / 40
        assert each < 1500  # what the client's side left included
    finally:
        tracemalloc.stop()


def test_an_application_that_only_shut_down_reads_the_rest_and_then_the_end(hosts: TwoHosts) -> None:
    over = end(hosts, closed=False)
    assert over.server.connection is not None
    assert over.server.connection.state is State.CLOSED  # as Linux says of such a socket
    assert hosts.b.recv(over.server, 100) == b"last words"
    assert hosts.b.recv(over.server, 100) == b""
    with pytest.raises(BrokenPipeError):
        hosts.b.send(over.server, b"more")
    with pytest.raises(OSError) as e:
        over.server.shutdown(1, hosts.now)
    assert e.value.errno == errno.ENOTCONN
    assert over.server.take_error() == 0


def test_a_fin_again_is_acknowledged_and_begins_the_minute_anew(hosts: TwoHosts) -> None:
    over = end(hosts)
    hosts.rest(50)
    (ack,) = inject(hosts, over.fin)
    assert ack.flags == ACK
    assert ack.ack == tcp_of(over.fin).seq + 1
    hosts.rest(50)
    assert [*hosts.b.stack.timewait] != []
    hosts.rest(11)
    assert [*hosts.b.stack.timewait] == []


def test_it_ends_in_the_order_of_the_last_segments(hosts: TwoHosts) -> None:
    first = end(hosts)
    hosts.now += 10
    second = end(hosts, port=PORT + 1)
    hosts.now += 40
    inject(hosts, first.fin)
    flows = [*hosts.b.stack.timewait]
    assert [flow.remote_port for flow in flows] == [second.client.local[1], first.client.local[1]]
    hosts.now += 21
    hosts.b.turn()
    assert [*hosts.b.stack.timewait] == flows[1:]


def test_an_exact_reset_ends_it_and_another_does_not(hosts: TwoHosts) -> None:
    """As Linux without tcp_rfc1337."""
    over = end(hosts)
    assert inject(hosts, again(over.fin, RST)) == []
    assert [*hosts.b.stack.timewait] != []  # it has the FIN's number, which lies before the window
    beyond = bytearray(again(over.fin, RST))
    at = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES + 4
    beyond[at : at + 4] = (tcp_of(over.fin).seq + 1 & 0xFFFFFFFF).to_bytes(4, "big")
    assert inject(hosts, bytes(beyond)) == []
    assert [*hosts.b.stack.timewait] == []


def test_time_wait_holds_the_port_of_a_listener_that_did_not_ask_for_reuse(hosts: TwoHosts) -> None:
    over = end(hosts)
    mine = hosts.b.socket()
    mine.options.reuse_address = True
    hosts.b.sockets[0].close(hosts.now)
    with pytest.raises(OSError, match=str(PORT)) as e:
        mine.bind(0, PORT)
    assert e.value.errno == errno.EADDRINUSE
    assert [*hosts.b.stack.timewait] == [(hosts.b.address, PORT, *over.client.local)]


def test_the_same_connection_is_refused_from_here(hosts: TwoHosts) -> None:
    """The port may be had, but not the connection (EADDRNOTAVAIL, as __inet_check_established has it)."""
    listener = hosts.b.socket()
    listener.bind(0, PORT)
    listener.listen(1)
    first, second = (hosts.a.socket() for _ in range(2))
    for client in (first, second):
        client.options.reuse_address = True
        client.bind(0, 4000)
    first.start_connect(hosts.b.address, PORT, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue), 5)
    server = listener.accept()
    first.close(hosts.now)
    hosts.run_until(lambda: heard_the_end(server), 5)
    server.close(hosts.now)
    hosts.run_until(lambda: [*hosts.a.stack.timewait] == [(hosts.a.address, 4000, *listener_end(hosts))], 5)
    with pytest.raises(OSError, match="4000") as e:
        second.start_connect(hosts.b.address, PORT, hosts.now)
    assert e.value.errno == errno.EADDRNOTAVAIL
    hosts.rest(61)
    second.start_connect(hosts.b.address, PORT, hosts.now)


def listener_end(hosts: TwoHosts) -> tuple[int, int]:
    return hosts.b.address, PORT


def syn_of(over: Over) -> bytes:
    """A SYN that might open the connection again: above the old numbers."""
    frame = bytearray(again(over.fin, tcp.SYN))
    at = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES + 4
    frame[at : at + 4] = (tcp_of(over.fin).seq + 100_000 & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(frame)


def test_a_syn_to_a_port_without_listener_is_answered_and_ends_nothing(hosts: TwoHosts) -> None:
    """An ACK, as of a SYN to any living connection, and no RST."""
    over = end(hosts)
    hosts.b.sockets[0].close(hosts.now)
    (answer,) = inject(hosts, syn_of(over))
    assert answer.flags == ACK
    assert answer.ack == tcp_of(over.fin).seq + 1 & 0xFFFFFFFF
    assert [*hosts.b.stack.timewait] == [(hosts.b.address, PORT, *over.client.local)]


def test_a_syn_that_takes_its_place_gets_no_cookie(hosts: TwoHosts) -> None:
    """However many handshakes there are: a peer that was here before is no flood (tcp_conn_request)."""
    over = end(hosts)
    hosts.b.sockets[0].backlog = 0
    (answer,) = inject(hosts, syn_of(over))
    assert answer.flags == tcp.SYN | ACK
    assert hosts.b.stack.inet.mib.TcpExtSyncookiesSent == 0
    assert len([sock for sock in hosts.b.stack.sockets() if sock.in_handshake]) == 1


def test_an_icmp_error_about_it_belongs_to_no_socket_and_is_not_counted(hosts: TwoHosts) -> None:
    over = end(hosts)
    b = hosts.b
    quote = ipv4.emit(b.address, hosts.a.address, ip.TCP, 20) + tcp.emit(
        tcp.TcpHeader(PORT, over.client.local[1], tcp_of(over.fin).ack, 0, ACK, 0)
    )
    message = icmp.emit_error(IcmpError(icmp.UNREACHABLE, 1, 0, quote))
    header = ipv4.emit(hosts.a.address, b.address, ip.ICMP, len(message))
    ends = b.device.config.mac, hosts.a.device.config.mac
    assert inject(hosts, ethernet.emit(*ends, ethernet.TYPE_IPV4) + header + message) == []
    mib = b.stack.inet.mib
    assert (mib.IcmpInMsgs, mib.IcmpInErrors, mib.TcpExtOutOfWindowIcmps) == (1, 0, 0)
    assert [*b.stack.timewait] == [(b.address, PORT, *over.client.local)]


def test_its_minute_begins_though_the_wire_takes_no_packet(hosts: TwoHosts) -> None:
    """The last ACK waits for the wire; TIME-WAIT does not."""
    client, server = hosts.connect(PORT)
    server.close(hosts.now)
    hosts.run_until(lambda: heard_the_end(client), 5)
    client.close(hosts.now)
    b = hosts.b
    b.device.tx.ring_size = 0  # it takes no packet
    hosts.run_until(lambda: (b.address, PORT, *client.local) in b.stack.timewait, 5)
    assert b.stack.timewait.next_timeout() == hosts.now + TIME_WAIT_S
    b.device.tx.ring_size = 1
    hosts.run_until(lambda: not hosts.a.stack.sockets(), 5)


def test_ss_lists_it(hosts: TwoHosts) -> None:
    over = end(hosts)
    (row,) = [row for row in sockets(hosts.b.stack, 0).rows if row.state != "LISTEN"]
    assert (row.state, row.recv_q, row.send_q, row.info) == ("TIME-WAIT", 0, 0, {})
    assert (row.local, row.remote) == (("10.0.1.2", PORT), ("10.0.1.1", over.client.local[1]))


def test_beyond_the_bound_a_connection_just_ends(hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timewait, "BUCKETS_MAX", 0)
    client, server = hosts.connect(PORT)
    server.close(hosts.now)
    hosts.run_until(lambda: heard_the_end(client), 5)
    client.close(hosts.now)
    hosts.run_until(lambda: len(hosts.b.stack.sockets()) == 1, 5)
    assert hosts.b.stack.tcp.mib.TcpExtTCPTimeWaitOverflow == 1
    assert [*hosts.b.stack.timewait] == []
