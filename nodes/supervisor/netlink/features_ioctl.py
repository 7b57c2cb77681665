"""The offload features of a NIC by ioctl: ETHTOOL_GFEATURES, ETHTOOL_SFEATURES, and the older commands with
one feature each.

In: structures in the program's memory. Out: the same, results. Owns nothing. A feature's bit is its place in
the string set. Source: net/ethtool/ioctl.c (ethtool_set_features, ethtool_get_feature_mask).
"""

from __future__ import annotations

import errno
import struct
from functools import partial

from nodes.client.ethtool import Ethtool
from nodes.client.netdev import Attributes
from nodes.supervisor.netlink.ioctl_memory import Command, Memory
from nodes.supervisor.netlink.string_sets import feature_names

_HEAD = struct.Struct("=II")  # cmd, and the number of blocks or the value
_GET = struct.Struct("=4I")  # available, requested, active, never_changed
_SET = struct.Struct("=2I")  # valid, requested
_BITS = 32
_UNSUPPORTED, _WISH = 1, 2  # ETHTOOL_F_*: bits of the result
# The command that gets one feature; the one that sets it has the next number. The last two are in no set of
# ours: such a feature is off.
_GETS = {
    0x14: "rx-checksum", 0x16: "tx-checksum-ip-generic", 0x18: "tx-scatter-gather",
    0x1E: "tx-tcp-segmentation", 0x23: "tx-generic-segmentation", 0x2B: "rx-gro",
}  # fmt: skip
_FLAGS = {"rx-ntuple-filter": 1 << 27, "rx-hashing": 1 << 28}  # ETH_FLAG_*


def _get(memory: Memory, nic: Ethtool) -> int:
    command, room = memory.unpack(_HEAD)
    reply = nic.features_get()
    names = feature_names(reply)
    blocks = b""
    for at in range(0, len(names), _BITS):
        hw, active = (_word(names[at : at + _BITS], reply[kind]) for kind in ("hw", "active"))
        blocks += _GET.pack(hw, hw & active, active, 0)
    memory.pack(_HEAD, command, len(blocks) // _GET.size)
    memory.write(blocks[: room * _GET.size], _HEAD.size)
    return 0


def _word(names: tuple[str, ...], among: list[str]) -> int:
    return sum(1 << at for at, name in enumerate(names) if name in among)


def _set(memory: Memory, nic: Ethtool) -> int:
    """The result tells of features that cannot be changed, and of wishes that were not granted."""
    _, count = memory.unpack(_HEAD)
    reply = nic.features_get()
    names = feature_names(reply)
    if count != -(-len(names) // _BITS):
        raise OSError(errno.EINVAL, f"{count} blocks of features")
    wanted: dict[str, bool] = {}
    for block in range(count):
        valid, requested = memory.unpack(_SET, _HEAD.size + block * _SET.size)
        for bit in range(_BITS):
            if valid >> bit & 1:
                if block * _BITS + bit >= len(names):
                    raise OSError(errno.EINVAL, f"there is no feature {block * _BITS + bit}")
                wanted[names[block * _BITS + bit]] = bool(requested >> bit & 1)
    changeable = {name: on for name, on in wanted.items() if name in reply["hw"]}
    result = 0 if len(changeable) == len(wanted) else _UNSUPPORTED
    active = nic.features_set(changeable)["active"]
    return result | _WISH if any(on is not (name in active) for name, on in changeable.items()) else result


def _get_one(name: str, memory: Memory, nic: Ethtool) -> int:
    memory.pack(_HEAD, memory.unpack(_HEAD)[0], name in nic.features_get()["active"])
    return 0


def _set_one(name: str, memory: Memory, nic: Ethtool) -> int:
    _change(nic, nic.features_get(), {name: bool(memory.unpack(_HEAD)[1])})
    return 0


def _get_flags(memory: Memory, nic: Ethtool) -> int:
    active = nic.features_get()["active"]
    memory.pack(_HEAD, memory.unpack(_HEAD)[0], sum(bit for name, bit in _FLAGS.items() if name in active))
    return 0


def _set_flags(memory: Memory, nic: Ethtool) -> int:
    value, reply = memory.unpack(_HEAD)[1], nic.features_get()
    if value & ~sum(_FLAGS.values()):
        raise OSError(errno.EINVAL, f"flags {value:#x}")
    wanted = {name: bool(value & bit) for name, bit in _FLAGS.items()}
    _change(nic, reply, {name: on for name, on in wanted.items() if on is not (name in reply["active"])})
    return 0


def _change(nic: Ethtool, reply: Attributes, wanted: dict[str, bool]) -> None:
    """EOPNOTSUPP for what cannot be changed."""
    fixed = [name for name in wanted if name not in reply["hw"]]
    if fixed:
        raise OSError(errno.EOPNOTSUPP, f"{fixed[0]} cannot be changed")
    nic.features_set(wanted)


COMMANDS: dict[int, Command] = {
    0x3A: _get,
    0x3B: _set,
    0x25: _get_flags,
    0x26: _set_flags,
    **{command: partial(_get_one, name) for command, name in _GETS.items()},
    **{command + 1: partial(_set_one, name) for command, name in _GETS.items()},
}
