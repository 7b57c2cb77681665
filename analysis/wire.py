"""Bytes that cross a link, of what an interface counts.

In: counts. Out: bytes; pure. Owns nothing. An interface counts a super-packet with one header, and it crosses
the link as many wire packets with one each.
"""

_HEADER_BYTES = 66  # Ethernet, IPv4, TCP with timestamps
_PAYLOAD_LESS_THAN_MTU = 52


def wire_bytes(sent_bytes: int, packets: int, mtu: int) -> float:
    """At least: super-packets are taken for such as full wire packets are made of."""
    payload = max(0, sent_bytes - _HEADER_BYTES * packets)
    wire_packets = payload / max(1, mtu - _PAYLOAD_LESS_THAN_MTU)
    return sent_bytes + _HEADER_BYTES * max(0.0, wire_packets - packets)
