"""What is read of the kernel's text and of a ledger."""

from __future__ import annotations

from commands.live.counters import InterfaceCount, interface_counts, payload_bytes, retransmitted
from nodes.machine import routes as ledger
from nodes.machine.ledger import Ledger

NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
    lo: 1 2 0 0 0 0 0 0 1 2 0 0 0 0 0 0
h1-eth0:12345678  40 1 2 3 4 5 6 987654 50 0 0 0 0 0 0
"""
NET_SNMP = """Ip: Forwarding DefaultTTL
Ip: 2 64
Tcp: RtoAlgorithm RtoMin MaxConn ActiveOpens InSegs OutSegs RetransSegs InErrs
Tcp: 1 200 -1 4 100 200 7 0
"""


def test_an_interface_has_its_bytes_both_ways_and_the_loopback_is_left_out() -> None:
    assert interface_counts(NET_DEV) == {"h1-eth0": InterfaceCount(12345678, 987654)}


def test_linuxs_retransmissions_are_found_by_their_name() -> None:
    assert retransmitted(NET_SNMP) == 7


def test_payload_is_what_a_nic_moved_from_and_to_the_wire_wherever_it_lies() -> None:
    moved = Ledger()
    moved.record(ledger.NIC_WIRE_TO_HOST, 1)
    moved.record(ledger.NIC_WIRE_TO_DEVICE, 10)
    moved.record(ledger.NIC_WIRE_TO_FAR, 100)
    moved.record(ledger.NIC_HOST_TO_WIRE, 2)
    moved.record(ledger.NIC_DEVICE_TO_WIRE, 20)
    moved.record(ledger.NIC_FAR_TO_WIRE, 200)
    for header in (ledger.NIC_HEADER_IN, ledger.NIC_HEADER_OUT):
        moved.record_header(header, 5000, 1)
    moved.record(ledger.CPU_HOST_TO_HOST, 9000)
    assert payload_bytes(moved.snapshot()) == (111, 222)
