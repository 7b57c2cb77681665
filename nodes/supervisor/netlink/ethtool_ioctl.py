"""SIOCETHTOOL: what programs ask of a NIC by ioctl, and what ethtool asks where netlink has no message.

In: trapped ioctls of any socket of the program. Out: structures in the program's memory, results. Owns
nothing. An interface that is none of the host's NICs is the kernel's. A command that is in no table here gets
the EOPNOTSUPP of a driver without the operation.
Source: dev_ethtool (net/ethtool/ioctl.c), include/uapi/linux/ethtool.h.
"""

from __future__ import annotations

import errno
import struct
from functools import partial

from nodes.client.ethtool import Ethtool
from nodes.client.ethtool_show import DRIVER
from nodes.client.host import Host
from nodes.supervisor import tracee
from nodes.supervisor.call import Call, GoOn, Handler, InThread
from nodes.supervisor.netlink import features_ioctl, rxfh_ioctl, rxnfc_ioctl
from nodes.supervisor.netlink.ioctl_memory import WORD, Command, Memory
from nodes.supervisor.netlink.string_sets import FEATURES, HASH_FUNCTIONS, STATS, feature_names, strings

_SIOCETHTOOL = 0x8946
_IFREQ = struct.Struct("=16sQ")  # ifr_name, ifr_data
_DRVINFO = struct.Struct("=I32s32s32s32s32s12s5I")
_RING = struct.Struct("=9I")  # cmd; maxima of rx, mini, jumbo, tx; the four now. Likewise channels
_SSET_INFO = struct.Struct("=IIQ")  # cmd, reserved, sset_mask
_GSTRINGS = struct.Struct("=III")  # cmd, string_set, len
_STRING_BYTES = 32  # ETH_GSTRING_LEN
_CHANNELS = ("rx", "tx", "other", "combined")


class EthtoolIoctl:
    """Of the NICs of `host`."""

    def __init__(self, host: Host) -> None:
        self._nics = {nic.ifname: nic.ifindex for nic in host.nics}
        self._ethtool = host.ethtool

    def is_asked(self, call: Call) -> bool:
        """Whether this ioctl may be one for us."""
        return call.args[1] & 0xFFFFFFFF == _SIOCETHTOOL and tracee.identity(call.pid, call.fd) != ""

    def ioctl(self, call: Call) -> Handler:
        """A thread asks the host. Raises GoOn for the interfaces of the kernel."""
        name, data = _IFREQ.unpack(call.read(2, _IFREQ.size))
        ifname = name.partition(b"\0")[0].decode(errors="replace")
        if ifname not in self._nics:
            raise GoOn
        memory = Memory(call.pid, data)
        (command,) = memory.unpack(WORD)
        call.shown = [str(call.fd), "SIOCETHTOOL", f"{ifname}, command {command:#x}"]
        return (yield InThread(partial(answer, command, memory, self._ethtool.of(self._nics[ifname]))))


def answer(command: int, memory: Memory, nic: Ethtool) -> int:
    """Raises OSError."""
    if command not in COMMANDS:
        raise OSError(errno.EOPNOTSUPP, f"ethtool command {command:#x}")
    return COMMANDS[command](memory, nic)


def _get_driver(memory: Memory, nic: Ethtool) -> int:
    """-i"""
    empty = (b"",) * 5
    counts = (0, len(nic.stats_get()), 0, 0, 0)
    memory.pack(_DRVINFO, memory.unpack(WORD)[0], DRIVER.encode(), *empty, *counts)
    return 0


# --- rings and channels


def _get_rings(memory: Memory, nic: Ethtool) -> int:
    """-g"""
    reply = nic.rings_get()
    command = memory.unpack(WORD)[0]
    memory.pack(_RING, command, reply["rx-max"], 0, 0, reply["tx-max"], reply["rx"], 0, 0, reply["tx"])
    return 0


def _set_rings(memory: Memory, nic: Ethtool) -> int:
    """-G. A NIC has no mini and no jumbo ring."""
    *_, rx, mini, jumbo, tx = memory.unpack(_RING)
    if mini or jumbo:
        raise OSError(errno.EINVAL, "the device has no mini and no jumbo ring")
    nic.rings_set({"rx": rx, "tx": tx})
    return 0


def _get_channels(memory: Memory, nic: Ethtool) -> int:
    """-l"""
    reply = nic.channels_get()
    counts = (reply.get(f"{kind}-{what}", 0) for what in ("max", "count") for kind in _CHANNELS)
    memory.pack(_RING, memory.unpack(WORD)[0], *counts)
    return 0


def _set_channels(memory: Memory, nic: Ethtool) -> int:
    """-L"""
    counts = memory.unpack(_RING)[5:]
    nic.channels_set({f"{kind}-count": count for kind, count in zip(_CHANNELS, counts, strict=True)})
    return 0


# --- strings and counters


def _get_string_sets(memory: Memory, nic: Ethtool) -> int:
    """How many strings the wanted sets have; the mask becomes that of the sets that there are."""
    command, reserved, wanted = memory.unpack(_SSET_INFO)
    known = [number for number in (STATS, FEATURES, HASH_FUNCTIONS) if wanted >> number & 1]
    sizes = [len(_strings(nic, number)) for number in known]
    memory.pack(_SSET_INFO, command, reserved, sum(1 << number for number in known))
    memory.write(b"".join(WORD.pack(size) for size in sizes), _SSET_INFO.size)
    return 0


def _strings(nic: Ethtool, number: int) -> list[str]:
    of_device = {FEATURES: feature_names(nic.features_get()), STATS: tuple(nic.stats_get())}
    return [*strings(of_device, number)]


def _get_strings(memory: Memory, nic: Ethtool) -> int:
    command, number, _ = memory.unpack(_GSTRINGS)
    found = _strings(nic, number)
    memory.pack(_GSTRINGS, command, number, len(found))
    cut = (each.encode()[: _STRING_BYTES - 1].ljust(_STRING_BYTES, b"\0") for each in found)
    memory.write(b"".join(cut), _GSTRINGS.size)
    return 0


def _get_stats(memory: Memory, nic: Ethtool) -> int:
    """-S"""
    values = nic.stats_get().values()
    memory.pack(struct.Struct(f"=II{len(values)}Q"), memory.unpack(WORD)[0], len(values), *values)
    return 0


COMMANDS: dict[int, Command] = {
    0x03: _get_driver,
    0x10: _get_rings,
    0x11: _set_rings,
    0x1B: _get_strings,
    0x1D: _get_stats,
    0x37: _get_string_sets,
    0x3C: _get_channels,
    0x3D: _set_channels,
    **features_ioctl.COMMANDS,
    **rxnfc_ioctl.COMMANDS,
    **rxfh_ioctl.COMMANDS,
}
