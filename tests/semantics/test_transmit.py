"""Table E: what sendmsg does with a dma-buf, one test a rule."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Sequence
from socket import AF_INET

import pytest

from nodes.client.memory import MemoryRegistry
from nodes.client.socket import Socket
from nodes.client.socket_calls import SocketCalls
from nodes.kernel_version import VERSIONS
from nodes.machine import dmabuf
from nodes.machine.cpu import UnreadableMemory
from nodes.nic.wire_port import TxOffload
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.errqueue import CODE_COPIED, NOTIFIERS_MAX
from nodes.sock.sendmsg import SendRequest, sendmsg, sent
from nodes.sock.sockopt import set_option
from nodes.uapi import socket as uapi
from nodes.uapi.netlink import BindTx, FeaturesSet
from nodes.uapi.socket import MSG_ZEROCOPY
from nodes.uapi.syscalls import Done, OpenSocket
from tests.client.simulated import SimulatedRuntime
from tests.path.conftest import assert_nothing_left
from tests.path.two_hosts import DEVMEM_PORT, CableEnd, DeviceKind, Impairment, TwoHosts
from tests.semantics.refusal import errno_of

PAGE = 4096
SIZE = 64 * PAGE
SKB = 45 * 1448  # payload bytes of a full skb at an MSS of 1448


class Sender:
    """A connected socket of host a with SO_ZEROCOPY and a dma-buf of SIZE bytes bound for sending."""

    def __init__(self, hosts: TwoHosts) -> None:
        self.hosts = hosts
        self.content = random.Random(1).randbytes(SIZE)
        _, self.id = hosts.a.bind_tx(self.content)
        self.client, self.server = hosts.connect(DEVMEM_PORT)
        self.client.options.zerocopy = True

    def send(self, *iov: tuple[int, int], dmabuf_id: int | None = None, flags: int = MSG_ZEROCOPY) -> int:
        chosen = self.id if dmabuf_id is None else dmabuf_id
        return self._send(SendRequest(flags, memoryview(b""), chosen, iov))

    def send_bytes(self, data: bytes, flags: int = MSG_ZEROCOPY) -> int:
        return self._send(SendRequest(flags, memoryview(data)))

    def _send(self, request: SendRequest) -> int:
        taken = sendmsg(self.client, request, 0, self.hosts.a.netdev.tx_binding, self.hosts.now)
        sent(self.client, request, taken)
        return taken

    def received(self, count: int) -> bytes:
        """The next `count` bytes that the peer receives."""
        got = bytearray()

        def take() -> bool:
            if self.server.recv_queue.length:
                got.extend(self.hosts.b.recv(self.server, count - len(got)))
            return len(got) == count

        self.hosts.run_until(take)
        return bytes(got)

    def completions(self) -> list[tuple[int, int, int]]:
        return [(*v.extended_err[5:], v.extended_err.ee_code) for v in iter(self.client.errqueue.read, None)]


@pytest.fixture
def sender(hosts: TwoHosts) -> Sender:
    return Sender(hosts)


@pytest.fixture
def unconnected() -> Socket:
    """A client's socket whose endpoint only opens it: the client's own checks refuse the rest."""
    runtime = SimulatedRuntime(lambda request: Done(1) if isinstance(request, OpenSocket) else None)
    return Socket(SocketCalls.open("simulated", AF_INET, runtime), MemoryRegistry(), lambda *_: None)


@pytest.mark.parametrize("body", [b"", bytes(2), bytes(3), bytes(8)])
def test_a_dmabuf_control_message_of_another_length_is_einval(
    unconnected: Socket, body: bytes
) -> None:
    control = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, body)]
    assert errno_of(unconnected.sendmsg, [(0, 1)], control, MSG_ZEROCOPY) == errno.EINVAL


def test_an_unknown_control_message_of_sol_socket_is_einval(unconnected: Socket) -> None:
    control = [(uapi.SOL_SOCKET, 999, bytes(4))]
    assert errno_of(unconnected.sendmsg, [(0, 1)], control, MSG_ZEROCOPY) == errno.EINVAL


@pytest.mark.parametrize(("flags", "zerocopy"), [(0, True), (MSG_ZEROCOPY, False), (0, False)])
def test_a_dmabuf_id_without_msg_zerocopy_or_so_zerocopy_is_einval(
    sender: Sender, flags: int, zerocopy: bool
) -> None:
    sender.client.options.zerocopy = zerocopy
    assert errno_of(lambda: sender.send((0, 10), flags=flags)) == errno.EINVAL


def test_an_unknown_unbound_or_receiving_id_is_einval(sender: Sender) -> None:
    memory = sender.hosts.a.bind_rx(1 << 16)
    for dmabuf_id in (sender.id + 100, sender.hosts.a.rx_binding.dmabuf_id, -1):
        assert errno_of(lambda wanted=dmabuf_id: sender.send((0, 10), dmabuf_id=wanted)) == errno.EINVAL
    binding = sender.hosts.a.netdev.tx_binding(sender.id)
    assert binding is not None
    sender.hosts.a.netdev.unbind(binding)
    assert errno_of(lambda: sender.send((0, 10))) == errno.EINVAL
    memory.close()


@pytest.mark.parametrize("version", ["v17", "6.12"])
def test_a_kernel_without_devmem_tx_refuses_the_control_message(version: str) -> None:
    two = TwoHosts(kind=DeviceKind(kernel=VERSIONS[version]))
    client, _ = two.connect(DEVMEM_PORT)
    client.options.zerocopy = True
    request = SendRequest(MSG_ZEROCOPY, memoryview(b""), 1, ((0, 1),))
    assert errno_of(sendmsg, client, request, 0, two.a.netdev.tx_binding, two.now) == errno.EINVAL
    assert_nothing_left(two)


def test_a_route_by_another_device_is_enodev(sender: Sender) -> None:
    binding = sender.hosts.a.netdev.tx_binding(sender.id)
    assert binding is not None
    binding.ifindex += 1
    assert errno_of(lambda: sender.send((0, 10))) == errno.ENODEV
    binding.ifindex -= 1


def test_a_socket_without_a_peer_has_no_route_by_the_device(hosts: TwoHosts) -> None:
    _, dmabuf_id = hosts.a.bind_tx(bytes(PAGE))
    sock = hosts.a.socket()
    sock.options.zerocopy = True
    request = SendRequest(MSG_ZEROCOPY, memoryview(b""), dmabuf_id, ((0, 1),))
    assert errno_of(sendmsg, sock, request, 0, hosts.a.netdev.tx_binding, hosts.now) == errno.ENODEV


@pytest.mark.parametrize(
    "iov", [((SIZE, 1),), ((SIZE - 1, 2),), ((0, SIZE + 1),), ((0, 10), (SIZE, 1)), ((-1, 1),), ((2**63, 1),)]
)
def test_an_offset_beyond_the_dmabuf_undoes_the_skb(sender: Sender, iov: tuple[tuple[int, int], ...]) -> None:
    """EFAULT when the offset is in the call's first skb, else the byte count of the skbs before it."""
    total = sum(length for _, length in iov)
    if total > SKB:
        assert sender.send(*iov) == SIZE // SKB * SKB
        assert sender.received(SIZE // SKB * SKB) == sender.content[: SIZE // SKB * SKB]
    else:
        assert errno_of(lambda: sender.send(*iov)) == errno.EFAULT
        assert sender.client.bytes_sent == 0
    assert sender.send((5, 5)) == 5  # the socket still works
    assert sender.received(5) == sender.content[5:10]


@pytest.mark.parametrize(("good", "count"), [(16, None), (17, 17), (33, 17), (34, 34), (35, 34)])
def test_seventeen_fragments_fill_an_skb(sender: Sender, good: int, count: int | None) -> None:
    """Pieces of one byte, then a bad one: the short count is the number of bytes in full skbs."""
    iov = [(i * 2, 1) for i in range(good)] + [(SIZE, 1)]
    if count is None:
        assert errno_of(lambda: sender.send(*iov)) == errno.EFAULT
    else:
        assert sender.send(*iov) == count
        assert sender.received(count) == sender.content[: 2 * count : 2]


def test_fragments_of_an_skb_end_at_pages(sender: Sender) -> None:
    """Two bytes across the end of a page are two fragments, and an skb has room for 17."""
    iov = [((i + 1) * PAGE - 1, 2) for i in range(9)] + [(SIZE, 1)]
    assert sender.send(*iov) == 17


def test_no_packet_has_more_than_17_fragments(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    send = CableEnd.send

    def counting(wire: CableEnd, header: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
        seen.append(len(payload))
        return send(wire, header, payload, offload)

    monkeypatch.setattr(CableEnd, "send", counting)
    assert sender.send(*((i * 2, 1) for i in range(1000))) == 1000
    assert sender.received(1000) == sender.content[:2000:2]
    assert max(seen) == uapi.MAX_SKB_FRAGS


def hold_back(sender: Sender) -> None:
    """Fill the congestion window, so that further bytes stay unsent."""
    while sender.client.connection is not None and not sender.client.connection.unsent_bytes:
        sender.send((0, 60_000))
        sender.hosts.a.stack.transmit(sender.hosts.now)


MIXING = {  # a zero-copy send behind unsent bytes of the other kind, device memory or host memory
    "taken": ("6.16", "6.18.0", "7.1"), "refused": ("7.2",), "parted": ("6.18.55", "7.3", "7.4-rc"),
}  # fmt: skip
BY_VERSION = [(version, rule) for rule, versions in MIXING.items() for version in versions]


def sender_of(version: str) -> Sender:
    return Sender(TwoHosts(kind=DeviceKind(kernel=VERSIONS[version])))


def unsent(sender: Sender) -> int:
    return sender.client.connection.unsent_bytes if sender.client.connection is not None else 0


@pytest.mark.parametrize(("version", "rule"), BY_VERSION)
def test_zero_copy_host_memory_behind_unsent_device_memory(version: str, rule: str) -> None:
    sender = sender_of(version)
    hold_back(sender)
    if rule == "parted":
        assert sender.send_bytes(b"host") == 4
    else:
        assert errno_of(lambda: sender.send_bytes(b"host")) == errno.EFAULT
    assert sender.send_bytes(b"copied", flags=0) == 6  # an ordinary send starts another skb
    assert_nothing_left(sender.hosts)


@pytest.mark.parametrize("flags", [MSG_ZEROCOPY, 0])
@pytest.mark.parametrize(("version", "rule"), BY_VERSION)
def test_device_memory_behind_unsent_host_memory(version: str, rule: str, flags: int) -> None:
    sender = sender_of(version)
    while not unsent(sender):
        sender.send_bytes(bytes(60_000), flags)
        sender.hosts.a.stack.transmit(sender.hosts.now)
    if rule == "refused":
        assert errno_of(lambda: sender.send((0, 10))) == errno.EFAULT
    else:
        assert sender.send((0, 10)) == 10
    assert_nothing_left(sender.hosts)


@pytest.mark.parametrize("ends", ["full", "MSG_EOR"])
def test_behind_a_full_skb_and_behind_a_record_the_other_kind_is_taken(ends: str) -> None:
    """Where nothing can be joined, there is nothing to refuse: 7.2 refuses both orders."""
    sender = sender_of("7.2")
    hold_back(sender)
    if ends == "full":
        sender.send((0, -unsent(sender) % SKB))
    else:
        sender.send((0, 1), flags=MSG_ZEROCOPY | uapi.MSG_EOR)
    assert sender.send_bytes(b"host") == 4
    assert errno_of(lambda: sender.send((0, 10))) == errno.EFAULT
    assert_nothing_left(sender.hosts)


@pytest.mark.parametrize("version", [name for name, kernel in VERSIONS.items() if kernel.devmem_tx])
def test_of_a_dma_buf_that_ends_within_a_page_whole_pages_are_sent_or_none(version: str) -> None:
    """Linux before 6.18.35 and 7.1 reads beyond its table of net_iovs for the rest; here that is EFAULT."""
    two = TwoHosts(kind=DeviceKind(kernel=VERSIONS[version]))
    host, memory = two.a, dmabuf.export(PAGE + 100)
    request = BindTx(host.device.ifindex, memory.fd)
    if version not in ("6.16", "6.18.0"):
        assert errno_of(lambda: host.netdev.bind_tx(request, os.dup(memory.fd))) == errno.EINVAL
    else:
        binding = host.netdev.bind_tx(request, os.dup(memory.fd))
        client, _ = two.connect(DEVMEM_PORT)
        client.options.zerocopy = True
        assert host.send_devmem(client, binding.dmabuf_id, (PAGE - 10, 10)) == 10
        assert errno_of(lambda: host.send_devmem(client, binding.dmabuf_id, (PAGE, 1))) == errno.EFAULT
    memory.close()
    assert_nothing_left(two)


@pytest.mark.parametrize("impairment", [Impairment(), Impairment(0.03, 0.03, 0.03)], ids=["clean", "bad"])
def test_readable_and_unreadable_bytes_never_share_a_packet(
    impairment: Impairment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds for retransmissions too. The CPU does not read device memory: Cpu.copy of it raises."""
    two = TwoHosts(5, impairment)
    sender = Sender(two)
    memory = two.b.bind_rx(1 << 20)
    binding = two.a.netdev.tx_binding(sender.id)
    assert binding is not None
    device, send, kinds = binding.region.view.obj, CableEnd.send, set[tuple[bool, ...]]()

    def seen(wire: CableEnd, header: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
        kinds.add(tuple({view.obj is device for view in payload}))
        return send(wire, header, payload, offload)

    monkeypatch.setattr(CableEnd, "send", seen)
    with pytest.raises(UnreadableMemory):
        two.a.stack.cpu.copy(binding.region, 0, memoryview(bytearray(1)))
    chance, expected, received = random.Random(5), bytearray(), bytearray()
    for _ in range(60):
        at, size = chance.randrange(SIZE // 2), chance.randrange(1, 9000)
        if chance.random() < 0.5:
            assert sender.send((at, size)) == size
        else:
            assert sender.send_bytes(sender.content[at : at + size], flags=0) == size
        expected += sender.content[at : at + size]

    def drain() -> bool:
        if sender.server.recv_queue.length:
            got, cmsgs = two.b.recv_devmem(sender.server, 1 << 20)
            for c in cmsgs:
                received.extend(memory.view[c.frag_offset : c.frag_offset + c.frag_size])
            two.b.dontneed(sender.server, *(c.frag_token for c in cmsgs))
            assert got.count == sum(c.frag_size for c in cmsgs)
        return len(received) == len(expected)

    two.run_until(drain)
    assert received == expected
    assert kinds == {(), (True,), (False,)}  # no payload, device memory alone, host memory alone
    memory.close()
    assert_nothing_left(two)


def test_without_a_notifier_a_zero_copy_send_is_enobufs(sender: Sender) -> None:
    for _ in range(NOTIFIERS_MAX):
        sender.client.errqueue.sent(1 << 40, 0)  # in flight, each one in a separate packet
    assert errno_of(lambda: sender.send((0, 1))) == errno.ENOBUFS
    assert sender.send_bytes(b"not notified", flags=0) == 12
    sender.client.errqueue.abort()
    assert sender.send((0, 1)) == 1


def test_id_0_means_no_dma_buf_and_an_offset_is_a_bad_address(sender: Sender) -> None:
    assert errno_of(lambda: sender.send((0, 10), dmabuf_id=0)) == errno.EFAULT
    assert sender.client.errqueue.last_end == 0  # a failed send gets no completion number


@pytest.mark.parametrize("value", [-1, 2, 100])
def test_so_zerocopy_is_0_or_1(sender: Sender, value: int) -> None:
    body = value.to_bytes(4, "little", signed=True)
    assert errno_of(set_option, sender.client, uapi.SOL_SOCKET, uapi.SO_ZEROCOPY, body) == errno.EINVAL


def test_what_the_device_cannot_send_is_dropped_in_silence_and_tcp_repeats_it(sender: Sender) -> None:
    device = sender.hosts.a.device
    device.netmem_tx = False
    assert sender.send((0, 5000)) == 5000
    sender.hosts.run_until(lambda: device.tx_unreadable_drops >= 3)
    device.netmem_tx = True
    assert sender.received(5000) == sender.content[:5000]


def without_scatter_gather(sender: Sender, off: bool) -> None:
    a = sender.hosts.a
    a.ethtool.features_set(FeaturesSet(a.header, {"tx-scatter-gather": not off}))


def test_what_would_have_to_be_copied_is_dropped_in_silence_and_tcp_repeats_it(sender: Sender) -> None:
    device = sender.hosts.a.device
    sender.client.options.nodelay = True
    assert sender.send((0, SIZE)) > 0  # more than the congestion window: a part is not sent yet
    without_scatter_gather(sender, True)
    sender.hosts.run_until(lambda: device.tx_unreadable_drops >= 3)
    without_scatter_gather(sender, False)
    assert sender.received(SIZE) == sender.content


def test_without_scatter_gather_a_dma_buf_is_efault_and_ordinary_memory_goes(sender: Sender) -> None:
    without_scatter_gather(sender, True)
    assert errno_of(sender.send, (0, 100)) == errno.EFAULT
    assert sender.send_bytes(b"ordinary") == 8
    without_scatter_gather(sender, False)
    assert sender.send((0, 100)) == 100
    assert sender.received(108) == b"ordinary" + sender.content[:100]


def test_completions_are_ranges_of_sends_that_the_peer_has_acknowledged(sender: Sender) -> None:
    for _ in range(3):
        sender.send((0, 1000))
    assert errno_of(lambda: sender.send((SIZE, 1))) == errno.EFAULT
    sender.send((0, 1000))
    assert sender.completions() == []
    sender.hosts.run_until(lambda: sender.client.errqueue.completed == 4)
    assert sender.completions() == [(0, 3, 0)]
    sender.send_bytes(b"host memory is copied")
    sender.hosts.run_until(lambda: sender.client.errqueue.completed == 5)
    assert sender.completions() == [(4, 4, CODE_COPIED)]


def test_a_send_of_nothing_has_no_number_and_looks_up_no_binding(sender: Sender) -> None:
    assert sender.send(dmabuf_id=999) == 0
    assert sender.send((0, 0), dmabuf_id=999) == 0
    assert sender.client.errqueue.last_end == 0


def test_unbinding_with_data_in_flight_sends_it_all_the_same(sender: Sender) -> None:
    assert sender.send((0, SIZE)) == SIZE
    binding = sender.hosts.a.netdev.tx_binding(sender.id)
    assert binding is not None
    sender.hosts.a.netdev.unbind(binding)
    assert sender.received(SIZE) == sender.content
    sender.hosts.run_until(lambda: sender.hosts.a.netdev.bindings == ())


def test_connecting_to_the_own_address_fails(hosts: TwoHosts) -> None:
    """The host has no loopback device. In the kernel, device memory cannot be sent over loopback either."""
    sock: DevmemSocket = hosts.a.socket()
    assert errno_of(sock.start_connect, hosts.a.address, 80, hosts.now) == errno.ENETUNREACH
