"""From a TCP packet to the socket that it is for, and a reply where there is none.

In: (IP header, skb) from the IP layer. Out: the socket whose connection received the segment; replies. Reads
the TCP header; payload passes untouched, except that payload which the NIC left with the headers is copied to
host pages, after its checksum was verified. Owns nothing.
Source: tcp_v4_rcv, tcp_v4_do_rcv (net/ipv4/tcp_ipv4.c), tcp_v6_rcv (net/ipv6/tcp_ipv6.c).
"""

from __future__ import annotations

from nodes.inet.mib import IpMib
from nodes.skb import LinearFrags, Skb
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.flow import Flow, flow_of, key_of
from nodes.sock.hashtables import Hashtables
from nodes.sock.request_sock import RequestSocks
from nodes.sock.send_pages import SendPages
from nodes.sock.tcp_xmit import TcpXmit
from nodes.tcp.connection import reset_for
from nodes.tcp.mib import TcpMib
from nodes.tcp.segment import Segment
from nodes.wire import ethernet, ip, ipv6, tcp
from nodes.wire.checksum import fold, partial_sum, pseudo_header_sum
from nodes.wire.ip import IpHeader

_FROM_ETHERNET = 2  # of TCP_SAVE_SYN
_OPENS = tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN  # of these a listener takes a SYN alone (TCP_LISTEN's case)


class TcpRcv:
    """`pages` is where payload goes that the NIC did not split off."""

    def __init__(
        self, tables: Hashtables, requests: RequestSocks, xmit: TcpXmit, pages: SendPages,
        mibs: tuple[IpMib, TcpMib],
    ) -> None:  # fmt: skip
        self._tables = tables
        self._established = tables.established
        self._requests = requests
        self._xmit = xmit
        self._pages = pages
        self._ip_mib, self._mib = mibs

    def receive(self, found: IpHeader, skb: Skb, ifname: str, now: float) -> DevmemSocket | None:
        """Takes the skb's payload, which came by the device `ifname`. Returns the socket whose connection
        received the segment."""
        segment = self._segment(found, skb)
        if segment is None:
            return None
        sock = self._established.get(key_of(skb.header, found, ethernet.HEADER_BYTES + found.header_bytes))
        if sock is not None and sock.options.bound_device not in ("", ifname):
            sock = None
        if sock is None or sock.connection is None:
            flow = flow_of(found, segment)
            listener = self._tables.ports.listener(flow, ifname)
            if listener is not None and self._is_too_far(listener, segment, found):
                return None
            return self._receive_unmatched(segment, flow, listener, now, skb.header)
        if self._is_too_far(sock, segment, found):
            return None
        if sock.in_handshake and self._requests.must_wait(sock, segment):
            segment.drop()
            return None
        sock.timestamping.ack_ttl = found.ttl
        acked = sock.connection.bytes_acked
        sock.connection.receive_segment(segment, now)
        if sock.soft_error and sock.connection.bytes_acked > acked:
            sock.soft_error = 0  # something worked (tcp_ack)
        return sock

    def _is_too_far(self, sock: DevmemSocket, segment: Segment, found: IpHeader) -> bool:
        """Whether the packet has a smaller TTL than the socket's IP_MINTTL or IPV6_MINHOPCOUNT; it is then
        dropped."""
        options = sock.options
        if found.ttl >= (options.minhopcount if ip.is_ipv6(found.dst) else options.minttl):
            return False
        self._mib.TcpExtTCPMinTTLDrop += 1
        segment.drop()
        return True

    # --- parsing

    def _segment(self, found: IpHeader, skb: Skb) -> Segment | None:
        """The packet's segment, which owns the payload; None for a damaged one, which is counted."""
        self._mib.TcpInSegs += 1
        try:
            header, header_bytes = tcp.parse(skb.header, ethernet.HEADER_BYTES + found.header_bytes)
        except tcp.MalformedTcp:
            self._mib.TcpInErrs += 1
            skb.release()
            return None
        if skb.payload is None:
            if header_bytes > found.payload_bytes:  # the header would reach into the padding of the frame
                self._mib.TcpInErrs += 1
                return None
            if header_bytes < found.payload_bytes or not skb.checksum_good:
                return self._linear_segment(skb, found, header, header_bytes)
        return Segment(header, skb.payload, skb.gso_size, found.tos & 3, skb.scarce)

    def _linear_segment(
        self, skb: Skb, found: IpHeader, header: tcp.TcpHeader, header_bytes: int
    ) -> Segment | None:
        """The NIC left the whole packet in its header buffer, and perhaps did not verify it."""
        start = ethernet.HEADER_BYTES + found.header_bytes
        packet = skb.header[start : start + found.payload_bytes]
        if len(packet) < found.payload_bytes or not (skb.checksum_good or _checksum_good(packet, found)):
            self._mib.TcpInErrs += 1
            self._ip_mib.TcpInCsumErrors += 1
            return None
        if header_bytes == found.payload_bytes:
            return Segment(header, None, skb.gso_size, found.tos & 3)
        try:
            payload = self._pages.copy_from_user(memoryview(packet)[header_bytes:])
        except OSError:  # no page is left: the packet is lost, as on a NIC without buffers
            return None
        return Segment(header, LinearFrags(payload.frags), skb.gso_size, found.tos & 3)

    # --- segments without a connection

    def _receive_unmatched(
        self, segment: Segment, flow: Flow, listener: DevmemSocket | None, now: float, frame: bytes
    ) -> DevmemSocket | None:
        """A segment that matches no connection: TIME-WAIT answers it, a listener takes it as a SYN or as the
        ACK of a cookie, or it is refused. `frame`: with the segment's headers."""
        header, iss = segment.header, None
        if flow in self._tables.timewait:
            iss = self._tables.timewait.receive(flow, segment, now, reopen=listener is not None)
            if iss is None:
                return None
        if listener is not None and header.flags & _OPENS == tcp.SYN:
            segment.drop()  # data on a SYN may be sent again (RFC 9293 section 3.10.7.2)
            child = self._receive_syn(listener, segment, flow, now, iss)
            if child is not None and child.options.save_syn:
                child.saved_syn = _headers(frame, child.options.save_syn)
            return child
        if listener is not None:
            child = self._requests.receive_ack(listener, segment, flow, now)
            if child is not None:
                if child is not listener:
                    self._tables.adopt(child)
                return child
        if listener is None or header.flags & tcp.ACK:
            self._refuse(segment, flow, now)
        segment.drop()
        return None

    def _receive_syn(
        self, listener: DevmemSocket, syn: Segment, flow: Flow, now: float, iss: int | None
    ) -> DevmemSocket | None:
        answer = self._requests.receive_syn(listener, syn, flow, now, iss)
        if isinstance(answer, Segment):
            self._xmit.reply(answer, flow, now)
        elif answer is not None:
            self._tables.adopt(answer)
            return answer
        return None

    def _refuse(self, segment: Segment, flow: Flow, now: float) -> None:
        reset = reset_for(segment)
        if reset is not None:
            self._mib.TcpOutRsts += 1
            self._xmit.reply(reset, flow, now)


def _headers(frame: bytes, save_syn: int) -> bytes:
    """What TCP_SAVED_SYN tells of the SYN in `frame`: its IP and TCP headers; with 2 that of Ethernet as well
    (tcp_reqsk_record_syn)."""
    start = ethernet.HEADER_BYTES
    v6 = frame[start] >> 4 == 6
    tcp_at = start + (ipv6.upper_layer(frame[start:])[1] if v6 else (frame[start] & 0xF) * 4)
    end = tcp_at + (frame[tcp_at + 12] >> 4) * 4
    return frame[0 if save_syn == _FROM_ETHERNET else start : end]


def _checksum_good(packet: bytes, found: IpHeader) -> bool:
    """Verify a whole TCP packet in host memory."""
    pseudo = pseudo_header_sum(found.src, found.dst, ip.TCP, len(packet))
    return fold(pseudo + partial_sum(packet)) == 0xFFFF
