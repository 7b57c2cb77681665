"""Between skbs and connections: ARP, ICMP echo, IPv4, ports, and which socket a segment is for.

In: skbs from the device, `now`. Out: skbs with headers to the device. Owns the tables of connections and
listeners, their timers, and the set of sockets that have changed since the endpoint last looked.
Reads headers; hands payload on untouched. Source: net/ipv4/{af_inet,tcp_ipv4,inet_hashtables}.c.
"""

from __future__ import annotations

import errno
import hashlib
import heapq
import itertools
import random
from dataclasses import dataclass

from nodes.machine.cpu import Cpu
from nodes.nic.net_device import NetDevice
from nodes.skb import Frags, Skb
from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.sock.neighbour import Neighbours
from nodes.sock.send_pages import SendPages
from nodes.tcp.config import TcpConfig
from nodes.tcp.connection import Connection, reset_for
from nodes.tcp.segment import Segment
from nodes.tcp.state import State
from nodes.wire import arp, ethernet, icmp, ipv4, tcp
from nodes.wire.arp import Arp
from nodes.wire.checksum import pseudo_header_sum

EPHEMERAL = range(32768, 61000)
_L4_START = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES
_HEADERS_MAX = _L4_START + 60
_SEGMENTS_PER_TURN = 32  # of one connection, before the next one's turn


@dataclass(frozen=True, slots=True)
class InetConfig:
    """Our address and link (32-bit integers, prefix length) and the secrets of RFC 6528 and 6056."""

    address: int
    prefix: int
    seed: int
    send_memory_bytes: int = 256 << 20


@dataclass(slots=True)
class InetCounters:
    """Drops and answers, with the kernel's SNMP names in snake case."""

    in_hdr_errors: int = 0
    icmp_in_echos: int = 0
    tcp_out_rsts: int = 0
    tcp_retrans_segs: int = 0  # of connections that have ended; live ones are added on request
    listen_overflows: int = 0


Flow = tuple[int, int, int]  # local port, remote address, remote port


class Inet:
    def __init__(self, device: NetDevice, cpu: Cpu, config: InetConfig) -> None:
        self.device = device
        self.cpu = cpu
        self.config = config
        self.counters = InetCounters()
        self.send_pages = SendPages(cpu, config.send_memory_bytes)
        self.changed: dict[DevmemSocket, None] = {}  # since the endpoint last took them, in order
        self.neighbours = Neighbours(device.config.mac, config.address, self._send_arp, self._send_to_mac)
        self._connections: dict[Flow, DevmemSocket] = {}
        self._listeners: dict[int, DevmemSocket] = {}
        self._bound: dict[int, DevmemSocket] = {}
        self._to_transmit: dict[DevmemSocket, None] = {}
        self._timers: list[tuple[float, int, DevmemSocket]] = []
        self._tie_break = itertools.count()
        self._random = random.Random(config.seed)
        self._isn_key = self._random.randbytes(32)

    # --- ports

    def claim(self, sock: DevmemSocket, address: int, port: int) -> tuple[int, int]:
        """Give `sock` an address and port; port 0 chooses one. EADDRNOTAVAIL, EADDRINUSE."""
        if address not in (0, self.config.address):
            raise error(
                errno.EADDRNOTAVAIL, f"{ipv4.address_text(address)} is not this endpoint's address"
            )
        if port == 0:
            start = self._random.randrange(len(EPHEMERAL))
            rotated = itertools.chain(EPHEMERAL[start:], EPHEMERAL[:start])
            port = next((p for p in rotated if p not in self._bound), 0)
            if not port:
                raise error(errno.EADDRINUSE, "every ephemeral port is in use")
        if port in self._bound:
            raise error(errno.EADDRINUSE, f"port {port} is in use")
        self._bound[port] = sock
        return self.config.address, port

    def listen(self, sock: DevmemSocket) -> None:
        self._listeners[sock.local[1]] = sock

    def connect(self, sock: DevmemSocket, address: int, port: int, now: float) -> None:
        """Send a SYN. ENETUNREACH off our link, and to ourselves: there is no loopback device here."""
        shift = 32 - self.config.prefix
        if address >> shift != self.config.address >> shift or address == self.config.address:
            raise error(errno.ENETUNREACH, f"no route to {ipv4.address_text(address)}")
        sock.remote = (address, port)
        iss = self._initial_sequence(sock, now)
        config = self._tcp_config(sock)
        sock.connection = Connection.connect(config, sock.local[1], port, iss, now)
        self._connections[sock.local[1], address, port] = sock
        self.touch(sock)

    def _tcp_config(self, sock: DevmemSocket) -> TcpConfig:
        mss = self.device.config.mtu - ipv4.HEADER_BYTES - tcp.HEADER_BYTES
        options = sock.options
        return TcpConfig(
            mss=mss,
            max_segment_bytes=max(mss, self.device.config.gso_max_bytes - _HEADERS_MAX),
            send_buffer_bytes=options.send_buffer_bytes,
            receive_buffer_bytes=options.receive_buffer_bytes,
            congestion=options.congestion,
            nodelay=options.nodelay,
        )

    def _initial_sequence(self, sock: DevmemSocket, now: float) -> int:
        """RFC 6528: a clock of 4 us ticks plus a secret function of the flow."""
        flow = repr((sock.local, sock.remote)).encode()
        secret = hashlib.blake2b(flow, key=self._isn_key, digest_size=4).digest()
        return int.from_bytes(secret, "big") + int(now * 250_000) & 0xFFFFFFFF

    # --- receive

    def poll(self, budget: int, now: float) -> int:
        """Take up to `budget` packets from the device through to their sockets; returns how many."""
        count = 0
        seen: dict[DevmemSocket, None] = {}
        for skb in self.device.poll(budget):
            count += 1
            sock = self._receive(skb, now)
            if sock is not None:
                seen[sock] = None
        for sock in seen:
            self._after_segments(sock)
        return count

    def _receive(self, skb: Skb, now: float) -> DevmemSocket | None:
        """One packet; returns the socket whose connection saw it."""
        header = skb.header
        self.cpu.read_header(len(header), skb.wire_packets)
        if len(header) < ethernet.HEADER_BYTES:
            return None
        _, source_mac, ethertype = ethernet.parse(header)
        if ethertype == ethernet.TYPE_ARP:
            packet = arp.parse(header, ethernet.HEADER_BYTES)
            if packet is not None:
                self.neighbours.receive(packet)
        elif ethertype == ethernet.TYPE_IPV4:
            payload_bytes = len(skb.payload) if skb.payload is not None else 0
            available = len(header) - ethernet.HEADER_BYTES + payload_bytes
            ip = ipv4.parse(header, ethernet.HEADER_BYTES, available)
            if ip is not None and ip.dst == self.config.address:
                if ip.protocol == ipv4.TCP:
                    return self._receive_tcp(skb, ip, now)
                if ip.protocol == ipv4.ICMP:
                    self._receive_icmp(header, ip, source_mac)
            else:
                self.counters.in_hdr_errors += 1
        skb.release()
        return None

    def _receive_icmp(self, frame: memoryview, ip: ipv4.Ipv4Header, source_mac: bytes) -> None:
        start = ethernet.HEADER_BYTES + ip.header_bytes
        reply = icmp.echo_reply(frame[start : start + ip.payload_bytes])
        if reply is None:
            return
        self.counters.icmp_in_echos += 1
        packet = ipv4.emit(self.config.address, ip.src, ipv4.ICMP, len(reply)) + reply
        self._xmit(Skb(memoryview(packet), None), source_mac, 0)

    def _receive_tcp(self, skb: Skb, ip: ipv4.Ipv4Header, now: float) -> DevmemSocket | None:
        try:
            header, _ = tcp.parse(skb.header, ethernet.HEADER_BYTES + ip.header_bytes)
        except tcp.MalformedTcp:
            self.counters.in_hdr_errors += 1
            skb.release()
            return None
        segment = Segment(header, skb.payload, skb.gso_size)
        sock = self._connections.get((header.dst_port, ip.src, header.src_port))
        if sock is not None and sock.connection is not None:
            sock.connection.receive_segment(segment, now)
            return sock
        listener = self._listeners.get(header.dst_port)
        if listener is not None and header.flags & (tcp.SYN | tcp.ACK | tcp.RST) == tcp.SYN:
            skb.release()
            segment.payload = None  # data on a SYN may be sent again (RFC 9293 section 3.10.7.2)
            return self._embryo(listener, segment, ip.src, now)
        if listener is None or header.flags & tcp.ACK:
            self._refuse(segment, ip.src, now)
        skb.release()
        return None

    def _embryo(
        self, listener: DevmemSocket, syn: Segment, remote: int, now: float
    ) -> DevmemSocket | None:
        """A child of `listener` in SYN-RECEIVED, unless its backlog is full: then the SYN is lost."""
        if listener.embryos + len(listener.accept_queue) >= listener.backlog:
            self.counters.listen_overflows += 1
            return None
        child = DevmemSocket(self)
        child.local = listener.local
        child.remote = (remote, syn.header.src_port)
        child.options = listener.options
        child.listener = listener
        child.embryo = True
        listener.embryos += 1
        iss = self._initial_sequence(child, now)
        child.connection = Connection.accept(self._tcp_config(child), syn, iss, now)
        self._connections[child.local[1], *child.remote] = child
        return child

    def _refuse(self, segment: Segment, remote: int, now: float) -> None:
        reset = reset_for(segment)
        if reset is not None:
            self.counters.tcp_out_rsts += 1
            self._xmit_segment(reset, remote, now)

    def _after_segments(self, sock: DevmemSocket) -> None:
        """The socket's connection saw segments or a timer."""
        connection = sock.connection
        if connection is None:
            return
        sock.absorb()
        listener = sock.listener
        if listener is not None and sock.embryo and connection.state is not State.SYN_RECEIVED:
            sock.embryo = False
            listener.embryos -= 1
            if connection.state is State.CLOSED:
                sock.closed = True
            else:
                listener.accept_queue.append(sock)
                self.changed[listener] = None
        self.touch(sock)

    # --- transmit

    def touch(self, sock: DevmemSocket) -> None:
        """Something happened to `sock`: its connection may have to send, its callers may go on."""
        self._to_transmit[sock] = None
        self.changed[sock] = None

    def transmit(self, now: float) -> bool:
        """Let connections send while the device takes frames; whether any has more to send."""
        waiting, self._to_transmit = self._to_transmit, {}
        for sock in waiting:
            if self.device.tx.stopped:
                self._to_transmit[sock] = None
                continue
            connection = sock.connection
            if connection is None:
                continue
            count = 0
            for segment in connection.segments_to_send(now, _SEGMENTS_PER_TURN):
                self._xmit_segment(segment, sock.remote[0], now)
                count += 1
            if count >= _SEGMENTS_PER_TURN:
                self._to_transmit[sock] = None
            if connection.state is State.CLOSED:
                self._forget(sock)
            else:
                self._schedule(sock, connection.next_timeout())
        return bool(self._to_transmit) and not self.device.tx.stopped

    def _xmit_segment(self, segment: Segment, remote: int, now: float) -> None:
        payload = segment.payload
        length = len(payload) if payload is not None else 0
        header = tcp.emit(segment.header)
        l4_bytes = len(header) + length
        checksum = pseudo_header_sum(self.config.address, remote, ipv4.TCP, l4_bytes)
        at = tcp.CHECKSUM_OFFSET
        packet = (
            ipv4.emit(self.config.address, remote, ipv4.TCP, l4_bytes)
            + header[:at] + checksum.to_bytes(2, "big") + header[at + 2 :]
        )
        assert payload is None or isinstance(payload, Frags)
        skb = Skb(memoryview(packet), payload)
        if segment.mss and length > segment.mss:
            skb.gso_size = segment.mss
            skb.wire_packets = -(-length // segment.mss)
        mac = self.neighbours.mac_of(remote)
        if mac is None:
            self.neighbours.wait_for(remote, skb, now)
        else:
            self._send_to_mac(skb, mac)

    def _send_to_mac(self, skb: Skb, mac: bytes) -> None:
        self._xmit(skb, mac, _L4_START)

    def _send_arp(self, packet: Arp) -> None:
        to = ethernet.BROADCAST if packet.operation == arp.REQUEST else packet.target_mac
        self._xmit(Skb(memoryview(arp.emit(packet)), None), to, 0, ethernet.TYPE_ARP)

    def _xmit(self, skb: Skb, mac: bytes, l4_start: int, ethertype: int = ethernet.TYPE_IPV4) -> None:
        """Put the Ethernet header in front and hand the skb to the device."""
        frame = ethernet.emit(mac, self.device.config.mac, ethertype) + skb.header
        skb.header = memoryview(frame)
        self.cpu.write_header(len(frame), skb.wire_packets)
        self.device.xmit(skb, l4_start)

    # --- timers and ends

    def _schedule(self, sock: DevmemSocket, at: float | None) -> None:
        """Make sure an entry fires no later than `at`. An entry that fires early is put back: deadlines
        move with every acknowledgement, and most moves are to later."""
        if at is not None and (sock.timer_at is None or at < sock.timer_at):
            sock.timer_at = at
            heapq.heappush(self._timers, (at, next(self._tie_break), sock))

    def next_timeout(self) -> float | None:
        times = [t for t in (self.neighbours.next_timeout(),) if t is not None]
        if self._timers:
            times.append(self._timers[0][0])
        return min(times, default=None)

    def handle_timeouts(self, now: float) -> None:
        self.neighbours.handle_timeout(now)
        while self._timers and self._timers[0][0] <= now:
            at, _, sock = heapq.heappop(self._timers)
            if sock.timer_at != at or sock.connection is None:
                continue  # an entry that a nearer deadline has overtaken
            sock.timer_at = None
            due = sock.connection.next_timeout()
            if due is not None and due <= now:
                sock.connection.handle_timeout(now)
                self._after_segments(sock)
            else:
                self._schedule(sock, due)

    def release(self, sock: DevmemSocket, now: float) -> None:
        """The application closed `sock`: forget it now, or when its connection ends."""
        if sock.backlog:
            self._listeners.pop(sock.local[1], None)
            for child in [c for c in self._connections.values() if c.listener is sock]:
                child.listener = None
                child.close(now)
        if sock.connection is None:
            self._unbind(sock)
        else:
            self.touch(sock)
        self.changed.pop(sock, None)

    def _forget(self, sock: DevmemSocket) -> None:
        """The connection is over; a socket that is still open keeps what can be read."""
        key = (sock.local[1], *sock.remote)
        if self._connections.get(key) is sock:
            del self._connections[key]
            if sock.connection is not None:
                self.counters.tcp_retrans_segs += sock.connection.info().total_retrans
        self._unbind(sock)

    def _unbind(self, sock: DevmemSocket) -> None:
        if self._bound.get(sock.local[1]) is sock:
            del self._bound[sock.local[1]]

    def sockets(self) -> list[DevmemSocket]:
        """Every socket with a connection or a backlog."""
        return [*self._connections.values(), *self._listeners.values()]

    def tcp_retrans_segs(self) -> int:
        """TcpRetransSegs of the whole endpoint."""
        live = (s.connection for s in self._connections.values() if s.connection is not None)
        return self.counters.tcp_retrans_segs + sum(c.info().total_retrans for c in live)
