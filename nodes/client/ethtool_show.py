"""The replies of the ethtool family as the text that the program ethtool prints.

In: replies of nodes.client.ethtool. Out: text. Owns nothing. Source: the output of ethtool(8); scripts that
read ethtool's output can read this.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from nodes.client.netdev import Attributes

# ethtool's name of a feature, its short name for -K, and the kernel's features that it comprises
FEATURES = (
    ("rx-checksumming", "rx", ("rx-checksum",)),
    ("tx-checksumming", "tx", ("tx-checksum-ip-generic",)),
    ("scatter-gather", "sg", ("tx-scatter-gather",)),
    ("tcp-segmentation-offload", "tso", ("tx-tcp-segmentation",)),
    ("ntuple-filters", "ntuple", ("rx-ntuple-filter",)),
    ("receive-hashing", "rxhash", ("rx-hashing",)),
    ("rx-gro-hw", "rx-gro-hw", ("rx-gro-hw",)),
)
# -N's flow types, as -n calls them
FLOW_TYPES = {"tcp4": "TCP over IPv4", "tcp6": "TCP over IPv6", "ip4": "Raw IPv4", "ip6": "Raw IPv6"}
SUBTITLED = ("tx-checksumming", "scatter-gather", "tcp-segmentation-offload")
SPLIT = {"unknown": "n/a", "disabled": "off", "enabled": "on"}
_PER_LINE = 8


DRIVER = "devmem-testbed"


def settings(ifname: str) -> str:
    """Without an option. There is no PHY, and the wire's speed is the emulation's."""
    return _text([f"Settings for {ifname}:", "\tSpeed: Unknown!", "\tDuplex: Unknown! (255)"])


def driver() -> str:
    """-i"""
    empty = ("version", "firmware-version", "expansion-rom-version", "bus-info")
    supports = {
        "statistics": "yes", "test": "no", "eeprom-access": "no", "register-dump": "no", "priv-flags": "no",
    }  # fmt: skip
    lines = [f"driver: {DRIVER}", *(f"{name}: " for name in empty)]
    return _text([*lines, *(f"supports-{name}: {word}" for name, word in supports.items())])


def channels(ifname: str, reply: Attributes) -> str:
    """-l"""
    lines = [f"Channel parameters for {ifname}:"]
    for title, kind in (("Pre-set maximums", "max"), ("Current hardware settings", "count")):
        lines.append(f"{title}:")
        for name, key in (("RX", "rx"), ("TX", "tx"), ("Other", "other"), ("Combined", "combined")):
            lines.append(_tabbed(name, 16, reply.get(f"{key}-{kind}", "n/a")))
    return _text(lines)


def rings(ifname: str, reply: Attributes) -> str:
    """-g"""
    na = "n/a"
    maximums = [
        ("RX", reply["rx-max"]), ("RX Mini", na), ("RX Jumbo", na), ("TX", reply["tx-max"]),
        ("TX push buff len", na), ("HDS thresh", reply.get("hds-thresh-max", na)),
    ]  # fmt: skip
    current = [
        ("RX", reply["rx"]), ("RX Mini", na), ("RX Jumbo", na), ("TX", reply["tx"]),
        ("RX Buf Len", reply["rx-buf-len"]), ("CQE Size", na), ("TX Push", "off"), ("RX Push", "off"),
        ("TX push buff len", na), ("TCP data split", SPLIT[reply["tcp-data-split"]]),
        ("HDS thresh", reply.get("hds-thresh", na)),
    ]  # fmt: skip
    lines = [f"Ring parameters for {ifname}:"]
    for title, values in (("Pre-set maximums", maximums), ("Current hardware settings", current)):
        lines += [f"{title}:", *(_tabbed(name, 24, value) for name, value in values)]
    return _text(lines)


def features(ifname: str, reply: Attributes) -> str:
    """-k"""
    lines = [f"Features for {ifname}:"]
    for title, _, names in FEATURES:
        words = [_state(name, reply) for name in names]
        lines.append(f"{title}: {words[0]}")
        if title in SUBTITLED:
            lines += [f"\t{name}: {word}" for name, word in zip(names, words, strict=True)]
    return _text(lines)


def _state(name: str, reply: Attributes) -> str:
    return ("on" if name in reply["active"] else "off") + ("" if name in reply["hw"] else " [fixed]")


def statistics(reply: dict[str, int]) -> str:
    """-S"""
    return _text(["NIC statistics:", *(f"     {name}: {value}" for name, value in reply.items())])


def rss(ifname: str, rx_channels: int, reply: Attributes) -> str:
    """-x"""
    table, key = reply["indir"], reply["hkey"]
    lines = [f"RX flow hash indirection table for {ifname} with {rx_channels} RX ring(s):"]
    rows = [(at, table[at : at + _PER_LINE]) for at in range(0, len(table), _PER_LINE)]
    lines += [f"{at:5d}: " + "".join(f" {queue:5d}" for queue in row) for at, row in rows]
    lines += ["RSS hash key:", ":".join(key[i : i + 2] for i in range(0, len(key), 2))]
    lines += ["RSS hash function:", "    toeplitz: on", "    xor: off", "    crc32: off"]
    return _text(lines)


def rules(rx_channels: int, replies: list[Attributes]) -> str:
    """-n"""
    head = [f"{rx_channels} RX rings available", f"Total {len(replies)} rules", ""]
    return _text([*head, *(line for reply in replies for line in _rule(reply))])


def rule(reply: Attributes) -> str:
    """-n rule N"""
    return _text(_rule(reply))


def _rule(reply: Attributes) -> list[str]:
    kind = reply.get("flow-type", "tcp4")
    ipv6 = kind.endswith("6")
    lines = [f"Filter: {reply['location']}", f"\tRule Type: {FLOW_TYPES[kind]}"]
    addresses = (("Src", "src-ip"), ("Dest", "dst-ip"))
    lines += [f"\t{_address(title, reply, key, ipv6)}" for title, key in addresses]
    lines.append(f"\t{'Traffic Class' if ipv6 else 'TOS'}: 0x0 mask: 0xff")
    if kind.startswith("ip"):
        lines += [f"\t{_number('Protocol', reply, 'l4proto', 0xFF)}", "\tL4 bytes: 0x0 mask: 0xffffffff"]
    else:
        ports = (("Src port", "src-port"), ("Dest port", "dst-port"))
        lines += [f"\t{_number(title, reply, key, 0xFFFF)}" for title, key in ports]
    if "context" in reply:
        lines.append(f"\tRSS Context ID: {reply['context']}")
    queue = reply.get("queue", 0)
    lines += ["\tAction: Drop" if queue < 0 else f"\tAction: Direct to queue {queue}", ""]
    return lines


def _address(title: str, reply: Attributes, key: str, ipv6: bool) -> str:
    """ethtool's mask has the bits that are ignored, the reply's has those that are compared."""
    bits = 128 if ipv6 else 32
    everything = (1 << bits) - 1
    kind = ipaddress.IPv6Address if ipv6 else ipaddress.IPv4Address
    compared = int(kind(reply.get(f"{key}-mask", everything))) if key in reply else 0
    return f"{title} IP addr: {kind(reply.get(key, 0))} mask: {kind(everything ^ compared)}"


def _number(title: str, reply: Attributes, key: str, bits: int) -> str:
    compared = reply.get(f"{key}-mask", bits) if key in reply else 0
    return f"{title}: {reply.get(key, 0)} mask: 0x{bits ^ compared:x}"


def _tabbed(name: str, column: int, value: object) -> str:
    """The value begins in that column; a tab stop is 8 columns wide."""
    return f"{name}:" + "\t" * -((len(name) + 1 - column) // 8) + str(value)


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines)
