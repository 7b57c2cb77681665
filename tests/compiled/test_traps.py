"""What mypyc compiles to something else than Python does must not be written in a module that it compiles."""

from __future__ import annotations

import ast

import pytest

from nodes.compiled.build import ROOT, modules

# Calls without side effects, which may be made twice.
_PURE = {"len", "min", "max", "ipv6.packet_bytes"}
_OF_PROGRAMS = "nodes/client/", "nodes/uapi/"
_WAITS = {"accept", "recv", "recv_into", "recvmsg", "recvmsg_into"}


def bounds_with_effects(source: str) -> list[str]:
    """Bounds of slices that mypyc evaluates twice: `view[self._send(view) :]` would send twice."""
    slices = [each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Slice)]
    bounds = [bound for each in slices for bound in (each.lower, each.upper) if bound is not None]
    return [ast.unparse(bound) for bound in bounds if any(_has_effects(part) for part in ast.walk(bound))]


def _has_effects(part: ast.AST) -> bool:
    if isinstance(part, ast.Call):
        return ast.unparse(part.func) not in _PURE
    return isinstance(part, ast.NamedExpr | ast.Await | ast.Yield)


@pytest.mark.parametrize("path", modules())
def test_no_bound_of_a_slice_has_an_effect(path: str) -> None:
    assert bounds_with_effects((ROOT / path).read_text()) == []


def test_such_a_bound_is_found() -> None:
    source = "rest = view[self._send(view) :]\nhead = data[: len(data)]"
    assert bounds_with_effects(source) == ["self._send(view)"]


@pytest.mark.parametrize("path", [each for each in modules() if each.startswith(_OF_PROGRAMS)])
def test_no_compiled_part_of_the_client_waits_in_a_system_call(path: str) -> None:
    """Compiled code looks for no signals: one that came shortly before such a call would be heard after."""
    assert waits((ROOT / path).read_text()) == []


def test_such_a_call_is_found() -> None:
    assert waits("def receive(self): return self._socket.recvmsg_into([self._buffer])") == [
        "self._socket.recvmsg_into"
    ]


def waits(source: str) -> list[str]:
    """Calls of a socket that may wait for a peer."""
    called = [each.func for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Call)]
    found = [each for each in called if isinstance(each, ast.Attribute) and each.attr in _WAITS]
    return [ast.unparse(each) for each in found if "_socket" in ast.unparse(each.value)]
