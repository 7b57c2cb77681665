"""SO_RCVBUF, tcp_rmem and TCP_INFO of the receive window, through a whole host."""

from __future__ import annotations

import socket
import struct

import pytest

from nodes.host_config import tcp_mem
from nodes.option import OptionError
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.recvmsg import RecvCall, RecvRequest
from nodes.sock.sockopt import get_option, set_option
from nodes.uapi import socket as uapi
from tests.path.two_hosts import STEP_S, TwoHosts


def rcvbuf(sock: object) -> int:
    (value,) = struct.unpack("=i", get_option(sock, socket.SOL_SOCKET, uapi.SO_RCVBUF))  # type: ignore[arg-type]
    return int(value)


def test_so_rcvbuf_tells_what_the_buffer_has_grown_to(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    assert (rcvbuf(hosts.b.socket()), rcvbuf(server)) == (131072, 131072)
    left = 2 << 20
    while left:
        if client.connection is not None and client.connection.send_room and left:
            left -= hosts.a.send(client, bytes(min(left, 256 << 10)))
        hosts.step()
        if server.recv_queue.length:
            hosts.b.recv(server, 1 << 20)
    assert rcvbuf(server) > 131072
    info = get_option(server, socket.IPPROTO_TCP, socket.TCP_INFO, 500, hosts.now)
    rcv_rtt, rcv_space = struct.unpack_from("=2I", info, 92)
    assert 0 < rcv_rtt <= 10_000
    assert rcv_space > 14480


def test_so_rcvbuf_is_doubled_and_locked(hosts: TwoHosts) -> None:
    sock = hosts.b.socket()
    set_option(sock, socket.SOL_SOCKET, uapi.SO_RCVBUF, struct.pack("=i", 20_000))
    assert rcvbuf(sock) == 40_000


def filled(hosts: TwoHosts) -> tuple[DevmemSocket, DevmemSocket]:
    """A connection whose receive window has stopped growing, at about 110,000 bytes, and whose ACKs are
    delayed."""
    listener, client = hosts.b.socket(), hosts.a.socket()
    listener.bind(0, 5000)
    set_option(listener, socket.SOL_SOCKET, uapi.SO_RCVBUF, struct.pack("=i", 70_000))
    listener.listen(1)
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    server = listener.accept()
    hosts.b.sockets.append(server)
    for _ in range(30):
        hosts.a.send(client, bytes(20_000))
        hosts.run_until(lambda: server.recv_queue.length == 20_000)
        hosts.b.recv(server, 20_000)
    hosts.rest(0.1)
    return client, server


def test_a_reader_that_waits_for_all_delays_no_acknowledgement(hosts: TwoHosts) -> None:
    """Linux copies meanwhile what has arrived."""
    client, server = filled(hosts)
    into = bytearray(90_000)
    call = RecvCall(server, RecvRequest(len(into), 0, uapi.MSG_WAITALL, memoryview(into)))

    def received() -> bool:
        try:
            return call.attempt(hosts.now).count == len(into)
        except BlockingIOError:
            hosts.b.turn()  # what the attempt made due
            return False

    hosts.a.send(client, bytes(40_000))
    hosts.run_until(lambda: received() or all_acknowledged(client), 0.01)
    assert server.recv_queue.length == 40_000
    hosts.a.send(client, bytes(50_000))
    hosts.run_until(received, 0.01)


def test_a_reader_that_waits_makes_an_acknowledgement_due_once(hosts: TwoHosts) -> None:
    """Else the calls that a changed socket lets go on would change it for ever."""
    client, server = filled(hosts)
    into = bytearray(90_000)
    call = RecvCall(server, RecvRequest(len(into), 0, uapi.MSG_WAITALL, memoryview(into)))
    hosts.a.send(client, bytes(40_000))
    hosts.run_until(lambda: server.recv_queue.length == 40_000)
    changed = hosts.b.stack.changed
    for found in (True, False):
        changed.clear()
        with pytest.raises(BlockingIOError):
            call.attempt(hosts.now)
        assert (server in changed) is found
    hosts.run_until(lambda: all_acknowledged(client), 0.01)


@pytest.mark.parametrize(("lowat", "soon"), [(1, False), (40_000, True)])
def test_with_so_rcvlowat_no_acknowledgement_waits_for_a_reader(
    hosts: TwoHosts, lowat: int, soon: bool
) -> None:
    client, server = filled(hosts)
    set_option(server, socket.SOL_SOCKET, uapi.SO_RCVLOWAT, struct.pack("=i", lowat))
    begun = hosts.now
    hosts.a.send(client, bytes(30_000))
    hosts.run_until(lambda: all_acknowledged(client))
    assert (hosts.now - begun < 0.01) is soon


def all_acknowledged(sock: DevmemSocket) -> bool:
    return sock.connection is not None and sock.connection.bytes_acked == sock.bytes_sent


@pytest.mark.parametrize("text", ["1,2,3", "4096,8192", "8192,4096,1M", "4096,131072,2G"])
def test_tcp_rmem_is_three_ascending_sizes(text: str) -> None:
    with pytest.raises(OptionError, match="is not three ascending sizes"):
        tcp_mem(text)
    assert tcp_mem("4096,131072,6M") == (4096, 131072, 6 << 20)


def test_an_acknowledgement_that_is_due_attempts_no_waiting_reader_again(hosts: TwoHosts) -> None:
    """It would ask for the same ACK each time, and the host would never come to send it."""
    client, server = hosts.connect(5000)
    hosts.rest(0.1)
    hosts.a.send(client, bytes(2896))
    hosts.a.turn()
    hosts.now += STEP_S
    hosts.b.host.receive(hosts.now)  # a super-segment: an ACK is due once the reader has had its turn
    hosts.b.stack.take_changed()
    waiting = RecvCall(server, RecvRequest(4000, 0, uapi.MSG_WAITALL, memoryview(bytearray(4000))))
    with pytest.raises(BlockingIOError):
        waiting.attempt(hosts.now)
    assert server not in hosts.b.stack.changed
    sent = hosts.to_a.carried
    hosts.b.host.transmit(hosts.now)
    assert hosts.to_a.carried == sent + 1


def test_the_acknowledgement_of_a_wire_packet_waits_for_no_batch_and_no_reader(hosts: TwoHosts) -> None:
    """As from Linux's softirq."""
    client, _ = hosts.connect(5000)
    hosts.rest(0.1)
    for _ in range(3):
        hosts.a.send(client, bytes(1448))
        hosts.a.turn()
    hosts.now += STEP_S
    waiting: list[int] = []  # frames not yet received when an ACK left

    def note(_: bytes) -> bool:
        waiting.append(len(hosts.to_b.frames))
        return False

    hosts.to_a.lose = note
    hosts.b.host.receive(hosts.now)
    assert waiting == [2, 1, 0]


@pytest.mark.parametrize(("first", "share"), [(1448, 74), (7240, 203)])
def test_the_first_full_segment_tells_the_payloads_share_of_the_buffer(
    hosts: TwoHosts, first: int, share: int
) -> None:
    """So many bytes wait for a reader that does not come: of each 256 bytes of the buffer, `share`."""
    listener, client = hosts.b.socket(), hosts.a.socket()
    set_option(listener, socket.SOL_SOCKET, uapi.SO_RCVBUF, struct.pack("=i", 1 << 20))
    listener.bind(0, 5000)
    listener.listen(1)
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    server = listener.accept()
    hosts.b.sockets.append(server)
    hosts.a.send(client, b"small")  # tells nothing
    hosts.rest(0.1)
    hosts.a.send(client, bytes(first))
    hosts.rest(0.1)
    assert server.connection is not None
    assert server.connection.tcb.receiver.buffer.scaling_ratio == share
    assert client.connection is not None
    for _ in range(200):
        if client.connection.send_room > 0:
            hosts.a.send(client, bytes(min(client.connection.send_room, 200_000)))
        hosts.rest(0.01)
    full = (2 << 20) * share >> 8
    assert abs(server.recv_queue.length - full) < 1 << 16
    assert server.connection.tcb.receiver.buffer.scaling_ratio == share
