"""Writes docs/channel.md: the protocol between an application and an endpoint, for other languages.

    .venv/bin/python -m tests.docs.channel_page

In: the records of nodes/uapi/syscalls.py. Out: the file. tests/docs/test_channel_page.py fails while the file
is out of date.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from nodes.uapi import channel, syscalls

PAGE = Path(__file__).resolve().parents[2] / "docs" / "channel.md"
REQUESTS, REPLIES = typing.get_args(syscalls.AnyRequest), typing.get_args(syscalls.AnyReply)
_WORDS = {
    int: "int", str: "str", bytes: "bin", bool: "bool", float: "float", types.NoneType: "nil",
    msgspec.Raw: "any",
}  # fmt: skip
_HEAD = f"""# The channel's protocol

An application reaches an endpoint by an AF_UNIX socket of type SOCK_SEQPACKET. `up` prints its path, and
`exec` sets it as `DEVMEM_CHANNEL`. `nodes/client/` is one client; this page is for clients in other
languages. `.venv/bin/python -m tests.docs.channel_page` makes it from `nodes/uapi/syscalls.py`; a test
compares the two.

## Records

- One packet is one record, {channel.RECORD_BYTES} bytes at most: a MessagePack array. Its first element is
  the record's name, a str; the fields follow in the order of the tables below. Fields at the end that have
  a default may be left out, and a reader ignores elements that it does not know. A `map` is a MessagePack
  map with the fields' names as keys; an `array` has no name in front.
- The application sends a request and waits for its reply: the one that the table names, or `Failed` with an
  errno. One request may be under way on a channel. `DontNeed` alone has no reply.
- Descriptors come with their record as SCM_RIGHTS (unix(7)). `RegisterMemory` brings one, `Netlink` does
  for the attribute `fd`. `Welcome` may bring some, `Done` brings one as the answer to `OpenKernelSocket` and
  to `Watch`. They are the receiver's to close.
- A channel begins as a control channel: the process's Hello, memory, netlink and counters. `OpenSocket` or
  `AttachSocket` makes it one socket's. A call that blocks occupies its channel, so a socket has as many
  channels as it has calls at a time: each further one begins with `AttachSocket(handle)`. `Accept` answers
  with the handle of the new connection, which a new channel attaches to.
- A closed channel is a dead process: what it registered and bound is undone, and a socket closes with its
  last channel. To wait until that is done, shut the channel down for writing (SHUT_WR) and read until the
  end.
- `timeout_s` is how long a call may block: nil for ever (SO_RCVTIMEO and SO_SNDTIMEO count then), 0 not at
  all.
- Bytes of a call lie inline in the record, {syscalls.INLINE_BYTES} at most, or in registered memory: a
  memfd named `{syscalls.USER_MEMORY_NAME}`, sealed with F_SEAL_SHRINK and not against writing, all of its
  bytes allocated. A dma-buf is such a memfd named `dmabuf`, or `dmabuf:` and the NIC whose PCIe switch its
  accelerator shares.
- Bytes that are no request are answered by `Failed` with EINVAL. bind-rx and changes of the NIC need
  CAP_NET_ADMIN of the process that connected.

## An example

```python
\"\"\"hello.py CHANNEL: the host's name and addresses, without a line of this project.\"\"\"
import socket
import sys
import msgspec

with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
    channel.connect(sys.argv[1])
    channel.send(msgspec.msgpack.encode(["Hello"]))
    kind, name, kernel_address, nics, *_ = msgspec.msgpack.decode(channel.recv(1 << 18))
    assert kind == "Welcome"
    for ifname, ifindex, mtu, address, prefix, *_ in nics:
        print(name, ifname, ifindex, mtu, f"{{address}}/{{prefix}}")
    channel.send(msgspec.msgpack.encode(["GetSockOpt", 1, 3]))  # of a channel that is not a socket's
    kind, number, message, *_ = msgspec.msgpack.decode(channel.recv(1 << 18))
    print(kind, number, message)
```
"""


def text() -> str:
    """The whole page."""
    parts = [_HEAD, "## Requests\n", *_table(REQUESTS), "\n## Replies\n", *_table(REPLIES)]
    parts += ["\n## Parts of records\n", *_table(tuple(_parts()))]
    return "\n".join(parts) + "\n"


def _parts() -> Iterator[type[msgspec.Struct]]:
    """Every record within a record, in the order in which they appear."""
    found: dict[type[msgspec.Struct], None] = {}
    waiting = [*REQUESTS, *REPLIES]
    while waiting:
        for field in msgspec.structs.fields(waiting.pop(0)):
            for each in _structs(field.type):
                if each not in found:
                    found[each] = None
                    waiting.append(each)
    yield from found


def _structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        yield kind
    for each in typing.get_args(kind):
        yield from _structs(each)


def _table(records: Iterable[type[msgspec.Struct]]) -> list[str]:
    return ["| record | fields | meaning |", "|---|---|---|", *map(_row, records)]


def _row(record: type[msgspec.Struct]) -> str:
    fields = ", ".join(map(_field, msgspec.structs.fields(record))) or "–"
    array = record.__struct_config__.array_like
    form = "" if issubclass(record, syscalls.Record) else f" ({'array' if array else 'map'})"
    meaning = " ".join((vars(record).get("__doc__") or "").split())
    return f"| {record.__name__}{form} | {fields} | {meaning} |"


def _field(field: msgspec.structs.FieldInfo) -> str:
    default = field.default
    shown = "" if default is msgspec.NODEFAULT else f" = {_literal(default)}"
    return f"{field.encode_name}: {_type(field.type)}{shown}"


def _literal(value: Any) -> str:
    if value == ():
        return "[]"
    return str(value).lower() if isinstance(value, bool) else str(getattr(value, "value", value)) or '""'


def _type(kind: Any) -> str:
    """MessagePack's word for a type of Python's."""
    if kind in _WORDS:
        return _WORDS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return " or ".join(map(_type, arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"array of {_type(arguments[0])}"
    if origin is tuple:
        return f"[{', '.join(map(_type, arguments))}]"
    if origin is dict:
        return f"map of {_type(arguments[0])} to {_type(arguments[1])}"
    if issubclass(kind, Enum):
        return " or ".join(f'"{each.value}"' for each in kind)
    return str(kind.__name__)


if __name__ == "__main__":
    PAGE.write_text(text())
