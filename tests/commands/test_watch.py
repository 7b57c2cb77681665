"""The command watch on records of this process, with no network: hosts are down, runs end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from commands import watch
from commands.live.counters import RunCount
from commands.live.rates import RunRates
from commands.network import TOPOLOGY_NAME
from commands.running import CHANNEL_VARIABLE, RunningError, find_run
from commands.stop import Interrupted, Stop
from topologies.mininet.inventory import Inventory, Record
from topologies.shapes.registry import build


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DEVMEM_TESTBED_STATE", str(tmp_path / "state"))
    monkeypatch.delenv(CHANNEL_VARIABLE, raising=False)
    taken = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in taken.items():
        signal.signal(number, handler)


def begun(stack: ExitStack, run_dir: Path, name: str = "a", standing: bool = True) -> Inventory:
    """A run on record, owned by this process; nothing listens at the channel of its host."""
    (run_dir / TOPOLOGY_NAME).write_bytes(msgspec.json.encode(build("star", 2)))
    inventory = stack.enter_context(Inventory.create(name, standing, str(run_dir)))
    inventory.add_host("h1", run_dir / "h1.sock", os.getpid())
    return inventory


def watching(stop: Stop | None = None) -> watch._Watch:
    return watch._Watch(find_run(None), 0.0, stop or Stop(), None)


def shown(watched: watch._Watch, once: bool = False) -> int:
    with ExitStack() as stack:
        return watch._show(watched, once, stack)


def test_one_table_shows_which_host_is_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        begun(stack, tmp_path)
        assert shown(watching(), once=True) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("run a, last ")
    assert [line.partition("  ")[0] for line in said[3:]] == ["h1 (down)"]


@pytest.mark.parametrize("standing", [True, False])
def test_the_end_of_a_run_is_told_and_is_no_failure(
    standing: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        begun(stack, tmp_path, standing=standing)
        watched = watching()
    assert shown(watched) == 0
    where = "" if standing else f"; what it leaves is in {tmp_path}"
    assert capsys.readouterr().out == f"run a has ended{where}\n"


def test_a_run_that_ends_while_it_is_watched_ends_the_readings(tmp_path: Path) -> None:
    with ExitStack() as stack:
        inventory = begun(stack, tmp_path)
        rates = watching().rates()
        assert isinstance(next(rates), RunRates)
        inventory.close()
        assert list(rates) == []


def test_a_measuring_run_that_has_lost_a_host_is_ending_and_shows_no_more(tmp_path: Path) -> None:
    """A signal ends the waiting here; in a run its end does."""
    with ExitStack() as stack:
        begun(stack, tmp_path, standing=False)
        stop = Stop()
        watched = watching(stop)
        reads = 0

        def read(run: Record) -> RunCount:
            nonlocal reads
            reads += 1
            if reads == 3:
                stop._note(signal.SIGINT, None)
            return found(run)

        found = watched._reader.read
        watched._reader.read = read  # type: ignore[method-assign]
        with pytest.raises(Interrupted):
            next(watched.rates())
        assert reads == 3


def test_a_run_is_named_as_the_command_names_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for name in ("a", "b"):
            begun(stack, tmp_path, name)
        with pytest.raises(RunningError, match=r"several runs are up .*; name one with `run.py watch RUN`$"):
            watch.command()
        with pytest.raises(RunningError, match="no run 'c' is up; choose from"):
            watch.command("c")


def test_a_record_without_a_topology_is_refused_with_the_reason(tmp_path: Path) -> None:
    with ExitStack() as stack:
        begun(stack, tmp_path)
        (tmp_path / TOPOLOGY_NAME).write_text("{}")
        with pytest.raises(RunningError, match=rf"^the topology of run a cannot be read in {tmp_path}/topol"):
            next(watching().rates())
    with ExitStack() as stack:
        inventory = stack.enter_context(Inventory.create("old"))
        inventory.add_host("h1", tmp_path / "h1.sock", os.getpid())
        with pytest.raises(RunningError, match=r"^run old was started by another version of this program"):
            next(watching().rates())


def test_a_signal_says_that_the_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        begun(stack, tmp_path)

        def stopped(*_: object) -> int:
            raise Interrupted(signal.SIGINT)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(watch, "_show", stopped)
            assert watch.command("a") == 130
    assert capsys.readouterr().err == "run.py: stopped by SIGINT; run a goes on\n"
