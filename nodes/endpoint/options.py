"""The endpoint's command line: every option's meaning, and whether its value can be.

In: words. Out: a namespace of checked values, or one sentence on stderr and exit status 2. Owns nothing;
what only the machine can tell (an interface, an address in use) is `interface`'s and the wire's.
"""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Callable
from typing import NoReturn

from nodes.kernel_version import DEFAULT, VERSIONS
from nodes.nic.impairment import ImpairmentConfig, ImpairmentError
from nodes.nic.impairment import parse as parse_impairment
from nodes.nic.nic_model import GENERIC, MODELS, RX_QUEUES_MAX, NicModelError, nic_model
from nodes.uapi.socket import PAGE_SIZE
from nodes.wire import ethernet

_RX_BUF_LENS = tuple(PAGE_SIZE << shift for shift in range(5))
_GSO_MIN = 1514  # an Ethernet frame
_GSO_MAX = 8 * 65535  # GSO_MAX_SIZE of include/linux/netdevice.h
_HOST_MEM_BW_MIN, _HOST_MEM_BW_MAX = 10**6, 10**15
_IMPAIR = """a bad wire, both ways, any of: loss=0.01,reorder=0.02,duplicate=0.001,corrupt=0.001 (chances of a
wire packet), delay=1ms,jitter=100us,seed=1"""


class _Parser(argparse.ArgumentParser):
    """Refuses in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        sentence = " ".join(message.removeprefix("argument ").split())
        self.exit(2, f"endpoint: {sentence}\n")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """`address` and `address6` are interfaces of ipaddress (the latter may be None), `mac` bytes, `nic` a
    NicModel, `impair` ImpairmentConfig or None. Exits with status 2 when a value cannot be."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.mac is None:
        options.mac = b"\x02\x00" + options.address.ip.packed
    try:
        options.nic = nic_model(options.nic, options.header_buffer)
    except NicModelError as e:
        parser.error(str(e))
    return options


def _parser() -> argparse.ArgumentParser:
    p = _Parser(
        prog=".venv/bin/python -m nodes.endpoint",
        description="A host's network stack with a packet-splitting NIC, on one interface and an address "
        "of its own. Applications reach it through --channel with nodes.client. SIGTERM or SIGINT stop it.",
        epilog="example: ip netns exec h1 .venv/bin/python -m nodes.endpoint --interface veth1 "
        "--address 10.0.1.1/16 --mac 02:00:00:00:01:01 --channel /tmp/h1.sock",
    )
    add = p.add_argument
    add("--interface", required=True, metavar="NAME", help="the wire: an Ethernet interface that is up")
    add("--address", required=True, type=_address, metavar="A.B.C.D/N",
        help="the endpoint's; Linux must not have it")  # fmt: skip
    add("--address6", type=_address6, metavar="ADDR/N", help="the endpoint's IPv6 address; default: none")
    add("--nodad", action="store_true",
        help="whether others have the addresses is known: do not ask for a second")  # fmt: skip
    add("--mac", type=_mac, metavar="XX:..",
        help="the endpoint's own; default: a local one made from the address")  # fmt: skip
    add("--channel", required=True, type=_path, metavar="PATH",
        help="AF_UNIX path for applications (made, and removed)")  # fmt: skip
    add("--name", default="", help="what the host is called; default: the interface")
    add("--kernel-address", type=_kernel_address, metavar="A.B.C.D",
        help="of Linux's own stack on the interface")  # fmt: skip
    add("--rx-queues", type=_number(int, 1, RX_QUEUES_MAX), default=8, metavar="N",
        help=f"receive queues, 1 to {RX_QUEUES_MAX}; device memory needs 2; default: 8")  # fmt: skip
    add("--rx-buf-len", type=_rx_buf_len, default=PAGE_SIZE, metavar="BYTES",
        help=f"size of a host receive buffer: {_listed(_RX_BUF_LENS)}; default: {PAGE_SIZE}")  # fmt: skip
    add("--gso-max", type=_number(int, _GSO_MIN, _GSO_MAX), default=65536, metavar="BYTES",
        help=f"longest frame, {_GSO_MIN} to {_GSO_MAX}; > 65536 needs BIG TCP; default: 65536")  # fmt: skip
    add("--tcp-ecn", type=int, choices=(0, 1, 2), default=2, help="sysctl tcp_ecn: off, ask, grant if asked")
    add("--host-mem-bw", type=_number(float, _HOST_MEM_BW_MIN, _HOST_MEM_BW_MAX), metavar="B/S",
        help="ceiling of host memory traffic, bytes a second (1e6 and more); default: none")  # fmt: skip
    add("--impair", type=_impair, metavar="LIST", help=_IMPAIR)
    add("--pcap", metavar="FILE", help="write a pcapng; of device memory it holds headers only")
    add("--kernel", choices=(*VERSIONS,), default=DEFAULT.name, help="whose devmem rules hold")
    add("--nic", choices=(*MODELS,), default=GENERIC.name, help="how it splits headers; its driver's gaps")
    add("--header-buffer", type=int, metavar="BYTES", help="longest header that is split; default: the NIC's")
    add("--trace", metavar="FILE", help="write page_pool_state_hold and _release events, JSON by line")
    add("--seed", type=int, help="for ports and initial sequence numbers; default: from the system")
    return p


def _listed(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"


# --- what each value must be; argparse puts the option's name in front of the sentence


def _number(kind: type[int] | type[float], least: int, most: int) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number; choose {least} to {most}") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is out of range; choose {least} to {most}")
        return value

    return convert


def _rx_buf_len(text: str) -> int:
    if text not in map(str, _RX_BUF_LENS):
        raise argparse.ArgumentTypeError(f"{text!r} is no size of a buffer; choose {_listed(_RX_BUF_LENS)}")
    return int(text)


def _address(text: str) -> ipaddress.IPv4Interface:
    try:
        address = ipaddress.IPv4Interface(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an IPv4 address with a prefix length; write it like 10.0.1.1/16"
        ) from None
    network, ip = address.network, address.ip
    if "/" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} has no prefix length; write it like {text}/16")
    whole = network.prefixlen < 31 and ip in (network.network_address, network.broadcast_address)
    if whole or ip.is_multicast or ip.is_loopback or ip.is_reserved or int(ip) >> 24 == 0:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be a host's address; use one like 10.0.1.1/16")
    return address


def _address6(text: str) -> ipaddress.IPv6Interface:
    try:
        address = ipaddress.IPv6Interface(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an IPv6 address with a prefix length; write it like 2001:db8::1/64"
        ) from None
    ip = address.ip
    if "/" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} has no prefix length; write it like {text}/64")
    if ip.is_multicast or ip.is_link_local or ip.ipv4_mapped or int(ip) < 1 << 32 or ip.scope_id:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no global unicast address; use one like 2001:db8::1/64"
        )
    return address


def _kernel_address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IPv4 address; write it like 10.0.0.1") from None


def _path(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; give one like /tmp/h1.sock")
    return text


def _mac(text: str) -> bytes:
    try:
        mac = ethernet.mac_bytes(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"{e}; write six bytes in hexadecimal, 02:00:00:00:00:01") from None
    if mac[0] & 1 or not any(mac):
        raise argparse.ArgumentTypeError(f"{text!r} is no unicast address; give one like 02:00:00:00:00:01")
    return mac


def _impair(text: str) -> ImpairmentConfig:
    try:
        return parse_impairment(text)
    except ImpairmentError as e:
        raise argparse.ArgumentTypeError(str(e).removeprefix("--impair: ")) from None
