"""Which rx queue a flow goes to: the published Toeplitz vectors, the indirection table, n-tuple rules."""

from __future__ import annotations

import struct

import pytest

from nodes.nic.flow_steering import FlowSteering, NtupleRule
from nodes.nic.rss import DEFAULT_KEY, TABLE_SIZE, Rss, toeplitz
from nodes.wire.ipv4 import address_int

# Receive Side Scaling, "Verifying the RSS hash calculation", IPv4: source, destination, with TCP, without.
VECTORS = [
    ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x51CCC178, 0x323E8FC2),
    ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xC626B0EA, 0xD718262A),
    ("24.19.198.95", 12898, "12.22.207.184", 38024, 0x5C2B394A, 0xD2D0A5DE),
    ("38.27.205.30", 48228, "209.142.163.6", 2217, 0xAFC7327F, 0x82989176),
    ("153.39.163.191", 44251, "202.188.127.2", 1303, 0x10E828A2, 0x5D1809C5),
]


def flow(src: str, src_port: int, dst: str, dst_port: int) -> bytes:
    return struct.pack("!IIHH", address_int(src), address_int(dst), src_port, dst_port)


FLOW = flow("10.0.0.2", 40000, "10.0.0.1", 7000)


# --- rss


@pytest.mark.parametrize(("src", "src_port", "dst", "dst_port", "with_ports", "without"), VECTORS)
def test_the_hash_is_the_published_one(
    src: str, src_port: int, dst: str, dst_port: int, with_ports: int, without: int
) -> None:
    data = flow(src, src_port, dst, dst_port)
    assert toeplitz(DEFAULT_KEY, data) == with_ports
    assert toeplitz(DEFAULT_KEY, data[:8]) == without


def test_the_table_is_indexed_by_the_hash() -> None:
    rss = Rss(8)
    rss.table = list(range(TABLE_SIZE))
    assert rss.queue(FLOW) == toeplitz(DEFAULT_KEY, FLOW) % TABLE_SIZE


@pytest.mark.parametrize("queues", [1, 3, 7, 8])
def test_equal_spreads_over_the_first_queues_only(queues: int) -> None:
    rss = Rss(8)
    rss.set_equal(queues)
    assert len(rss.table) == TABLE_SIZE
    assert set(rss.table) == set(range(queues))
    counts = [rss.table.count(q) for q in range(queues)]
    assert max(counts) - min(counts) <= 1


def test_many_flows_reach_every_queue() -> None:
    rss = Rss(8)
    ports = range(32768, 33268)
    assert {rss.queue(flow("10.0.0.2", port, "10.0.0.1", 7000)) for port in ports} == set(range(8))


def test_a_packet_without_a_flow_goes_to_the_tables_first_queue() -> None:
    rss = Rss(8)
    rss.table[0] = 5
    assert rss.queue(b"") == 5


# --- n-tuple rules


def chosen(steering: FlowSteering) -> int | None:
    rule = steering.match(FLOW)
    return None if rule is None else rule.queue


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        (NtupleRule(3), True),
        (NtupleRule(3, dst_port=7000), True),
        (NtupleRule(3, dst_port=7001), False),
        (NtupleRule(3, src_port=40000), True),
        (NtupleRule(3, src_port=7000), False),
        (NtupleRule(3, src_ip=address_int("10.0.0.2"), dst_ip=address_int("10.0.0.1")), True),
        (NtupleRule(3, src_ip=address_int("10.0.0.1")), False),
        (NtupleRule(3, dst_ip=address_int("10.0.0.2")), False),
        (NtupleRule(3, src_port=0), False),  # port 0 is a value, not a wildcard
        (NtupleRule(3, dst_port=7001, dst_port_mask=0xFFFE), True),
        (NtupleRule(3, dst_port=7002, dst_port_mask=0xFFFE), False),
        (NtupleRule(3, src_ip=address_int("10.0.0.99"), src_ip_mask=0xFFFFFF00), True),
        (NtupleRule(3, src_ip=address_int("10.0.1.2"), src_ip_mask=0xFFFFFF00), False),
        (NtupleRule(3, dst_ip=0, dst_ip_mask=0), True),
        (NtupleRule(3, address_bytes=16), False),
        (NtupleRule(3, any_protocol=True), True),
        (NtupleRule(3, any_protocol=True, protocol=6), True),
        (NtupleRule(3, any_protocol=True, protocol=17), False),
        (NtupleRule(3, any_protocol=True, protocol=7, protocol_mask=0xFE), True),
        (NtupleRule(3, any_protocol=True, src_ip=address_int("10.0.0.2")), True),
        (NtupleRule(3, any_protocol=True, dst_ip=address_int("10.0.0.2")), False),
        (NtupleRule(3, any_protocol=True, address_bytes=16), False),
    ],
)
def test_a_rule_matches_a_flow_if_all_its_fields_match(rule: NtupleRule, matches: bool) -> None:
    steering = FlowSteering()
    steering.insert(rule, None)
    assert chosen(steering) == (3 if matches else None)


def test_without_rules_nothing_is_steered() -> None:
    assert FlowSteering().match(FLOW) is None


UDP_FLOW = FLOW[:8] + b"\x11"


@pytest.mark.parametrize("data", [b"", UDP_FLOW])
def test_a_rule_for_tcp_steers_nothing_else(data: bytes) -> None:
    steering = FlowSteering()
    steering.insert(NtupleRule(3), None)
    assert steering.match(data) is None


@pytest.mark.parametrize(
    ("data", "protocol", "matches"), [(UDP_FLOW, None, True), (UDP_FLOW, 17, True), (UDP_FLOW, 6, False),
                                      (b"", None, False)],
)  # fmt: skip
def test_a_rule_for_ip_steers_by_addresses_and_protocol(
    data: bytes, protocol: int | None, matches: bool
) -> None:
    rule = NtupleRule(3, any_protocol=True, protocol=protocol, src_ip=address_int("10.0.0.2"))
    steering = FlowSteering()
    steering.insert(rule, None)
    assert steering.match(data) == (rule if matches else None)
    sixteen = FlowSteering()
    sixteen.insert(NtupleRule(3, any_protocol=True, address_bytes=16), None)
    assert sixteen.match(b"\xfc" * 32 + b"\x11") is not None
    assert sixteen.match(data) is None


def test_the_protocol_does_not_change_the_hash() -> None:
    rss = Rss(8)
    rss.table = list(range(TABLE_SIZE))
    assert rss.queue(UDP_FLOW) == toeplitz(DEFAULT_KEY, FLOW[:8]) % TABLE_SIZE


def test_the_lowest_location_applies_whatever_was_inserted_first() -> None:
    steering = FlowSteering()
    steering.insert(NtupleRule(5), 10)
    steering.insert(NtupleRule(4), 2)
    steering.insert(NtupleRule(3, dst_port=1), 0)
    assert chosen(steering) == 4


def test_a_new_rule_takes_the_lowest_free_location() -> None:
    steering = FlowSteering()
    assert [steering.insert(NtupleRule(0), at) for at in (None, None, 5, None)] == [0, 1, 5, 2]
    del steering.rules[1]
    assert steering.insert(NtupleRule(0), None) == 1
    assert steering.insert(NtupleRule(0), None) == 3


def test_a_rule_at_a_taken_location_replaces_the_one_there() -> None:
    steering = FlowSteering()
    steering.insert(NtupleRule(1), 0)
    steering.insert(NtupleRule(2), 0)
    assert chosen(steering) == 2
    assert len(steering.rules) == 1
