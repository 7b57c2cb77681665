"""What becomes of Ray's process is one sentence, and no wait for it is endless. Ray is played by sh."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workloads.collective import CollectiveOptions
from workloads.experiment.ray_session import RayPlace, RaySession
from workloads.experiment.records import ExperimentConfig, ExperimentError

CONFIG = ExperimentConfig("star", 2, "all_reduce", (4,), ("bounce",), CollectiveOptions())


def ray_played_by(script: str, directory: Path, watch: Callable[[], None] = lambda: None) -> RaySession:
    return RaySession(RayPlace(("sh", "-c", script), directory, directory / "ray.log"), watch)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo out of processes >&2; kill -ABRT $$", "signal 6 saying 'out of processes'; see "),
        ("exit 134", "signal 6; see "),
        ("echo no; exit 3", "Ray's process ended with "),
        ("cat /dev/urandom | head -c 9999", "Ray's process ended with "),
    ],
)
def test_a_process_that_ends_is_a_sentence(tmp_path: Path, script: str, words: str) -> None:
    with ray_played_by(script, tmp_path) as session, pytest.raises(ExperimentError) as raised:
        session.start(CONFIG, ())
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_process_that_says_nothing_is_waited_for_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workloads.experiment.ray_session._SILENCE_S", 0.3)
    monkeypatch.setattr("workloads.experiment.ray_session._END_S", 0.3)
    with (
        ray_played_by("exec sleep 600", tmp_path) as session,
        pytest.raises(ExperimentError, match=r"did not answer for [0-9.]+ s; see "),
    ):
        session.start(CONFIG, ())


def test_a_better_reason_is_raised_instead_of_the_process_end(tmp_path: Path) -> None:
    asked: list[int] = []

    def watch() -> None:
        asked.append(0)
        if len(asked) > 1:
            raise KeyError("host h2")

    with ray_played_by("exit 1", tmp_path, watch) as session, pytest.raises(KeyError, match="host h2"):
        session.start(CONFIG, ())


def test_a_process_that_does_not_end_by_itself_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workloads.experiment.ray_session._END_S", 0.3)
    session = ray_played_by("exec sleep 600", tmp_path)
    began = time.monotonic()
    session.close()
    assert time.monotonic() - began < 300


def test_no_variable_of_the_users_own_ray_reaches_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    session = ray_played_by("env >&2", tmp_path)
    session.close()
    said = (tmp_path / "ray.log").read_text().splitlines()
    assert not [line for line in said if line.startswith("RAY_ADDRESS")]
    assert {"RAY_AUTH_MODE=token", "RAY_ENABLE_UV_RUN_RUNTIME_ENV=0"} <= {*said}
