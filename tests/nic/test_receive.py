"""Headers go to host memory and payload to the buffers of the queue, split to the byte."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.machine import routes
from nodes.machine.routes import ROUTES, Place, totals
from nodes.nic.flow_steering import NtupleRule
from nodes.nic.rx_placement import LINEAR_MAX
from nodes.uapi.socket import PAGE_SIZE
from tests.netmem.failing import FailingNetIovs
from tests.nic.bench import DEVMEM_QUEUE, Bench
from tests.nic.frames import Tcp, arp_request, fragment, icmp, udp

# Odd and even, around a page, several pages; none holds the byte that marks untouched memory.
LENGTHS = (1, 2, 3, 1448, 4095, 4096, 4097, 8193, 64000)
# Payload bytes, words of IPv4 options, words of TCP options.
SHAPES = st.tuples(st.integers(0, 20000), st.integers(0, 10), st.integers(0, 10))


def text(length: int, seed: int = 1) -> bytes:
    return bytes(random.Random(seed).choices(range(0x80, 0x100), k=length))


# --- header split


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("ip_options", "tcp_options"), [(0, 0), (0, 12), (40, 40), (4, 20)])
def test_headers_and_payload_are_split_exactly(
    bench: Bench, split: bool, length: int, ip_options: int, tcp_options: int
) -> None:
    if split:
        bench.split()
    segment = Tcp(text(length), ip_options=ip_options, tcp_options=tcp_options)
    bench.wire.put(segment.frame())
    (got,) = bench.poll()
    assert got.header == segment.frame()[: segment.header_bytes]
    assert got.payload == segment.payload
    assert got.skb.payload is not None
    assert not got.skb.payload.unreadable
    assert bench.ledger.host_dram_bytes == segment.header_bytes + length


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("niov_size", [4096, 65536])
def test_device_memory_gets_the_payload_and_host_memory_the_headers(
    bench: Bench, length: int, niov_size: int
) -> None:
    binding = bench.bind(niov_size)
    segment = Tcp(text(length), tcp_options=12)
    bench.wire.put(segment.frame())
    (got,) = bench.poll()
    assert got.header == segment.frame()[:66]
    assert got.payload == segment.payload
    assert got.skb.payload is not None
    assert got.skb.payload.unreadable
    assert {frag.netmem.region for frag in got.skb.payload.frags} == {binding.region}
    assert [frag.offset % niov_size for frag in got.skb.payload.frags] == [0] * -(-length // niov_size)
    # Device memory has the payload and nothing else, host memory the headers and nothing else.
    assert len(bench.touched()) == length
    assert bytes(bench.device.placement.header_buffer.view[:66]) == got.header
    assert not any(bench.device.placement.header_buffer.view[66:])
    assert all(rxq.posted == 0 for rxq in bench.device.rx_queues if rxq.id != DEVMEM_QUEUE)


def test_the_ledger_shows_payload_in_device_memory_and_headers_in_the_host(bench: Bench) -> None:
    bench.bind()
    bench.wire.put(Tcp(text(5000), tcp_options=12).frame())
    bench.poll()
    found = totals(bench.ledger.snapshot())
    assert (found.host_dram_write_bytes, found.host_dram_read_bytes) == (66, 0)
    assert found.header_host_dram_bytes == 66
    assert (found.device_write_bytes, found.pcie_switch_bytes, found.pcie_root_bytes) == (5000, 5066, 66)


@given(st.lists(SHAPES, min_size=1, max_size=6), st.booleans(), st.booleans())
def test_any_sequence_of_frames_arrives_whole(
    shapes: list[tuple[int, int, int]], devmem: bool, split: bool
) -> None:
    bench = Bench(ring_size=8)
    if devmem:
        bench.bind()
    elif split:
        bench.split()
    segments = [
        Tcp(text(length, seed), ip_options=4 * ip, tcp_options=4 * tcp, seq=seed)
        for seed, (length, ip, tcp) in enumerate(shapes)
    ]
    for segment in segments:
        bench.wire.put(segment.frame())
    got = bench.poll()
    assert [each.header for each in got] == [s.frame()[: s.header_bytes] for s in segments]
    assert [each.payload for each in got] == [s.payload for s in segments]
    bench.settle()


def test_padding_of_a_short_frame_is_dropped_by_the_nic(bench: Bench) -> None:
    bench.bind()
    bench.wire.put(Tcp(b"\x81\x82").frame())
    bench.wire.put(Tcp(b"").frame())
    short, empty = bench.poll()
    assert short.payload == b"\x81\x82"
    assert (len(empty.header), empty.skb.payload) == (54, None)


@pytest.mark.parametrize(
    "frame", [arp_request(), icmp(b"data"), udp(bytes(4000)), fragment(0, True, bytes(300)), b"short"]
)
def test_a_frame_that_cannot_be_split_arrives_whole_in_host_memory(bench: Bench, frame: bytes) -> None:
    bench.bind()
    bench.wire.put(frame)
    (got,) = bench.poll()
    assert (got.header, got.skb.payload) == (frame, None)
    assert bench.touched() == b""


def test_a_truncated_segment_never_reaches_device_memory(bench: Bench) -> None:
    bench.bind()
    frame = Tcp(text(1000)).frame()[:-1]
    bench.wire.put(frame)
    (got,) = bench.poll()
    assert (got.header, got.skb.payload) == (frame, None)
    assert bench.touched() == b""


def test_an_unsplittable_frame_that_no_host_buffer_holds_is_dropped(bench: Bench) -> None:
    bench.wire.put(b"\xff" * (200 << 10))
    bench.wire.put(arp_request())
    (got,) = bench.poll()
    assert got.header == arp_request()
    assert sum(rxq.counters.rx_hw_drops for rxq in bench.device.rx_queues) == 1


# --- budget and counters


def test_the_header_buffer_is_a_page_until_a_frame_needs_more(bench: Bench) -> None:
    def size() -> int:
        return bench.device.placement.header_buffer.size

    bench.split()
    for frame in (arp_request(), udp(bytes(3000)), Tcp(text(64000), tcp_options=40).frame()):
        bench.wire.put(frame)
    assert (len(bench.poll()), size()) == (3, PAGE_SIZE)
    bench.wire.put(b"\xff" * (LINEAR_MAX + 1))
    assert (bench.poll(), size()) == ([], PAGE_SIZE)
    long = udp(text(60000))
    bench.wire.put(long)
    (got,) = bench.poll()
    assert (got.header, got.skb.payload, size()) == (long, None, LINEAR_MAX)
    bench.wire.put(arp_request())
    assert bench.poll()[0].header == arp_request()


def test_a_poll_takes_no_more_than_its_budget(bench: Bench) -> None:
    for _ in range(5):
        bench.wire.put(arp_request())
    assert [len(bench.poll(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_super_packets_count_their_wire_packets(bench: Bench) -> None:
    bench.bind(65536)
    segment = Tcp(text(10000), tcp_options=12)
    bench.wire.put(segment.frame(), gso_size=1448)
    bench.wire.put(Tcp(text(10)).frame())
    big, small = bench.poll()
    assert (big.skb.gso_size, big.skb.wire_packets) == (1448, 7)
    assert (small.skb.gso_size, small.skb.wire_packets) == (0, 1)
    counters = bench.queue.counters
    assert (counters.rx_packets, counters.rx_wire_packets) == (2, 8)
    assert (counters.rx_hw_gro_packets, counters.rx_hw_gro_wire_packets) == (1, 7)
    assert counters.rx_bytes == len(segment.frame()) + 64
    headers = next(m for m in bench.ledger.snapshot() if m.route == ROUTES[routes.NIC_HEADER_IN])
    assert (headers.bytes, headers.uncoalesced_bytes) == (66 + 54, 7 * 66 + 54)


# --- no buffers


def test_a_frame_without_posted_buffers_is_dropped_and_counted(bench: Bench) -> None:
    bench.bind(niovs=4)
    for seq in range(6):
        bench.wire.put(Tcp(text(4096), seq=seq).frame())
    got = bench.poll()
    assert len(got) == 4
    counters = bench.queue.counters
    assert (counters.rx_hw_drop_overruns, counters.rx_hw_drops, bench.wire.dropped) == (2, 2, 2)
    assert counters.rx_alloc_fail > 0
    assert counters.rx_packets == 4
    bench.release(got[1].skb)
    bench.wire.put(Tcp(text(4096)).frame())
    assert len(bench.poll()) == 1  # a buffer that was given back is used again


def test_a_frame_longer_than_the_posted_buffers_takes_none_of_them(bench: Bench) -> None:
    bench.bind(niovs=3)
    bench.wire.put(Tcp(text(4 * 4096)).frame())
    bench.wire.put(Tcp(text(3 * 4096)).frame())
    (got,) = bench.poll()
    assert got.payload == text(3 * 4096)


def test_a_frame_without_payload_needs_no_posted_buffer(bench: Bench) -> None:
    bench.bind(niovs=1)
    bench.wire.put(Tcp(text(1)).frame())
    bench.wire.put(Tcp(b"").frame())
    assert len(bench.poll()) == 2


# --- checksums


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("length", [0, 1, 7, 8, 4097, 12289])
def test_a_bad_checksum_is_dropped_and_a_good_one_is_not(bench: Bench, split: bool, length: int) -> None:
    if split:
        bench.bind()
    segment = Tcp(text(length), tcp_options=12)
    bench.wire.put(segment.frame())
    bench.wire.put(segment.frame(bad_checksum=True))
    (got,) = bench.poll()
    assert got.payload == segment.payload
    assert sum(rxq.counters.rx_csum_bad for rxq in bench.device.rx_queues) == 1
    assert sum(rxq.counters.rx_packets for rxq in bench.device.rx_queues) == 1


def test_a_wrong_bit_anywhere_in_the_payload_fails_the_checksum(bench: Bench) -> None:
    bench.bind()
    frame = Tcp(text(4099)).frame()
    for at in (54, 55, 54 + 4095, 54 + 4096, len(frame) - 1):
        bench.wire.put(frame[:at] + bytes([frame[at] ^ 4]) + frame[at + 1 :])
    assert bench.poll() == []
    assert bench.queue.counters.rx_csum_bad == 5


def test_a_checksum_that_the_link_has_verified_is_not_verified_again(bench: Bench) -> None:
    bench.bind()
    bench.wire.put(Tcp(text(100)).frame(bad_checksum=True), checksum_good=True)
    assert len(bench.poll()) == 1
    assert bench.queue.counters.rx_csum_bad == 0


def test_puts_during_a_poll_go_to_the_cache_and_later_ones_to_the_ring(bench: Bench) -> None:
    bench.bind()
    pool = bench.queue.pool
    bench.wire.put(Tcp(text(4097)).frame(bad_checksum=True))
    assert bench.poll() == []
    assert (pool.stats.recycle_cached, pool.stats.recycle_ring) == (2, 0)
    bench.wire.put(Tcp(text(4097)).frame())
    for skb in bench.device.poll(1):
        skb.release()  # as the stack does with a duplicate
    assert (pool.stats.recycle_cached, pool.stats.recycle_ring) == (4, 0)
    bench.wire.put(Tcp(text(4097)).frame())
    (got,) = bench.poll()
    bench.release(got.skb)
    assert (pool.stats.recycle_cached, pool.stats.recycle_ring) == (4, 2)


# --- queues


def test_a_rule_precedes_the_table_and_flows_move_when_rules_change(bench: Bench) -> None:
    bench.split()
    device = bench.device
    device.rss.table = [1] * 128

    def queue_of(port: int) -> int:
        bench.wire.put(Tcp(text(9), dst_port=port).frame())
        return bench.poll()[0].skb.queue

    assert queue_of(7000) == 1
    location = device.steering.insert(NtupleRule(6, dst_port=7000), None)
    device.steering_changed()
    assert (queue_of(7000), queue_of(7001)) == (6, 1)
    del device.steering.rules[location]
    device.rss.table = [2] * 128
    device.steering_changed()
    assert queue_of(7000) == 2
    assert [rxq.counters.rx_packets for rxq in device.rx_queues] == [0, 2, 1, 0, 0, 0, 1, 0]


def test_a_packet_goes_to_the_memory_of_its_queue(bench: Bench) -> None:
    bench.bind()
    bench.device.rss.table = [0] * 128
    bench.device.steering.insert(NtupleRule(DEVMEM_QUEUE, dst_port=7000), None)
    bench.device.steering_changed()
    bench.wire.put(Tcp(text(100), dst_port=80).frame())
    assert bench.touched() == b""
    bench.wire.put(Tcp(text(100), dst_port=7000).frame())
    host, device = bench.poll()
    places = [
        got.skb.payload.frags[0].netmem.region.place if got.skb.payload else None for got in (host, device)
    ]
    assert places == [Place.HOST, Place.DEVICE]


def test_a_restart_loses_only_what_was_posted(bench: Bench) -> None:
    binding = bench.bind(niovs=64)
    for seq in range(3):
        bench.wire.put(Tcp(text(4096, seq), seq=seq).frame())
    got = bench.poll()
    assert bench.queue.posted == 13
    old = bench.queue.pool
    bench.queue.restart(binding.page_pool(1024, bench.device.pool_context))
    assert (bench.queue.posted, old.inflight, binding.provider.free) == (0, 3, 61)
    assert [each.payload for each in got] == [text(4096, seq) for seq in range(3)]
    bench.wire.put(Tcp(text(77), seq=9).frame())
    assert bench.poll()[0].payload == text(77)
    for each in got:
        bench.release(each.skb)
    assert old.inflight == 0


def test_frames_that_arrive_while_a_queue_restarts_use_the_new_memory(bench: Bench) -> None:
    bench.bind()
    bench.wire.put(Tcp(text(10)).frame())
    bench.wire.put(Tcp(text(20)).frame())
    assert bench.poll(1)[0].skb.payload
    bench.queue.restart(bench.device.host_pool())
    (got,) = bench.poll(1)
    assert got.skb.payload is not None
    assert (got.payload, got.skb.payload.unreadable) == (text(20), False)


def test_a_smaller_ring_posts_fewer_buffers(bench: Bench) -> None:
    bench.bind()
    bench.queue.ring_size = 5
    bench.queue.fill()
    assert bench.queue.posted == 5
    bench.queue.ring_size = 2
    bench.queue.fill()
    assert bench.queue.posted == 5
    assert bench.queue.counters.rx_alloc_fail == 0


def test_no_failure_of_the_nth_buffer_loses_a_net_iov_or_an_intact_frame() -> None:
    for n in range(1, 200):
        bench = Bench(ring_size=4)
        provider = bench.bind(niovs=12, fails_at=n).provider
        sent = [Tcp(text(size, size), seq=size) for size in (1, 9000, 4096, 16384, 5000, 100)]
        for segment in sent:
            bench.wire.put(segment.frame())
        got = bench.poll()
        assert len(got) + bench.queue.counters.rx_hw_drops == len(sent)
        assert {each.payload for each in got} <= {segment.payload for segment in sent}
        bench.settle()
        assert isinstance(provider, FailingNetIovs)
        if not provider.failed:
            return
    pytest.fail("some allocation failed in every run")
