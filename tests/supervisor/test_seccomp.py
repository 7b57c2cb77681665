"""The filter: which calls it traps, found by running its instructions."""

from __future__ import annotations

import struct

import pytest

from nodes.supervisor import seccomp
from nodes.supervisor.abi import UnknownMachine, abi

ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
ARCH = 0xC000003E


def verdict(program: bytes, arch: int, number: int) -> int:
    """What the BPF program returns for a call; the four instructions that filters are made of."""
    code = [*struct.iter_unpack("=HBBI", program)]
    data = struct.pack("=iI", number, arch)
    accumulator, at = 0, 0
    while True:
        operation, if_true, if_false, operand = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif operation == 0x15:
            at += if_true if accumulator == operand else if_false
        else:
            assert operation == 0x06
            return int(operand)


def test_listed_calls_of_this_architecture_are_trapped_and_no_others() -> None:
    program = seccomp.program(ARCH, [41, 0, 300])
    assert [n for n in range(500) if verdict(program, ARCH, n) == NOTIFY] == [0, 41, 300]
    assert {verdict(program, 0x40000003, n) for n in range(500)} == {
        ALLOW
    }  # a 32-bit program's numbers differ


def test_the_filter_of_this_machine_is_one_the_kernel_takes() -> None:
    """A jump has 8 bits."""
    assert len(abi().trapped) < 250


def test_a_machine_whose_calls_are_not_known_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "sparc64")
    with pytest.raises(UnknownMachine, match="'sparc64' are not known: run it on x86_64 and aarch64"):
        abi()
