"""Device memory from socket to socket: what an application sees, and where the bytes are."""

from __future__ import annotations

import errno
import random

import pytest

from nodes.machine.routes import totals
from nodes.sock.devmem_socket import DevmemSocket
from nodes.tcp.state import State
from nodes.uapi import socket as uapi
from tests.path.conftest import assert_nothing_left
from tests.path.two_hosts import DEVMEM_PORT, DEVMEM_QUEUE, STEP_S, Impairment, PathHost, TwoHosts

MIB = 1 << 20


def take(host: PathHost, sock: DevmemSocket, memory: memoryview, length: int = MIB) -> bytes:
    """Receive once, read the fragments where they lie, return the tokens."""
    got, cmsgs = host.recv_devmem(sock, length)
    data = b"".join(bytes(memory[c.frag_offset : c.frag_offset + c.frag_size]) for c in cmsgs)
    assert len(data) == got.count
    assert host.dontneed(sock, *(c.frag_token for c in cmsgs)) == len(cmsgs)
    return data


def available(sock: DevmemSocket) -> bool:
    return sock.recv_queue.length > 0


@pytest.mark.parametrize("niov_size", [4096, 65536])
@pytest.mark.parametrize(
    "impairment",
    [Impairment(), Impairment(loss=0.02), Impairment(reorder=0.1), Impairment(0.02, 0.05, 0.05)],
    ids=["clean", "loss", "reorder", "all"],
)
def test_every_byte_goes_from_dmabuf_to_dmabuf_and_none_through_host_memory(
    niov_size: int, impairment: Impairment
) -> None:
    seed = 20260 + niov_size
    two = TwoHosts(seed, impairment)
    content = random.Random(seed).randbytes(3 * MIB + 12345)
    _, tx_id = two.a.bind_tx(content)
    memory = two.b.bind_rx(16 * MIB, niov_size)
    client, server = two.connect(DEVMEM_PORT)
    client.options.zerocopy = True
    received = bytearray()
    sent = 0

    def pump() -> bool:
        nonlocal sent
        if sent < len(content) and client.connection and client.connection.send_room:
            sent += two.a.send_devmem(client, tx_id, (sent, len(content) - sent))
        if available(server):
            received.extend(take(two.b, server, memory.view))
        return len(received) == len(content)

    two.run_until(pump)
    assert bytes(received) == content
    for host in (two.a, two.b):
        t = totals(host.ledger.snapshot())
        assert t.host_dram_read_bytes + t.host_dram_write_bytes == t.header_host_dram_bytes
        assert t.pcie_root_bytes <= t.header_host_dram_bytes
    assert totals(two.b.ledger.snapshot()).device_write_bytes >= len(content)
    memory.close()
    assert_nothing_left(two)


@pytest.mark.parametrize("payload", [1, 8, 1447, 1448, 1449, 4095, 4096, 4097, 8192, 65160])
def test_header_and_payload_are_parted_exactly(hosts: TwoHosts, payload: int) -> None:
    content = random.Random(payload).randbytes(payload)
    _, tx_id = hosts.a.bind_tx(content)
    memory = hosts.b.bind_rx(4 * MIB)
    client, server = hosts.connect(DEVMEM_PORT)
    client.options.zerocopy = True
    assert hosts.a.send_devmem(client, tx_id, (0, payload)) == payload
    hosts.run_until(lambda: server.recv_queue.length == payload)
    got, cmsgs = hosts.b.recv_devmem(server, payload)
    assert got.count == payload
    assert sum(c.frag_size for c in cmsgs) == payload
    assert b"".join(bytes(memory.view[c.frag_offset : c.frag_offset + c.frag_size]) for c in cmsgs) == content
    memory.close()


def test_recv_without_msg_sock_devmem_fails_and_consumes_nothing(hosts: TwoHosts) -> None:
    memory = hosts.b.bind_rx(MIB)
    client, server = hosts.connect(DEVMEM_PORT)
    hosts.a.send(client, b"x" * 1000)
    hosts.run_until(lambda: available(server))
    for _ in range(2):
        with pytest.raises(OSError) as e:
            hosts.b.recv(server, 100)
        assert e.value.errno == errno.EFAULT
    assert take(hosts.b, server, memory.view) == b"x" * 1000
    memory.close()


def test_a_control_buffer_below_one_fragment_is_etoosmall_and_nothing_is_lost(hosts: TwoHosts) -> None:
    memory = hosts.b.bind_rx(MIB)
    client, server = hosts.connect(DEVMEM_PORT)
    hosts.a.send(client, b"y" * 9000)
    hosts.run_until(lambda: server.recv_queue.length == 9000)
    with pytest.raises(OSError) as e:
        hosts.b.recv_devmem(server, 9000, control_bytes=39)
    assert e.value.errno == uapi.ETOOSMALL
    assert len(server.user_frags) == 0
    got, cmsgs = hosts.b.recv_devmem(server, 9000, control_bytes=40)
    assert len(cmsgs) == 1
    assert got.count == cmsgs[0].frag_size < 9000
    assert len(take(hosts.b, server, memory.view)) == 9000 - got.count
    memory.close()


def test_a_fragment_split_over_two_calls_has_two_tokens_and_one_buffer(hosts: TwoHosts) -> None:
    memory = hosts.b.bind_rx(MIB)
    client, server = hosts.connect(DEVMEM_PORT)
    hosts.a.send(client, b"z" * 1000)
    hosts.run_until(lambda: available(server))
    _, first = hosts.b.recv_devmem(server, 400)
    _, second = hosts.b.recv_devmem(server, 1000)
    assert [c.frag_size for c in (*first, *second)] == [400, 600]
    assert second[0].frag_offset == first[0].frag_offset + 400
    assert first[0].frag_token != second[0].frag_token
    held = hosts.b.rx_binding.provider.total - hosts.b.rx_binding.provider.free
    assert hosts.b.dontneed(server, first[0].frag_token) == 1
    assert hosts.b.dontneed(server, first[0].frag_token) == 0
    assert hosts.b.rx_binding.provider.total - hosts.b.rx_binding.provider.free == held
    assert hosts.b.dontneed(server, second[0].frag_token) == 1
    memory.close()


def test_peek_gives_new_tokens_each_time_and_trunc_discards_without_any(hosts: TwoHosts) -> None:
    memory = hosts.b.bind_rx(MIB)
    client, server = hosts.connect(DEVMEM_PORT)
    hosts.a.send(client, b"p" * 500)
    hosts.run_until(lambda: available(server))
    tokens = [hosts.b.recv_devmem(server, 500, uapi.MSG_PEEK)[1][0].frag_token for _ in range(2)]
    assert tokens == [1, 2]
    assert hosts.b.recv(server, 500, uapi.MSG_TRUNC) == b""
    assert not available(server)
    assert hosts.b.dontneed(server, *tokens) == 2
    memory.close()


def test_one_call_never_mixes_device_and_host_memory(hosts: TwoHosts) -> None:
    memory = hosts.b.bind_rx(MIB)
    client, server = hosts.connect(DEVMEM_PORT)
    hosts.a.send(client, b"d" * 300)
    hosts.run_until(lambda: server.recv_queue.length == 300)
    hosts.b.device.steering.rules.clear()  # the live flow moves to a queue without a provider
    hosts.b.device.steering_changed()
    hosts.a.send(client, b"h" * 200)
    hosts.run_until(lambda: server.recv_queue.length == 500)
    assert take(hosts.b, server, memory.view) == b"d" * 300
    got, cmsgs = hosts.b.recv_devmem(server, 0)
    assert (got.count, cmsgs) == (0, [])
    assert hosts.b.recv(server, 1000, uapi.MSG_SOCK_DEVMEM) == b"h" * 200
    memory.close()


def test_tokens_not_returned_dry_the_pool_and_their_return_resumes_the_stream(hosts: TwoHosts) -> None:
    content = random.Random(5).randbytes(2 * MIB)
    _, tx_id = hosts.a.bind_tx(content)
    memory = hosts.b.bind_rx(512 << 10)
    client, server = hosts.connect(DEVMEM_PORT)
    client.options.zerocopy = True
    assert hosts.a.send_devmem(client, tx_id, (0, len(content))) == len(content)
    held: list[int] = []
    received = bytearray()

    def hoard() -> bool:
        if available(server):
            got, cmsgs = hosts.b.recv_devmem(server, MIB)
            for c in cmsgs:
                received.extend(memory.view[c.frag_offset : c.frag_offset + c.frag_size])
                held.append(c.frag_token)
            assert got.count
        return hosts.b.device.rx_queues[DEVMEM_QUEUE].counters.rx_hw_drop_overruns > 3

    hosts.run_until(hoard)
    assert hosts.b.device.rx_queues[DEVMEM_QUEUE].counters.rx_alloc_fail > 0
    sending = client.connection
    assert sending is not None
    hosts.run_until(lambda: sending.info().ca_state > 0)  # the sender has noticed, and slows down
    assert hosts.b.dontneed(server, *held) == len(held)

    def drain() -> bool:
        if available(server):
            received.extend(take(hosts.b, server, memory.view))
        return len(received) == len(content)

    hosts.run_until(drain)
    assert bytes(received) == content
    memory.close()


def test_zero_copy_sends_complete_when_they_are_acknowledged(hosts: TwoHosts) -> None:
    _, tx_id = hosts.a.bind_tx(bytes(64 << 10))
    memory = hosts.b.bind_rx(MIB)
    client, server = hosts.connect(DEVMEM_PORT)
    client.options.zerocopy = True
    for _ in range(3):
        hosts.a.send_devmem(client, tx_id, (0, 1000))
    assert client.errqueue.read() is None
    hosts.run_until(lambda: client.errqueue.completed == 3)
    event = client.errqueue.read()
    assert event is not None
    completion = event.extended_err
    assert (completion.ee_info, completion.ee_data) == (0, 2)
    assert completion.ee_origin == uapi.SO_EE_ORIGIN_ZEROCOPY
    assert client.errqueue.read() is None
    assert available(server)
    memory.close()


def test_sending_from_a_dmabuf_is_refused_as_the_kernel_does(hosts: TwoHosts) -> None:
    _, tx_id = hosts.a.bind_tx(bytes(8192))
    memory = hosts.b.bind_rx(MIB)
    rx_id = hosts.b.rx_binding.dmabuf_id
    client, server = hosts.connect(DEVMEM_PORT)

    def refused(host: PathHost, sock: DevmemSocket, dmabuf_id: int, *iov: tuple[int, int]) -> int | None:
        with pytest.raises(OSError) as e:
            host.send_devmem(sock, dmabuf_id, *iov)
        return e.value.errno

    assert refused(hosts.a, client, tx_id, (0, 10)) == errno.EINVAL  # no SO_ZEROCOPY
    client.options.zerocopy = server.options.zerocopy = True
    assert refused(hosts.a, client, tx_id + 1, (0, 10)) == errno.EINVAL
    assert refused(hosts.b, server, rx_id, (0, 10)) == errno.EINVAL
    assert refused(hosts.a, client, tx_id, (8192, 1)) == errno.EFAULT
    assert refused(hosts.a, client, tx_id, (8000, 193)) == errno.EFAULT
    assert refused(hosts.a, client, tx_id, (0, 100), (8192, 1)) == errno.EFAULT  # the skb is undone
    assert client.errqueue.completed == 0
    memory.close()


def test_unbound_memory_stays_until_all_tokens_and_packets_are_back(hosts: TwoHosts) -> None:
    content = random.Random(9).randbytes(60_000)
    _, tx_id = hosts.a.bind_tx(content)
    memory = hosts.b.bind_rx(MIB)
    client, server = hosts.connect(DEVMEM_PORT)
    client.options.zerocopy = True
    hosts.a.send_devmem(client, tx_id, (0, len(content)))
    hosts.a.netdev.unbind(hosts.a.netdev.bindings[0])  # in flight: sent all the same
    hosts.run_until(lambda: server.recv_queue.length == len(content))
    _, cmsgs = hosts.b.recv_devmem(server, MIB)
    hosts.run_until(lambda: hosts.a.netdev.bindings == ())
    hosts.b.netdev.unbind(hosts.b.rx_binding)
    assert len(hosts.b.netdev.bindings) == 1
    assert b"".join(bytes(memory.view[c.frag_offset : c.frag_offset + c.frag_size]) for c in cmsgs) == content
    assert hosts.b.dontneed(server, *(c.frag_token for c in cmsgs)) == len(cmsgs)
    assert not hosts.b.netdev.bindings
    memory.close()


def test_closing_a_socket_returns_its_tokens(hosts: TwoHosts) -> None:
    memory = hosts.b.bind_rx(MIB)
    client, server = hosts.connect(DEVMEM_PORT)
    hosts.a.send(client, b"t" * 20_000)
    hosts.run_until(lambda: server.recv_queue.length == 20_000)
    hosts.b.recv_devmem(server, 10_000)
    assert len(server.user_frags) > 0
    pool = hosts.b.device.rx_queues[DEVMEM_QUEUE].pool
    resting_before = pool.stats.recycle_ring
    server.close(hosts.now)
    assert len(server.user_frags) == 0
    assert pool.stats.recycle_ring > resting_before
    memory.close()


def test_a_queue_restart_loses_only_packets_of_that_queue(hosts: TwoHosts) -> None:
    """Binding while a flow of another queue runs: its bytes are all there."""
    client, server = hosts.connect(5001)
    content = random.Random(11).randbytes(300_000)
    sent = hosts.a.send(client, content)
    hosts.step()
    memory = hosts.b.bind_rx(MIB)
    received = bytearray()

    def pump() -> bool:
        if available(server):
            received.extend(hosts.b.recv(server, MIB))
        return len(received) == sent

    hosts.run_until(pump)
    assert bytes(received) == content
    memory.close()


def test_data_and_a_reset_before_the_accept_leave_no_net_iov_behind(hosts: TwoHosts) -> None:
    memory = hosts.b.bind_rx(MIB)
    hosts.connect(5000)  # the hosts know each other's MACs
    listener = hosts.b.socket()
    listener.bind(0, DEVMEM_PORT)
    listener.listen(8)
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, DEVMEM_PORT, hosts.now)
    for host in (hosts.a, hosts.b, hosts.a):  # SYN, SYN-ACK, ACK
        host.turn()
        hosts.now += STEP_S
    hosts.a.send(client, b"x" * 5000)
    hosts.a.turn()
    client.close(hosts.now, reset=True)
    hosts.a.turn()
    hosts.now += STEP_S
    hosts.b.turn()  # the ACK, the data and the RST in one batch
    assert hosts.b.device.rx_queues[DEVMEM_QUEUE].counters.rx_packets >= 3
    (child,) = listener.accept_queue  # as in Linux: the application that accepts it learns of the reset
    assert (child.state, child.recv_queue.length > 0) == (State.CLOSED, True)
    listener.close(hosts.now)
    memory.close()


def test_shutting_down_for_receiving_ends_the_wait_for_more(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    with pytest.raises(BlockingIOError):
        hosts.a.recv(client, 10)
    client.shutdown(0, hosts.now)
    assert hosts.a.recv(client, 10) == b""
