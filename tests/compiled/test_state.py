"""Whether nodes/ runs compiled is said as it is, and both ways make the same run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import nodes.skb
from commands.doctor import compiled
from nodes.compiled import finder
from nodes.compiled import state as telling
from nodes.compiled.build import ROOT, obstacle
from nodes.compiled.state import State, state

SAID = "from nodes.compiled.state import state; print(state())"


def told(code: str, pure: str) -> str:
    environment = {**os.environ, finder.PURE: pure}
    argv = [sys.executable, "-c", code]
    return subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_what_is_said_is_what_was_imported() -> None:
    assert state().compiled == str(nodes.skb.__file__).endswith(".so")


def test_devmem_pure_takes_the_sources() -> None:
    assert told(SAID, "1") == "pure Python: DEVMEM_PURE is set"


def test_where_a_compiler_is_setup_has_compiled() -> None:
    """Unless a source was changed after it."""
    said = told(SAID, "")
    assert said.startswith("compiled by mypyc ") or "has changed" in said or obstacle() in said != ""


@pytest.mark.skipif(not told(SAID, "").startswith("compiled"), reason="there is no build of these sources")
def test_compiled_nodes_and_their_sources_make_the_same_run_to_the_bit() -> None:
    code = "from tests.simulation.test_hosts import digest; print(digest(7))"
    assert told(code, "") == told(code, "1")


@pytest.fixture
def pure(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv(finder.PURE, raising=False)
    monkeypatch.setattr(telling, "find_spec", lambda _: None)
    return monkeypatch


def test_a_change_is_named_as_the_reason(pure: pytest.MonkeyPatch) -> None:
    class Changed:
        def __init__(self, _: str) -> None: ...

        def changed(self, _: str) -> str:
            return "nodes/skb.py"

    pure.setattr(telling, "Build", Changed)
    assert str(state()) == "pure Python: nodes/skb.py has changed: run `make setup`"


def test_without_a_build_the_reason_is_what_is_missing(pure: pytest.MonkeyPatch, tmp_path: object) -> None:
    pure.setattr(finder, "DIRECTORY", str(tmp_path))
    pure.setattr(telling, "obstacle", lambda: "there is no C compiler")
    assert state() == State(False, "there is no C compiler")
    pure.setattr(telling, "obstacle", str)
    assert state() == State(False, "it has not been compiled: run `make setup`")


def test_doctor_says_which_is_in_use_and_needs_neither() -> None:
    check = compiled()
    assert (check.ok, check.found, check.needed) == (state().compiled, str(state()), False)
