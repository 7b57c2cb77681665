"""What one emulated host is told at its start: its NICs, its kernel, its memory, and what it writes down.

In: values from a command line or a topology. Out: frozen records that cross to the endpoint process as JSON.
Owns the options of a host: every field that a command line offers is declared here, with its help and what
its value may be. Units are in the names; None means the NIC's own value, or no such thing.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated

import msgspec

from nodes import host_routes
from nodes.host_routes import NicAddresses
from nodes.kernel_version import DEFAULT, VERSIONS
from nodes.nic.nic_model import GENERIC, MODELS, RX_QUEUES_MAX, NicModelError, nic_model
from nodes.option import Option, OptionError, check_record
from nodes.quantity import QuantityError, parse_rate, parse_size
from nodes.uapi.socket import PAGE_SIZE
from nodes.wire import ethernet

RX_BUF_LENS = tuple(PAGE_SIZE << shift for shift in range(5))
GSO_MIN = 1514  # an Ethernet frame
GSO_MAX = 8 * 65535  # GSO_MAX_SIZE of include/linux/netdevice.h
TCP_MEM_MIN, TCP_MEM_MAX = 4096, 1 << 30
BUS_BW_MIN, BUS_BW_MAX = 10**6, 10**15


def listed(values: tuple[int, ...]) -> str:
    """`1, 2 or 3`."""
    return f"{', '.join(map(str, values[:-1]))} or {values[-1]}"


# --- what a text stands for, or why it cannot be


def _super_packet(text: str) -> int:
    size = parse_size(text)
    return GSO_MAX if size == 512 << 10 else size  # the kernel's limit is 8 bytes less than 512K


def _rx_buf_len(text: str) -> int:
    size = parse_size(text)
    if size not in RX_BUF_LENS:
        raise QuantityError(f"{text!r} is no size of a buffer; choose {listed(RX_BUF_LENS)}")
    return size


def _bus_rate(text: str) -> float:
    rate = parse_rate(text)
    if rate < BUS_BW_MIN:
        raise QuantityError("headers alone would take for ever; ask for 1MB/s or more")
    return rate


def tcp_mem(text: str) -> tuple[int, int, int]:
    """The three sizes of `4096,131072,6M`, in bytes, ascending. QuantityError, OptionError."""
    sizes = [parse_size(each) for each in text.split(",")]
    if len(sizes) != 3 or sizes != sorted(sizes) or not TCP_MEM_MIN <= sizes[0] <= sizes[2] <= TCP_MEM_MAX:
        raise OptionError(
            f"{text!r} is not three ascending sizes from {TCP_MEM_MIN} to {TCP_MEM_MAX} bytes; write them "
            "like 4096,131072,6M"
        )
    return sizes[0], sizes[1], sizes[2]


def _tcp_mem(text: str) -> str:
    tcp_mem(text)
    return text


def _impairment(text: str) -> str:
    # With it come the parsers of headers, and numpy, which takes its time.
    from nodes.nic.impairment import ImpairmentError, parse

    try:
        parse(text)
    except ImpairmentError as reason:
        raise OptionError(str(reason).removeprefix("--impair: ")) from None
    return text


def _ipv4_interface(text: str) -> str:
    try:
        address = ipaddress.IPv4Interface(text)
    except ValueError:
        raise OptionError(
            f"{text!r} is not an IPv4 address with a prefix length; write it like 10.0.1.1/16"
        ) from None
    network, ip = address.network, address.ip
    if "/" not in text:
        raise OptionError(f"{text!r} has no prefix length; write it like {text}/16")
    of_network = network.prefixlen < 31 and ip in (network.network_address, network.broadcast_address)
    if of_network or ip.is_multicast or ip.is_loopback or ip.is_reserved or int(ip) >> 24 == 0:
        raise OptionError(f"{text!r} cannot be a host's address; use one like 10.0.1.1/16")
    return text


def _ipv6_interface(text: str) -> str:
    try:
        address = ipaddress.IPv6Interface(text)
    except ValueError:
        raise OptionError(
            f"{text!r} is not an IPv6 address with a prefix length; write it like 2001:db8::1/64"
        ) from None
    ip = address.ip
    if "/" not in text:
        raise OptionError(f"{text!r} has no prefix length; write it like {text}/64")
    if ip.is_multicast or ip.is_link_local or ip.ipv4_mapped or int(ip) < 1 << 32 or ip.scope_id:
        raise OptionError(f"{text!r} is no global unicast address; use one like 2001:db8::1/64")
    return text


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise OptionError(f"{text!r} is not an IPv4 address; write it like 10.0.0.1") from None


def _gateway6(text: str) -> str:
    _ipv6_interface(f"{text}/128")
    return text


def _route(text: str) -> str:
    host_routes.parse(text)
    return text


def _mac(text: str) -> str:
    try:
        mac = ethernet.mac_bytes(text)
    except ValueError as reason:
        raise OptionError(f"{reason}; write six bytes in hexadecimal, 02:00:00:00:00:01") from None
    if mac[0] & 1 or not any(mac):
        raise OptionError(f"{text!r} is no unicast address; give one like 02:00:00:00:00:01")
    return text


def _channel(text: str) -> str:
    if not text:
        raise OptionError("the path is empty; give one like /tmp/h1.sock")
    return text


# --- the records


class HostOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all hosts of a network may share."""

    gso_max_bytes: Annotated[
        int,
        Option(
            f"Longest super-packet, {GSO_MIN} to {GSO_MAX} bytes; more than 64K is BIG TCP, 512K its limit.",
            flag="gso-max", parse=_super_packet, metavar="BYTES", default="64K", min=GSO_MIN, max=GSO_MAX,
        ),
    ] = 65536  # fmt: skip
    rx_queues: Annotated[
        int,
        Option(
            "Receive queues of each NIC; device memory needs 2 of them.",
            flag="queues", alias="rx-queues", metavar="N", min=1, max=RX_QUEUES_MAX,
        ),
    ] = 8  # fmt: skip
    rx_buf_len: Annotated[
        int,
        Option(
            f"Size of a host receive buffer: {listed(RX_BUF_LENS)}.",
            parse=_rx_buf_len, metavar="BYTES", default="4096; of a measuring run: --niov-size",
            choices=RX_BUF_LENS,
        ),
    ] = PAGE_SIZE  # fmt: skip
    nic: Annotated[
        str, Option("How a NIC splits headers, and what its driver lacks.", choices=(*MODELS,))
    ] = GENERIC.name
    header_buffer_bytes: Annotated[
        int | None,
        Option("Longest header that is split.", flag="header-buffer", metavar="BYTES", default="the NIC's"),
    ] = None
    tcp_ecn: Annotated[
        int, Option("Sysctl tcp_ecn of each endpoint (off, ask, grant if asked).", choices=(0, 1, 2))
    ] = 2
    tcp_rmem: Annotated[
        str,
        Option(
            "Sysctl tcp_rmem of each endpoint: least, first and largest receive buffer (without SO_RCVBUF).",
            parse=_tcp_mem, metavar="MIN,FIRST,MAX",
        ),
    ] = "4096,131072,25165824"  # fmt: skip
    tcp_wmem: Annotated[
        str,
        Option(
            "Sysctl tcp_wmem of each endpoint: least, first and largest send buffer (without SO_SNDBUF).",
            parse=_tcp_mem, metavar="MIN,FIRST,MAX",
        ),
    ] = "4096,16384,16777216"  # fmt: skip
    kernel: Annotated[str, Option("Kernel version whose devmem rules hold.", choices=(*VERSIONS,))] = (
        DEFAULT.name
    )
    host_mem_bw_bytes_per_s: Annotated[
        float | None,
        Option(
            "Ceiling of each host's memory traffic, as 2GB/s (1e6 and more bytes a second).",
            flag="host-mem-bw", parse=_bus_rate, metavar="B/S", min=BUS_BW_MIN, max=BUS_BW_MAX,
        ),
    ] = None  # fmt: skip
    pcie_bw_bytes_per_s: Annotated[
        float | None,
        Option(
            "Ceiling of each PCIe switch and direction of a host, likewise.",
            flag="pcie-bw", parse=_bus_rate, metavar="B/S", min=BUS_BW_MIN, max=BUS_BW_MAX,
        ),
    ] = None  # fmt: skip
    impair: Annotated[
        str | None,
        Option(
            "A bad wire at each endpoint's NIC, both ways (not for path kernel, whose wire stays clean), any "
            "of loss=0.01 (or in bursts, as tc-netem's gemodel:p,r,1-h,1-k),reorder=0.02,duplicate=0.001,"
            "corrupt=0.001 (chances of a wire packet),delay=1ms (at each NIC, each way: 4 ms of a round trip)"
            ",jitter=100us,seed=1.",
            parse=_impairment, metavar="LIST",
        ),
    ] = None  # fmt: skip


class NicConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One NIC: the Linux interface that is its wire, and the endpoint's own addresses on it, with prefix
    lengths ("10.0.1.1/16", "fd00::1:1/64"; "" for none). `mac`: "" for one made from the address.
    `gateway` and `gateway6`: "" for no default route by this NIC."""

    interface: Annotated[str, Option("The wire: an Ethernet interface that is up.", metavar="NAME")]
    address: Annotated[
        str, Option("The endpoint's; Linux must not have it.", parse=_ipv4_interface, metavar="A.B.C.D/N")
    ]
    address6: Annotated[
        str,
        Option("The endpoint's IPv6 address.", parse=_ipv6_interface, metavar="ADDR/N", default="none"),
    ] = ""
    mac: Annotated[
        str,
        Option("The endpoint's own.", parse=_mac, metavar="XX:..", default="local, made from the address"),
    ] = ""

    gateway: Annotated[
        str,
        Option("The default route's next hop, on this NIC's link.", parse=_ipv4, metavar="A.B.C.D",
               default="no default route"),
    ] = ""  # fmt: skip
    gateway6: Annotated[
        str,
        Option("Likewise for IPv6.", parse=_gateway6, metavar="ADDR", default="no default route"),
    ] = ""

    @property
    def addresses(self) -> NicAddresses:
        v6 = self.ipv6
        return NicAddresses(self.interface, (self.ipv4,) if v6 is None else (self.ipv4, v6))

    @property
    def ipv4(self) -> ipaddress.IPv4Interface:
        return ipaddress.IPv4Interface(self.address)

    @property
    def ipv6(self) -> ipaddress.IPv6Interface | None:
        return ipaddress.IPv6Interface(self.address6) if self.address6 else None

    @property
    def mac_bytes(self) -> bytes:
        """The endpoint's MAC, six bytes."""
        return ethernet.mac_bytes(self.mac) if self.mac else b"\x02\x00" + self.ipv4.ip.packed


class HostConfig(HostOptions, frozen=True, kw_only=True):
    """One host. `nics`: at least one. `channel`: the AF_UNIX path of its system calls; `name`: "" for the
    first interface's; `kernel_address`: of Linux's own stack on the first interface, or ""; `dad`: ask for a
    second whether the addresses are in use; `pcap` and `trace`: files to write, or ""; `seed` None: from the
    system."""

    nics: tuple[NicConfig, ...]
    channel: Annotated[
        str, Option("AF_UNIX path for applications (made, and removed).", parse=_channel, metavar="PATH")
    ]
    name: Annotated[str, Option("What the host is called.", default="the interface")] = ""
    kernel_address: Annotated[
        str,
        Option("Of Linux's own stack on the first interface.", parse=_ipv4, metavar="A.B.C.D"),
    ] = ""
    routes: Annotated[
        tuple[str, ...],
        Option(
            "A route, as 10.1.0.0/16,via=10.0.255.254 or fd01::/64,via=fd00::fe; also with dev=IF, metric=N, "
            "src=ADDR, or unreachable, prohibit, blackhole for via=.",
            flag="route", parse=_route, metavar="ROUTE",
        ),
    ] = ()  # fmt: skip
    dad: Annotated[
        bool,
        Option("Do not ask for a second whether another host has the addresses.", flag="nodad"),
    ] = True
    seed: Annotated[
        int | None, Option("For ports and initial sequence numbers.", default="from the system")
    ] = None
    pcap: Annotated[
        str,
        Option("Write a pcapng; of device memory it holds headers only.", metavar="FILE"),
    ] = ""
    trace: Annotated[
        str,
        Option("Write page_pool_state_hold and _release events, JSON by line.", metavar="FILE"),
    ] = ""


def check(config: HostConfig) -> None:
    """Raise OptionError, one sentence, unless every value of `config` and of its NICs can be. What only the
    machine can tell (an interface, an address in use) is not asked here."""
    check_record(config)
    if not config.nics:
        raise OptionError("nics: a host has at least one NIC; name its interface and address")
    for number, nic in enumerate(config.nics):
        try:
            check_record(nic)
        except OptionError as reason:
            raise OptionError(f"nics[{number}].{reason}") from None
    check_nic_model(config)
    check_routes(config)


def check_routes(config: HostConfig) -> None:
    """Raise OptionError unless every gateway is a neighbour, and the routes fit the NICs."""
    for nic in config.nics:
        host_routes.check_gateway("--gateway", nic.gateway, nic.ipv4, nic.interface)
        host_routes.check_gateway("--gateway6", nic.gateway6, nic.ipv6, nic.interface)
    host_routes.check(config.routes, [nic.addresses for nic in config.nics])


def check_nic_model(options: HostOptions) -> None:
    """Raise OptionError unless the NIC can have the header buffer that was asked for."""
    try:
        nic_model(options.nic, options.header_buffer_bytes)
    except NicModelError as reason:
        raise OptionError(str(reason)) from None


def encode(config: HostConfig) -> str:
    """The JSON with which `python -m nodes.endpoint --config` starts this host."""
    return msgspec.json.encode(config).decode()


def decode(text: str | bytes) -> HostConfig:
    """The host that JSON describes, checked. Raises OptionError."""
    try:
        config = msgspec.json.decode(text, type=HostConfig)
    except msgspec.DecodeError as reason:
        raise OptionError(f"it describes no host: {reason}") from None
    check(config)
    return config
