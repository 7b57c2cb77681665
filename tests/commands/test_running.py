"""Which run a command means: from records of this process, with no network."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from commands.place import Place
from commands.running import CHANNEL_VARIABLE, RunningError, find_host, find_run
from topologies.mininet.inventory import Inventory


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVMEM_TESTBED_STATE", str(tmp_path / "state"))
    monkeypatch.delenv(CHANNEL_VARIABLE, raising=False)
    return tmp_path / "state"


def test_of_several_runs_one_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        for name in ("a", "b"):
            inventory = stack.enter_context(Inventory.create(name))
            inventory.add_host("h1", Path(f"/{name}/h1.sock"), os.getpid())
            assert find_run(None if name == "a" else name).run_id == name
        with pytest.raises(RunningError, match=r"several runs are up \((a, b|b, a)\); name one with --run"):
            find_run(None)
        with pytest.raises(RunningError, match="no run 'c' is up; choose from"):
            find_run("c")
        # a program that exec started in h1 of b means b
        monkeypatch.setenv(CHANNEL_VARIABLE, "/b/h1.sock")
        assert find_host("h1", None).channel == "/b/h1.sock"
        assert find_host("h1", "a").channel == "/a/h1.sock"


def test_without_a_run_the_state_directory_is_named(state: Path) -> None:
    with pytest.raises(RunningError, match=re.escape(f"no run is up that is on record in {state}; start")):
        find_run(None)


def test_runs_that_start_in_one_second_have_names_of_their_own() -> None:
    assert Place().run_directory("up-20261129-200000").name == f"up-20261129-200000-{os.getpid()}"
    assert Place(run_id="mine").run_directory("up-20261129-200000").name == "mine"
