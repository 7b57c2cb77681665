"""What becomes of the process that talks to a Ray cluster is one sentence, and no wait is endless. A script
plays the driver."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from workloads.sweep import ray_runner
from workloads.sweep.ray_protocol import Connect
from workloads.sweep.ray_runner import RayRunner
from workloads.sweep.runner import Began, Ended, Event, Job, Lost, RunnerError

JOB = Job("c1", "c1-1", ("--seed=1",))
DRIVER = """
import os, sys, time
from workloads.experiment import ray_protocol as ends
from workloads.sweep.ray_protocol import *
from workloads.sweep.runner import *
requests, outlet = ends.inlet(os.dup(0)), ends.Outlet(os.dup(1))
say, asked = outlet.send, requests.recv()
"""


def runner(script: str, tmp_path: Path, watch: Callable[[], None] = lambda: None) -> RayRunner:
    asked = Connect("10.0.0.1:6379", str(tmp_path), "/project", "", 60.0, 60.0)
    return RayRunner(asked, tmp_path / "ray.log", watch, (sys.executable, "-c", DRIVER + script))


def events_of(played: RayRunner, count: int) -> Sequence[Event]:
    found: list[Event] = []
    while len(found) < count:
        found += played.events()
    return found


def test_what_happens_on_machines_is_told(tmp_path: Path) -> None:
    script = (
        "say(Machines(2)); job = requests.recv(); say(Began(job.cell, asked.address, asked.project))\n"
        "say(Ended(job.cell, 1.5, job.run)); say(Machines(1)); say(Lost(job.cell, job.words[0]))\n"
        "requests.poll(None)"
    )
    played = runner(script, tmp_path)
    assert played.places == 2
    played.start(JOB)
    assert events_of(played, 3) == [
        Began("c1", "10.0.0.1:6379", "/project"),
        Ended("c1", 1.5, "c1-1"),
        Lost("c1", "--seed=1"),
    ]
    assert played.places == 1
    played.close()


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("say(Unable('it refused'))", r"Ray at 10\.0\.0\.1:6379 cannot be used \(it refused\); correct "),
        ("sys.exit(1)", r"Ray at 10\.0\.0\.1:6379 cannot be used; correct --ray-address or start the clu"),
        ("say(Machines(0)); requests.poll(None)", r"no machine .* has the resource emu_host; start Ray "),
    ],
)  # fmt: skip
def test_a_cluster_that_cannot_be_used_is_a_sentence(script: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=sentence):
        runner(script, tmp_path)


def test_a_driver_that_ends_in_the_middle_is_a_sentence(tmp_path: Path) -> None:
    played = runner("say(Machines(1)); requests.recv(); os._exit(1)", tmp_path)
    played.start(JOB)
    with pytest.raises(RunnerError, match=r"cannot be used; .*ray\.log, and go on with --resume"):
        events_of(played, 1)
    played.start(JOB)  # which nobody takes
    played.close()


def test_the_wait_for_a_cluster_may_be_interrupted(tmp_path: Path) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner("requests.poll(None)", tmp_path, interrupted)


def test_silence_and_a_cluster_without_machines_have_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_runner, "patience_s", lambda seconds: seconds)
    monkeypatch.setattr(ray_runner, "_CONNECT_S", 0.4)
    monkeypatch.setattr(ray_runner, "_NO_MACHINE_S", 0.4)
    monkeypatch.setattr(ray_runner, "_END_S", 30.0)
    began_at = time.monotonic()
    with pytest.raises(RunnerError, match=r"did not answer for 0 s; look at the cluster by `ray status`"):
        runner("time.sleep(60)", tmp_path)
    assert time.monotonic() - began_at < 10.0, "it waited for what has nothing to end"
    monkeypatch.setattr(ray_runner, "_CONNECT_S", 30.0)
    monkeypatch.setattr(ray_runner, "_END_S", 0.2)
    played = runner(
        "say(Machines(1)); requests.recv()\nwhile True: say(Machines(0)); time.sleep(0.05)", tmp_path
    )
    played.start(JOB)
    started_at = time.monotonic()
    with pytest.raises(RunnerError, match="has the resource emu_host"):
        events_of(played, 1)
    assert time.monotonic() - started_at < 20.0
    played.close()


def test_a_cluster_that_falls_silent_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_runner, "patience_s", lambda seconds: seconds)
    monkeypatch.setattr(ray_runner, "_ANSWER_S", 0.4)
    played = runner("say(Machines(1)); requests.recv(); requests.poll(None)", tmp_path)
    played.start(JOB)
    with pytest.raises(RunnerError, match=r"did not answer for 0 s; look at the cluster by `ray status`"):
        events_of(played, 1)
    played.close()
