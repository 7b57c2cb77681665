"""The key of a flow: of its four numbers, of a received packet, and as the NIC's parser tells it."""

from __future__ import annotations

import pytest

from nodes.nic import header_split
from nodes.sock.flow import Flow, key_of
from nodes.wire import ethernet, ip, ipv4, ipv6, tcp
from nodes.wire.checksum import internet_checksum
from nodes.wire.ip import address_int

V4 = Flow(address_int("10.0.1.2"), 7000, address_int("10.0.1.1"), 40000)
V6 = Flow(address_int("2001:db8::2"), 7000, address_int("2001:db8::1"), 40000)


def frame(flow: Flow, ip_options: bytes = b"") -> bytes:
    """A segment that the socket of `flow` receives."""
    segment = tcp.emit(tcp.TcpHeader(flow.remote_port, flow.local_port, 1, 2, tcp.ACK, 100, ts_val=3))
    length = len(segment) + len(ip_options)
    if ip.is_ipv6(flow.local_address):
        header = ipv6.emit(flow.remote_address, flow.local_address, ip.TCP, length)
        return ethernet.emit(bytes(6), bytes(6), ethernet.TYPE_IPV6) + header + segment
    header = ipv4.emit(flow.remote_address, flow.local_address, ip.TCP, length)
    first = bytes((0x45 + len(ip_options) // 4,))
    header = first + header[1:10] + bytes(2) + header[12:] + ip_options
    header = header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:]
    return ethernet.emit(bytes(6), bytes(6), ethernet.TYPE_IPV4) + header + segment


@pytest.mark.parametrize(("flow", "options"), [(V4, b""), (V4, bytes((1, 1, 1, 0))), (V6, b"")])
def test_the_key_of_a_packet_is_that_of_its_flow_and_the_nics(flow: Flow, options: bytes) -> None:
    packet = frame(flow, options)
    at, length = ethernet.HEADER_BYTES, len(packet) - ethernet.HEADER_BYTES
    found = (ipv6 if flow is V6 else ipv4).parse(packet, at, length)
    assert found is not None
    assert key_of(packet, found, at + found.header_bytes) == flow.key
    assert header_split.parse(packet, len(packet)).flow == flow.key


def test_flows_that_differ_in_one_number_have_other_keys() -> None:
    keys = {V4.key, V6.key}
    for field in Flow._fields:
        keys |= {flow._replace(**{field: getattr(flow, field) + 1}).key for flow in (V4, V6)}
    assert len(keys) == 10
