"""TCP headers: bytes to a TcpHeader and back. Pure; owns nothing.

Source: RFC 9293 section 3.1 (header), RFC 7323 (timestamps, window scale), RFC 2018 (SACK).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

from nodes.wire import ip
from nodes.wire.checksum import pseudo_header_sum
from nodes.wire.network_order import BytesWriter, put_u16, put_u32, u16, u32

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20
ECE: Final = 0x40
CWR: Final = 0x80

HEADER_BYTES: Final = 20
CHECKSUM_OFFSET: Final = 16  # where the checksum field lies in the TCP header

_HEADER: Final = struct.Struct("!HHIIBBHHH")
_TIMESTAMPED_BYTES: Final = 32
_SACK_BLOCK: Final = struct.Struct("!II")
_TS_WORD: Final = 0x0101080A  # NOP NOP, kind 8, length 10: as Linux and we place timestamps
MAX_SACK_BLOCKS: Final = 4


class MalformedTcp(ValueError):
    """A length field contradicts the segment (RFC 9293 section 3.1); the caller drops and counts it."""


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(slots=True, init=False)
class TcpHeader:
    """One header. `window` is the field of the header, without window scale. An absent option is None or
    empty."""

    src_port: int
    dst_port: int
    seq: int
    ack: int
    flags: int
    window: int
    urgent: int = 0
    mss: int | None = None
    wscale: int | None = None
    sack_permitted: bool = False
    ts_val: int | None = None
    ts_ecr: int = 0
    sack: tuple[tuple[int, int], ...] = ()

    def __init__(
        self, src_port: int, dst_port: int, seq: int, ack: int, flags: int, window: int, urgent: int = 0,
        mss: int | None = None, wscale: int | None = None, sack_permitted: bool = False,
        ts_val: int | None = None, ts_ecr: int = 0, sack: tuple[tuple[int, int], ...] = (),
    ) -> None:  # fmt: skip
        self.src_port = src_port
        self.dst_port = dst_port
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.window = window
        self.urgent = urgent
        self.mss = mss
        self.wscale = wscale
        self.sack_permitted = sack_permitted
        self.ts_val = ts_val
        self.ts_ecr = ts_ecr
        self.sack = sack


def parse(data: bytes, start: int = 0) -> tuple[TcpHeader, int]:
    """The header at `data[start]`, and its length in bytes.

    Raises MalformedTcp if the header, its data offset or an option runs past the end of `data`.
    """
    present = len(data) - start
    if present < HEADER_BYTES:
        raise MalformedTcp(f"TCP header of {present} bytes is shorter than 20")
    length = (data[start + 12] >> 4) * 4
    if not HEADER_BYTES <= length <= present:
        raise MalformedTcp(f"TCP data offset of {length} bytes, {present} present")
    src, dst, seq, ack = u16(data, start), u16(data, start + 2), u32(data, start + 4), u32(data, start + 8)
    flags, window, urgent = data[start + 13], u16(data, start + 14), u16(data, start + 18)
    header, options = TcpHeader(src, dst, seq, ack, flags, window, urgent), start + HEADER_BYTES
    if length == _TIMESTAMPED_BYTES and u32(data, options) == _TS_WORD:
        header.ts_val, header.ts_ecr = u32(data, options + 4), u32(data, options + 8)
    elif length > HEADER_BYTES:
        _parse_options(header, data[options : start + length])
    return header, length


def _parse_options(header: TcpHeader, options: bytes) -> None:
    at = 0
    while at < len(options):
        kind = options[at]
        if kind == 0:
            return
        if kind == 1:
            at += 1
            continue
        if at + 1 >= len(options) or options[at + 1] < 2 or at + options[at + 1] > len(options):
            raise MalformedTcp(f"TCP option {kind} runs out of the header")
        size = options[at + 1]
        body = options[at + 2 : at + size]
        if kind == 2 and size == 4:
            header.mss = int.from_bytes(body, "big")
        elif kind == 3 and size == 3:
            header.wscale = min(body[0], 14)  # RFC 7323 section 2.3
        elif kind == 4 and size == 2:
            header.sack_permitted = True
        elif kind == 5 and (size - 2) % 8 == 0:
            header.sack = tuple(_SACK_BLOCK.iter_unpack(body))
        elif kind == 8 and size == 10:
            header.ts_val, header.ts_ecr = _SACK_BLOCK.unpack(body)
        at += size


def emit(header: TcpHeader, checksum: int = 0) -> bytes:
    """The bytes of the header, options padded to a multiple of 32 bits. `checksum`: the value of the field.

    40 bytes of options have room for MAX_SACK_BLOCKS blocks, or for three beside timestamps; others are left
    out.
    """
    if _is_timestamped(header):
        return _emit_timestamped(header, checksum)
    return _emit_with(_emit_options(header), header, checksum)


def emit_partial(header: TcpHeader, src: int, dst: int, payload_bytes: int) -> bytes:
    """As `emit`, of a packet whose checksum the NIC fills in: the field has the sum of the pseudo header
    (CHECKSUM_PARTIAL). Addresses are integers of 32 or 128 bits."""
    if _is_timestamped(header):
        length = _TIMESTAMPED_BYTES + payload_bytes
        return _emit_timestamped(header, pseudo_header_sum(src, dst, ip.TCP, length))
    options = _emit_options(header)
    length = HEADER_BYTES + len(options) + payload_bytes
    return _emit_with(options, header, pseudo_header_sum(src, dst, ip.TCP, length))


def _is_timestamped(header: TcpHeader) -> bool:
    """Whether timestamps are its only option, as of most segments."""
    return (
        header.ts_val is not None
        and not header.sack
        and header.mss is None
        and header.wscale is None
        and not header.sack_permitted
    )


def _emit_timestamped(header: TcpHeader, checksum: int) -> bytes:
    assert header.ts_val is not None
    out = BytesWriter()
    put_u16(out, header.src_port)
    put_u16(out, header.dst_port)
    put_u32(out, header.seq)
    put_u32(out, header.ack)
    put_u16(out, _TIMESTAMPED_BYTES << 10 | header.flags)
    put_u16(out, header.window)
    put_u16(out, checksum)
    put_u16(out, header.urgent)
    put_u32(out, _TS_WORD)
    put_u32(out, header.ts_val)
    put_u32(out, header.ts_ecr)
    return out.getvalue()


def _emit_with(options: bytes, header: TcpHeader, checksum: int) -> bytes:
    fixed = _HEADER.pack(
        header.src_port, header.dst_port, header.seq, header.ack,
        (HEADER_BYTES + len(options)) << 2, header.flags, header.window, checksum, header.urgent,
    )  # fmt: skip
    return fixed + options


def _emit_options(header: TcpHeader) -> bytes:
    options = b""
    if header.mss is not None:
        options += struct.pack("!BBH", 2, 4, header.mss)
    if header.sack_permitted:
        options += b"\x04\x02" if header.ts_val is not None else b"\x01\x01\x04\x02"
    if header.ts_val is not None:
        pad = b"" if header.sack_permitted else b"\x01\x01"
        options += pad + struct.pack("!BBII", 8, 10, header.ts_val, header.ts_ecr)
    if header.wscale is not None:
        options += struct.pack("!BBBB", 1, 3, 3, header.wscale)
    if header.sack:
        room = (40 - len(options) - 4) // 8
        blocks = header.sack[: min(room, MAX_SACK_BLOCKS)]
        options += struct.pack("!BBBB", 1, 1, 5, 2 + 8 * len(blocks))
        options += b"".join(_SACK_BLOCK.pack(left, right) for left, right in blocks)
    return options
