"""The text of a .pkt file in, its steps out. Pure; owns nothing.

packetdrill's notation: a time, then `<` for a segment of the peer's, `>` for one that must be sent, a call
of the application's, or `%{ }%` around a Python condition. One step a line; `//` begins a comment. Lines
`--name=value` before the first step set up the connection, `--open=` with one of the handshakes below. Times:
`1.5` counts from the start, `+.2` from the step before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from nodes.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG

FLAGS = {"S": SYN, "F": FIN, "P": PSH, "R": RST, ".": ACK, "U": URG, "E": ECE, "W": CWR}
ECN = {"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}

_STEP = re.compile(r"(?P<sign>\+?)(?P<time>\d*\.?\d+)\s+(?P<rest>.+)")
_PACKET = re.compile(
    r"(?:\[(?P<ecn>\w+)\] )?(?P<flags>[SFPRUEW.]+) (?P<start>\d+):(?P<end>\d+)\((?P<length>\d+)\)"
    r"(?: ack (?P<ack>\d+))?(?: win (?P<win>\d+))?(?: urg (?P<urg>\d+))?(?: <(?P<options>.*)>)?"
)
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>[^)]*)\)(?: = (?P<result>.+))?")
_OPTION = re.compile(
    r"nop|eol|sackOK|mss (?P<mss>\d+)|wscale (?P<wscale>\d+)|TS val (?P<val>\d+) ecr (?P<ecr>\d+)"
    r"|sack (?P<sack>\d+:\d+(?: \d+:\d+)*)"
)


# A connection that a peer opened, 100 ms away; 65536 bytes of window there, 65535 here.
OPENINGS = {
    "passive": """
0 listen()
+0 < S 0:0(0) win 65535 <mss 1460,sackOK,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss 1460,sackOK,nop,wscale 0>
+.1 < . 1:1(0) ack 1 win 512
""",
    "timestamps": """
0 listen()
+0 < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 1 ecr 100,nop,wscale 0>
+.1 < . 1:1(0) ack 1 win 512 <nop,nop,TS val 200 ecr 1>
""",
    "plain": """
0 listen()
+0 < S 0:0(0) win 65535 <mss 1460>
+0 > S. 0:0(0) ack 1 <mss 1460>
+.1 < . 1:1(0) ack 1 win 65535
""",
    "ecn": """
0 listen()
+0 < [noecn] SEW 0:0(0) win 65535 <mss 1460,sackOK,nop,wscale 7>
+0 > [noecn] SE. 0:0(0) ack 1 <mss 1460,sackOK,nop,wscale 0>
+.1 < [noecn] . 1:1(0) ack 1 win 512
""",
}


class BadScript(ValueError):
    """A line that is not in the notation."""


@dataclass(frozen=True)
class Options:
    """TCP options as written. In an expectation what is None is not looked at, but SACK always is."""

    mss: int | None = None
    wscale: int | None = None
    sack_permitted: bool | None = None
    timestamps: tuple[int, int] | None = None
    sack: tuple[tuple[int, int], ...] = ()
    any: bool = False  # `<...>`


@dataclass(frozen=True)
class Packet:
    """A segment; numbers relative to the initial ones. None: not written."""

    flags: int
    start: int
    length: int
    ack: int | None
    win: int | None
    urg: int
    options: Options
    ecn: int | None


@dataclass(frozen=True)
class Step:
    """One line: at `at` seconds, `action` (`<`, `>`, `%` or a call's name) happens."""

    number: int
    text: str
    at: float
    action: str
    packet: Packet | None = None
    arguments: tuple[str, ...] = ()
    result: str | None = None


@dataclass(frozen=True)
class Script:
    title: str
    settings: dict[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()


def parse(text: str) -> Script:
    """Raises BadScript with the line."""
    settings: dict[str, str] = {}
    steps: list[Step] = []
    lines = text.splitlines()
    at = 0.0
    for number, line in enumerate(lines, 1):
        bare = line.split("//")[0].strip()
        if bare.startswith("--open="):
            for each in OPENINGS[bare[7:]].strip().splitlines():
                steps.append(_step(number, each, at))
                at = steps[-1].at
        elif bare.startswith("--"):
            name, _, value = bare[2:].partition("=")
            settings[name] = value
        elif bare:
            steps.append(_step(number, bare, at))
            at = steps[-1].at
    return Script(lines[0].lstrip("/ "), settings, tuple(steps))


def _step(number: int, text: str, before: float) -> Step:
    match = _STEP.fullmatch(text)
    if match is None:
        raise BadScript(f"line {number}: {text!r} does not begin with a time")
    at = float(match["time"]) + (before if match["sign"] else 0.0)
    if at < before:
        raise BadScript(f"line {number}: {text!r} goes back in time")
    rest = match["rest"]
    if rest[0] in "<>":
        return Step(number, text, at, rest[0], _packet(number, rest[1:].strip()))
    if rest.startswith("%{") and rest.endswith("}%"):
        return Step(number, text, at, "%", arguments=(rest[2:-2].strip(),))
    call = _CALL.fullmatch(rest)
    if call is None:
        raise BadScript(f"line {number}: {rest!r} is neither a segment, a condition nor a call")
    arguments = tuple(each.strip() for each in call["arguments"].split(",") if each.strip())
    return Step(number, text, at, call["name"], arguments=arguments, result=call["result"])


def _packet(number: int, text: str) -> Packet:
    match = _PACKET.fullmatch(text)
    if match is None:
        raise BadScript(f"line {number}: {text!r} is not a segment")
    start, end, length = int(match["start"]), int(match["end"]), int(match["length"])
    if end - start != length:
        raise BadScript(f"line {number}: {start}:{end} is not {length} bytes")
    flags = 0
    for letter in match["flags"]:
        flags |= FLAGS[letter]
    if match["ack"] is not None:
        flags |= ACK
    elif flags & ACK:
        raise BadScript(f"line {number}: {text!r} lacks its ack")
    return Packet(
        flags, start, length, _number(match["ack"]), _number(match["win"]), int(match["urg"] or 0),
        _options(number, match["options"] or ""), None if match["ecn"] is None else ECN[match["ecn"]],
    )  # fmt: skip


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _options(number: int, text: str) -> Options:
    if text == "...":
        return Options(any=True)
    mss = wscale = timestamps = None
    sack_permitted, blocks = None, []
    for part in text.split(",") if text else []:
        match = _OPTION.fullmatch(part.strip())
        if match is None:
            raise BadScript(f"line {number}: {part!r} is not an option")
        if part.strip() == "sackOK":
            sack_permitted = True
        mss = int(match["mss"]) if match["mss"] else mss
        wscale = int(match["wscale"]) if match["wscale"] else wscale
        timestamps = (int(match["val"]), int(match["ecr"])) if match["val"] else timestamps
        for block in (match["sack"] or "").split():
            left, _, right = block.partition(":")
            blocks.append((int(left), int(right)))
    return Options(mss, wscale, sack_permitted, timestamps, tuple(blocks))
