"""A script's steps in, a failure that quotes the line out. Owns the clock, the peer and the application.

Every step is exact: a segment must leave at the time that the script says, and a segment that the script does
not expect fails it. Each script runs from several origins of sequence numbers and timestamps, since nothing
may depend on where the numbers begin.
"""

from __future__ import annotations

import errno
import random
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

from nodes.tcp.config import TcpConfig
from nodes.tcp.connection import Connection, State, reset_for
from nodes.tcp.keepalive import Keepalive
from nodes.tcp.segment import Segment
from nodes.wire.tcp import ACK, FIN, RST, SYN, TcpHeader
from tests.tcp.packetdrill.script import ECN, FLAGS, Options, Packet, Script, Step
from tests.tcp.two_ends import Ledger, contents

MASK = 0xFFFFFFFF
SAME_S = 1e-6  # two times this near are one
_BLOCK = random.Random(1).randbytes(4099)
# Of a compiled class, `type` is the type itself.
_SETTINGS = {each.name: getattr(each.type, "__name__", each.type) for each in fields(TcpConfig)}
_KINDS: dict[object, Callable[[str], object]] = {"str": str, "float": float, "bool": lambda t: bool(int(t))}
_FLAG_NAMES = {value: letter for letter, value in FLAGS.items()}
_ECN_NAMES = {value: name for name, value in ECN.items()}


@dataclass(frozen=True)
class Origin:
    """Where numbers begin: our ISS, the peer's, both timestamp clocks (milliseconds)."""

    iss: int
    irs: int
    our_ms: int
    peer_ms: int


ORIGINS = (
    Origin(0, 0, 0, 0),
    Origin(0xFFFFFFF0, 0xFFFFFF05, 0xFFFFFF00, 0xFFFFFFF0),
    Origin(0x7FFFF000, 0x7FFFFF00, 0x7FFFFFF0, 0x7FFFFFFE),
)


def stream(start: int, count: int) -> bytes:
    """Bytes [start, start + count) of the stream that both sides send."""
    at = start % len(_BLOCK)
    return (_BLOCK * (count // len(_BLOCK) + 2))[at : at + count]


def config_of(settings: dict[str, str]) -> TcpConfig:
    """A TcpConfig from `--name=value` lines: Linux's defaults, but no super-segments unless asked for."""
    values: dict[str, object] = {"mss": 1460, "nodelay": False, "send_buffer_bytes": 1 << 20}
    values["receive_buffer_bytes"] = 131070
    for name, text in settings.items():
        values[name] = _KINDS.get(_SETTINGS[name], int)(text)
    values.setdefault("max_segment_bytes", values["mss"])
    return TcpConfig(**values)  # type: ignore[arg-type]


class Runner:
    """Plays one script from one origin. AssertionError names the line."""

    def __init__(self, script: Script, origin: Origin) -> None:
        self.script = script
        self.origin = origin
        self.ledger = Ledger()
        self.base = origin.our_ms / 1000
        self.now = self.base
        self.config = config_of(script.settings)
        self.connection: Connection | None = None
        self.listening = False
        self.sent: deque[tuple[float, Segment]] = deque()
        self.written = self.read_bytes = 0
        self.linger: int | None = None
        self.keepalive = {"SO_KEEPALIVE": 0, "TCP_KEEPIDLE": 7200, "TCP_KEEPINTVL": 75, "TCP_KEEPCNT": 9}

    def run(self) -> None:
        for step in self.script.steps:
            try:
                self._play(step)
            except AssertionError as wrong:
                raise AssertionError(f"line {step.number}: {step.text}\n  {wrong}\n  {self.origin}") from None
        self._quiet()
        self.ledger.settle()

    def _play(self, step: Step) -> None:
        at = self.base + step.at
        if step.action == ">":
            assert step.packet is not None
            if not self.sent:
                self._advance(at + SAME_S)
            self._expect(step.packet, at)
            return
        self._quiet()
        self._advance(at - SAME_S)
        self._quiet()
        self.now = max(self.now, at)
        if step.action == "<":
            assert step.packet is not None
            self._inject(step.packet)
        elif step.action == "%":
            self._check(step.arguments[0])
        else:
            self._call(step)
        self._collect()

    # --- time

    def _advance(self, to: float) -> None:
        """Handle deadlines up to `to`; stop at the first segment that is sent."""
        while self.connection is not None and not self.sent:
            at = self.connection.next_timeout()
            if at is None or at > to:
                break
            self.now = max(self.now, at)
            self.connection.handle_timeout(self.now)
            self._collect()
            again = self.connection.next_timeout()
            assert again is None or again > self.now, "a deadline stays in the past"

    def _collect(self) -> None:
        while self.connection is not None and (batch := self.connection.segments_to_send(self.now)):
            self.sent.extend((self.now, each) for each in batch)

    def _quiet(self) -> None:
        assert not self.sent, f"sent {self._text(*self.sent[0])}, which nothing expects"

    # --- segments

    def _expect(self, packet: Packet, at: float) -> None:
        assert self.sent, "nothing was sent"
        when, segment = self.sent.popleft()
        text = self._text(when, segment)
        data = contents(segment.payload)
        if segment.payload is not None:
            segment.payload.release()
        assert abs(when - at) <= 2 * SAME_S, f"sent {text}"
        header = segment.header
        iss = self.origin.iss if self.connection is not None else 0
        found = (header.flags, header.seq - iss & MASK, len(data))
        assert found == (packet.flags, packet.start, packet.length), f"sent {text}"
        if packet.ack is not None:
            assert header.ack - self.origin.irs & MASK == packet.ack, f"sent {text}"
        assert packet.win in (None, header.window), f"sent {text}"
        assert packet.ecn in (None, segment.ecn), f"sent {text}"
        self._expect_options(packet.options, header, text)
        assert data == stream(packet.start - 1, len(data)), f"other bytes in {text}"
        self.now = max(self.now, when)

    def _expect_options(self, options: Options, header: TcpHeader, text: str) -> None:
        if options.any:
            return
        if not header.flags & SYN:
            assert (header.mss, header.wscale, header.sack_permitted) == (None, None, False), text
        irs = self.origin.irs
        sack = tuple((left - irs & MASK, right - irs & MASK) for left, right in header.sack)
        assert sack == options.sack, f"sent {text}"
        assert options.mss in (None, header.mss), f"sent {text}"
        assert options.wscale in (None, header.wscale), f"sent {text}"
        assert options.sack_permitted in (None, header.sack_permitted), f"sent {text}"
        if options.timestamps is not None:
            assert header.ts_val is not None, f"sent {text}"
            val = header.ts_val - self.origin.our_ms & MASK
            assert abs(val - options.timestamps[0]) <= 1, f"sent {text}"  # a millisecond of rounding
            ecr = options.timestamps[1] and options.timestamps[1] + self.origin.peer_ms & MASK
            assert header.ts_ecr == ecr, f"sent {text}"

    def _inject(self, packet: Packet) -> None:
        origin, options = self.origin, packet.options
        header = TcpHeader(9, 80, packet.start + origin.irs & MASK, 0, packet.flags, packet.win or 0)
        iss = origin.iss if self.connection is not None else 0
        header.urgent = packet.urg
        if packet.ack is not None:
            header.ack = packet.ack + iss & MASK
        header.mss, header.wscale = options.mss, options.wscale
        header.sack_permitted = bool(options.sack_permitted)
        if options.timestamps is not None:
            header.ts_val = options.timestamps[0] + origin.peer_ms & MASK
            header.ts_ecr = options.timestamps[1] and options.timestamps[1] + origin.our_ms & MASK
        header.sack = tuple((left + iss & MASK, right + iss & MASK) for left, right in options.sack)
        data = stream(packet.start - 1, packet.length)
        payload = self.ledger.payload(data) if data else None
        self._receive(Segment(header, payload, ecn=packet.ecn or 0))

    def _receive(self, segment: Segment) -> None:
        """What the socket layer does with a segment: it is for a connection, for a listener, or is
        refused."""
        header, old = segment.header, self.connection
        opens = self.listening and header.flags & (SYN | ACK | RST | FIN) == SYN
        if old is not None and old.state is State.TIME_WAIT and opens:
            waiting = old.tcb.time_wait
            iss = None if waiting is None else waiting.iss_for_reopening(header, self.now)
            if iss is not None:
                old.abort(self.now)
                self.origin = Origin(iss, self.origin.irs, self.origin.our_ms, self.origin.peer_ms)
                self.connection = self.ledger.keep(Connection.accept(self.config, segment, iss, self.now))
                return
        if old is not None and old.state is not State.CLOSED:
            old.receive_segment(segment, self.now)
        elif opens:
            iss = self.origin.iss
            self.connection = self.ledger.keep(Connection.accept(self.config, segment, iss, self.now))
        else:
            reset = reset_for(segment)
            if segment.payload is not None:
                segment.payload.release()
            if reset is not None:
                self.sent.append((self.now, reset))

    def _text(self, when: float, segment: Segment) -> str:
        """A segment in the script's notation."""
        header, iss, irs = segment.header, self.origin.iss, self.origin.irs
        flags = "".join(letter for letter, bit in FLAGS.items() if header.flags & bit and letter != ".")
        start, length = header.seq - iss & MASK, len(contents(segment.payload))
        text = f"+{when - self.base:.6f} > [{_ECN_NAMES[segment.ecn]}] {flags}"
        text += f"{'.' if header.flags & ACK else ''} {start}:{start + length}({length})"
        text += f" ack {header.ack - irs & MASK} win {header.window}"
        if header.ts_val is not None:
            text += f" TS val {header.ts_val - self.origin.our_ms & MASK}"
            text += f" ecr {header.ts_ecr - self.origin.peer_ms & MASK}"
        return text + "".join(f" sack {a - irs & MASK}:{b - irs & MASK}" for a, b in header.sack)

    # --- the application

    def _check(self, condition: str) -> None:
        names: dict[str, object] = {"inf": float("inf")}
        if self.connection is not None:
            info = asdict(self.connection.info(self.now))
            names |= {f"tcpi_{name}": value for name, value in info.items()}
            names |= {"state": self.connection.state.name, "mib": self.config.netns.mib}
            names["error"] = errno.errorcode.get(self.connection.error, "")
            names["room"] = self.connection.send_room
        shown = {name: value for name, value in names.items() if name in condition}
        assert eval(condition, {"__builtins__": {"abs": abs}}, names), f"it is {shown}"

    def _call(self, step: Step) -> None:
        call: Callable[..., object] = getattr(self, f"_do_{step.action}")
        result = call(*step.arguments)
        expected = step.result
        if expected is None and step.action in ("read", "write"):
            expected = step.arguments[0]
        if expected is not None:
            assert str(result) == expected, f"returned {result}"

    def _connected(self) -> Connection:
        assert self.connection is not None, "no connection yet"
        return self.connection

    def _do_listen(self) -> None:
        self.listening = True

    def _do_connect(self) -> None:
        made = Connection.connect(self.config, 80, 9, self.origin.iss, self.now)
        self.connection = self.ledger.keep(made)

    def _do_write(self, count: str, flags: str = "") -> str:
        try:
            self._connected().send(self.ledger.payload(stream(self.written, int(count))), self.now)
        except BrokenPipeError:
            return "EPIPE"
        self.written += int(count)
        if flags:
            self._connected().end_of_send("MSG_MORE" in flags, "MSG_EOR" in flags)
        return count

    def _do_read(self, count: str) -> str:
        connection, wanted, data = self._connected(), int(count), b""
        while connection.received and len(data) < wanted:
            payload = connection.received.popleft()
            taken = min(len(payload), wanted - len(data))
            data += contents(payload)[:taken]
            if taken < len(payload):
                connection.received.appendleft(payload.slice(taken, len(payload)))
            payload.release()
        assert data == stream(self.read_bytes, len(data)), "other bytes than the peer sent"
        self.read_bytes += len(data)
        if data:
            connection.consumed(len(data), self.now)
        elif connection.error:
            return errno.errorcode[connection.error]
        return str(len(data)) if data or connection.fin_received else "EAGAIN"

    def _do_shutdown(self) -> None:
        self._connected().shutdown(self.now)

    def _do_close(self) -> None:
        if self.linger == 0:
            self._connected().abort(self.now)
        else:
            self._connected().close(self.now)

    def _do_path_mtu(self, mtu: str, seq: str) -> None:
        quoted = int(seq) + self.origin.iss & MASK
        self._connected().icmp_err.on_packet_too_big(int(mtu), quoted, True, self.now)

    def _do_path_mtu_expired(self, mtu: str) -> None:
        self._connected().icmp_err.on_path_mtu_expired(int(mtu))

    def _do_setsockopt(self, name: str, value: str) -> None:
        number = int(value)
        if name == "SO_LINGER":
            self.linger = number
        elif name == "TCP_NODELAY":
            self._connected().sockopt.set_nodelay(bool(number))
        elif name == "TCP_CORK":
            self._connected().sockopt.set_cork(bool(number))
        elif name == "TCP_USER_TIMEOUT":
            self._connected().sockopt.set_user_timeout(number / 1000)
        elif name == "TCP_LINGER2":
            self._connected().sockopt.set_linger2(number)
        elif name == "SO_MAX_PACING_RATE":
            self._connected().sockopt.set_max_pacing_rate(number)
        else:
            self.keepalive[name] = number
            on, idle, interval, count = self.keepalive.values()
            self._connected().sockopt.set_keepalive(Keepalive(idle, interval, count) if on else None)
