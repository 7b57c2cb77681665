"""The RSS tables, keys and contexts of a NIC by ioctl: ethtool -x and -X.

In: struct ethtool_rxfh and ethtool_rxfh_indir in the program's memory. Out: the same, results. Owns nothing.
Source: ethtool_get_rxfh, ethtool_set_rxfh, ethtool_set_rxfh_indir (net/ethtool/ioctl.c).
"""

from __future__ import annotations

import errno
import struct

from nodes.client.ethtool import Ethtool
from nodes.client.netdev import Attributes
from nodes.supervisor.netlink.ioctl_memory import WORD, Command, Memory

# cmd, rss_context, indir_size, key_size, hfunc, input_xfrm, reserved; then the table and the key
_RXFH = struct.Struct("=IIIIBBHI")
_INDIR = struct.Struct("=II")  # cmd, size; then the table
_CONTEXT_AT = 4
_NEW_CONTEXT, _NO_CHANGE = 0xFFFFFFFF, 0xFFFFFFFF  # ETH_RXFH_CONTEXT_ALLOC, ETH_RXFH_INDIR_NO_CHANGE
_TOEPLITZ, _XFRM_NO_CHANGE = 1, 0xFF


def _of(context: int) -> Attributes:
    return {"context": context} if context else {}


def _table(words: list[int]) -> bytes:
    return b"".join(WORD.pack(word) for word in words)


def _get(memory: Memory, nic: Ethtool) -> int:
    """Sizes in the caller's structure that are not 0 have to be the device's: EINVAL."""
    command, context, entries, key_bytes, *_ = memory.unpack(_RXFH)
    reply = nic.rss_get(_of(context))
    table, key = reply["indir"], bytes.fromhex(reply["hkey"])
    if entries not in (0, len(table)) or key_bytes not in (0, len(key)):
        raise OSError(errno.EINVAL, f"room for {entries} entries and a key of {key_bytes} bytes")
    memory.pack(_RXFH, command, context, len(table), len(key), _TOEPLITZ, 0, 0, 0)
    memory.write((_table(table) if entries else b"") + (key if key_bytes else b""), _RXFH.size)
    return 0


def _set(memory: Memory, nic: Ethtool) -> int:
    """No table: the default one, or the end of a context."""
    _, context, entries, key_bytes, function, transform, *_ = memory.unpack(_RXFH)
    if function not in (0, _TOEPLITZ) or transform not in (0, _XFRM_NO_CHANGE):
        raise OSError(errno.EOPNOTSUPP, "the device hashes by toeplitz, with the fields as they are")
    own = nic.rss_get()
    if entries not in (0, _NO_CHANGE, len(own["indir"])) or key_bytes not in (0, len(own["hkey"]) // 2):
        raise OSError(errno.EINVAL, f"a table of {entries} entries and a key of {key_bytes} bytes")
    if entries == _NO_CHANGE and not key_bytes and not function:
        raise OSError(errno.EINVAL, "nothing is to be changed")
    table_entries = 0 if entries == _NO_CHANGE else entries
    request: Attributes = {}
    if table_entries:
        request["indir"] = _words(memory, table_entries, _RXFH.size)
    if key_bytes:
        request["hkey"] = memory.read(key_bytes, _RXFH.size + table_entries * WORD.size).hex()
    if context == _NEW_CONTEXT:
        memory.pack(WORD, nic.rss_create(request)["context"], at=_CONTEXT_AT)
    elif context and not entries:
        nic.rss_delete({"context": context})
    else:
        nic.rss_set(_of(context) | (request if entries else request | {"indir": []}))
    return 0


def _words(memory: Memory, count: int, at: int) -> list[int]:
    return [*memory.unpack(struct.Struct(f"={count}I"), at)]


def _get_table(memory: Memory, nic: Ethtool) -> int:
    """ETHTOOL_GRXFHINDIR: as much of the table as there is room for."""
    command, room = memory.unpack(_INDIR)
    table = nic.rss_get()["indir"]
    memory.pack(_INDIR, command, len(table))
    memory.write(_table(table[:room]), _INDIR.size)
    return 0


def _set_table(memory: Memory, nic: Ethtool) -> int:
    """ETHTOOL_SRXFHINDIR: size 0 means the default table."""
    _, size = memory.unpack(_INDIR)
    if size not in (0, len(nic.rss_get()["indir"])):
        raise OSError(errno.EINVAL, f"a table of {size} entries")
    nic.rss_set({"indir": _words(memory, size, _INDIR.size)})
    return 0


COMMANDS: dict[int, Command] = {0x38: _get_table, 0x39: _set_table, 0x46: _get, 0x47: _set}
