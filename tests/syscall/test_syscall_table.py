"""Every request has a class of call, and only one."""

from __future__ import annotations

import typing

from nodes.syscall import file_calls, linked_calls, netlink_calls, process_calls, socket_calls, syscall_table
from nodes.uapi import syscalls

TABLES = (syscall_table._SOCKET_CALLS, syscall_table._PROCESS_CALLS, syscall_table._DESCRIPTOR_CALLS)
CLASSES = {
    found
    for module in (file_calls, linked_calls, netlink_calls, process_calls, socket_calls)
    for name, found in vars(module).items()
    if name.endswith("Call") and getattr(found, "__module__", "") == module.__name__ and name[0] != "_"
}


def test_every_request_is_in_one_table() -> None:
    kinds = [kind for table in TABLES for kind in table]
    assert sorted(map(str, kinds)) == sorted(map(str, typing.get_args(syscalls.AnyRequest)))


def test_every_class_of_call_answers_one_request_and_is_named_for_it() -> None:
    answered = {call: kind for table in TABLES for kind, call in table.items()}
    assert answered.keys() == CLASSES
    assert {getattr(call, "__name__", ""): f"{kind.__name__}Call" for call, kind in answered.items()} == {
        call.__name__: call.__name__ for call in CLASSES
    }


def test_a_call_has_slots_alone() -> None:
    for call in CLASSES:
        if not hasattr(call, "__mypyc_attrs__"):  # a compiled class has a layout of its own
            assert not hasattr(object.__new__(call), "__dict__"), call
