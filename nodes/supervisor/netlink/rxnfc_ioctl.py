"""The n-tuple rules of a NIC by ioctl: ethtool -n and -N.

In: struct ethtool_rxnfc in the program's memory. Out: the same, results. Owns nothing. ETHTOOL_GRXFH and
SRXFH, by which other drivers choose what the hash takes of a header, are in no table: here it always takes
addresses and ports. Source: net/ethtool/ioctl.c, include/uapi/linux/ethtool.h.
"""

from __future__ import annotations

import errno
import struct

from nodes.client.ethtool import Ethtool
from nodes.supervisor.netlink import flow_spec
from nodes.supervisor.netlink.ioctl_memory import WORD, Command, Memory
from nodes.uapi.netlink import RULES_MAX

_DATA = struct.Struct("=Q")
_DATA_AT, _SPEC_AT = 8, 16  # behind cmd and flow_type
_LOCATION_AT = _SPEC_AT + flow_spec.LOCATION_AT
_COUNT_AT = _SPEC_AT + flow_spec.SPEC_BYTES  # rule_cnt; of a rule, rss_context
_LOCATIONS_AT = _COUNT_AT + WORD.size
_FINDS_PLACES = 0x80000000  # RX_CLS_LOC_SPECIAL: the device chooses a rule's place


def _get_rings(memory: Memory, nic: Ethtool) -> int:
    memory.pack(_DATA, nic.rx_queue_count(), at=_DATA_AT)
    return 0


def _get_count(memory: Memory, nic: Ethtool) -> int:
    memory.pack(_DATA, _FINDS_PLACES | RULES_MAX, at=_DATA_AT)
    memory.pack(WORD, len(nic.ntuple_get()), at=_COUNT_AT)
    return 0


def _get_locations(memory: Memory, nic: Ethtool) -> int:
    """EMSGSIZE when there is no room for all."""
    (room,) = memory.unpack(WORD, _COUNT_AT)
    locations = [rule["location"] for rule in nic.ntuple_get()]
    if len(locations) > room:
        raise OSError(errno.EMSGSIZE, f"room for {room} of {len(locations)} rules")
    memory.pack(_DATA, RULES_MAX, at=_DATA_AT)
    memory.pack(WORD, len(locations), at=_COUNT_AT)
    memory.write(b"".join(WORD.pack(each) for each in locations), _LOCATIONS_AT)
    return 0


def _get_rule(memory: Memory, nic: Ethtool) -> int:
    (location,) = memory.unpack(WORD, _LOCATION_AT)
    spec, context = flow_spec.pack(nic.do("ntuple-get", {"location": location}))
    memory.write(spec, _SPEC_AT)
    memory.pack(WORD, context, at=_COUNT_AT)
    return 0


def _insert(memory: Memory, nic: Ethtool) -> int:
    """The structure gets the rule's place."""
    (context,) = memory.unpack(WORD, _COUNT_AT)
    rule = flow_spec.unpack(memory.read(flow_spec.SPEC_BYTES, _SPEC_AT), context)
    memory.pack(WORD, nic.ntuple_insert(rule)["location"], at=_LOCATION_AT)
    return 0


def _delete(memory: Memory, nic: Ethtool) -> int:
    nic.ntuple_delete({"location": memory.unpack(WORD, _LOCATION_AT)[0]})
    return 0


COMMANDS: dict[int, Command] = {
    0x2D: _get_rings,
    0x2E: _get_count,
    0x2F: _get_rule,
    0x30: _get_locations,
    0x31: _delete,
    0x32: _insert,
}
