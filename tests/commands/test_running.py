"""Which run a command means: from records of this process, with no network."""

from __future__ import annotations

import os
import re
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from commands import down, respawn
from commands import list as list_command
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


def test_a_run_that_measures_is_neither_taken_down_nor_respawned() -> None:
    with ExitStack() as stack:
        inventory = stack.enter_context(Inventory.create("a"))
        inventory.add_host("h1", Path("/a/h1.sock"), os.getpid())
        with pytest.raises(RunningError, match=r"^run a is measuring; let it finish, .* with --run$"):
            down._take_down(None)
        with pytest.raises(RunningError, match=r"^run a is measuring, and ends with each of its hosts$"):
            respawn.command("h1")
    with ExitStack() as stack:
        inventory = stack.enter_context(Inventory.create("b", standing=True))
        inventory.add_host("h1", Path("/b/h1.sock"), os.getpid())
        with pytest.raises(RunningError, match="has no host 'h2'; choose from h1"):
            respawn.command("h2")


def test_list_shows_runs_and_which_of_their_hosts_are_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        inventory = stack.enter_context(Inventory.create("a"))
        listening = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listening.bind(str(tmp_path / "h1.sock"))
        listening.listen()
        for name in ("h1", "h2"):
            inventory.add_host(name, tmp_path / f"{name}.sock", os.getpid())
        assert list_command.command() == 0
    said = capsys.readouterr().out
    assert said.endswith("in progress, with their hosts)\n  a              h1, h2 (down)\n")
