"""What one emulated host is told at its start: its NICs, its kernel, its memory, and what it writes down.

In: values from a command line or a topology. Out: frozen records that cross to the endpoint process as JSON.
Owns nothing. Units are in the names; None means the NIC's own value, or no such thing.
"""

from __future__ import annotations

import msgspec

from nodes.kernel_version import DEFAULT


class HostOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all hosts of a network may share."""

    gso_max_bytes: int = 65536
    rx_queues: int = 8
    rx_buf_len: int = 4096
    nic: str = "generic"
    header_buffer_bytes: int | None = None
    tcp_ecn: int = 2
    kernel: str = DEFAULT.name
    host_mem_bw_bytes_per_s: float | None = None
    impair: str | None = None


class NicConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One NIC: the Linux interface that is its wire, and the endpoint's own addresses on it, with prefix
    lengths ("10.0.1.1/16", "fd00::1:1/64"; "" for none). `mac`: "" for one made from the address."""

    interface: str
    address: str
    address6: str = ""
    mac: str = ""


class HostConfig(HostOptions, frozen=True, kw_only=True):
    """One host. `channel`: the AF_UNIX path of its system calls; `kernel_address`: of Linux's own stack on
    the first interface, or ""; `dad`: ask for a second whether the addresses are in use; `pcap` and `trace`:
    files to write, or ""; `seed` None: from the system."""

    nics: tuple[NicConfig, ...]
    channel: str
    name: str = ""
    kernel_address: str = ""
    dad: bool = True
    seed: int | None = None
    pcap: str = ""
    trace: str = ""
