"""What the driver makes of each word and each silence of a task. Ray is played: it hands out what the test
has put there."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import NodeDiedError, RayTaskError

from workloads.sweep import ray_driver, ray_protocol
from workloads.sweep.ray_protocol import Connect, Machines
from workloads.sweep.runner import Began, Ended, Job, Lost

JOB = Job("c1", "c1-1", ("--seed=1",))


class Words:
    """A generator of Ray's, whose words are `said`: values, or exceptions that come in their place; None
    stands for a silence."""

    def __init__(self, *said: Any) -> None:
        self.said = list(said)

    @property
    def is_silent(self) -> bool:
        return bool(self.said) and self.said[0] is None

    def __next__(self) -> Any:
        if not self.said:
            raise StopIteration
        return self.said.pop(0)


class PlayedRay:
    """The module, a task with its options, and the one task that it starts. A silence takes `silence_s` each
    time that it is awaited."""

    def __init__(self, words: Words, silence_s: float) -> None:
        self.cancelled: list[bool] = []
        self.asked: tuple[Any, ...] = ()
        self.now_s = 1000.0
        self._words, self._silence_s = words, silence_s

    def remote(self, *asked: Any) -> Any:
        self.asked = asked
        return self._words if len(asked) > 1 else self

    def options(self, **_options: Any) -> PlayedRay:
        return self

    def wait(self, tasks: Sequence[Words], **_options: Any) -> tuple[Sequence[Words], Sequence[Words]]:
        if self._words.is_silent:
            self.now_s += self._silence_s
            return [], tasks
        return tasks, []

    def get(self, word: Any, timeout: float) -> Any:
        assert timeout > 0
        if isinstance(word, Exception):
            raise word
        return word

    def cancel(self, _task: object, force: bool = False) -> None:
        self.cancelled.append(force)

    def nodes(self) -> list[dict[str, Any]]:
        one = {"emu_host": 1.0, "CPU": 4.0}
        return [
            {"Alive": True, "Resources": one},
            {"Alive": False, "Resources": one},
            {"Alive": True, "Resources": {"CPU": 4.0}},
            {"Alive": True, "Resources": one},
        ]


def messages_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *said: Any, steps: int = 20, silence_s: float = 0.0
) -> tuple[list[ray_protocol.Message], PlayedRay]:
    """What the driver tells of one task in so many steps, or until that has ended."""
    played = PlayedRay(Words(*said), silence_s)
    monkeypatch.setattr(ray_driver, "ray", played)
    monkeypatch.setattr(time, "monotonic", lambda: played.now_s)
    sent: list[ray_protocol.Message] = []
    driver = ray_driver.Driver(Connect("auto", str(tmp_path), "/project", "abc", 60.0, 30.0), sent.append)
    driver.start(JOB)
    assert played.asked == ("/project", "c1-1", ("--seed=1",), 60.0, "abc")
    for _ in range(steps):
        driver.step()
        if isinstance(sent[-1], Ended | Lost):
            break
    return sent, played


def archive() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as pack:
        pack.writestr("c1-1/manifest.json", "{}")
        pack.writestr("../c1-1.log", "said")
    return data.getvalue()


def test_results_come_in_pieces_and_are_put_into_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = archive()
    words = [
        ("began", "m1", "n1"),
        ("alive",),
        ("piece", data[:50]),
        ("piece", data[50:]),
        ("ended", "", 2.5),
    ]
    sent, _ = messages_of(tmp_path, monkeypatch, *words)
    assert sent == [Machines(2), Began("c1", "m1", "n1"), Ended("c1", 2.5, "")]
    assert (tmp_path / "c1-1" / "manifest.json").read_text() == "{}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c1-1", "c1-1.log"], "a name that leads out"


def test_a_failed_runs_results_come_back_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [("began", "m1", "n1"), ("piece", archive()), ("ended", "rank 1 died", 2.5)]
    sent, _ = messages_of(tmp_path, monkeypatch, *words)
    assert sent[-1] == Ended("c1", 2.5, "rank 1 died")
    assert (tmp_path / "c1-1" / "manifest.json").exists()


def test_results_that_cannot_be_unpacked_fail_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, _ = messages_of(tmp_path, monkeypatch, ("piece", b"no archive"), ("ended", "", 2.5))
    assert sent[-1] == Ended(
        "c1", 2.5, "its results could not be written (File is not a zip file); make room"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("failure", "event"),
    [
        (NodeDiedError("gone"), Lost("c1", "its machine was lost (NodeDiedError)")),
        (RayTaskError("f", "trace", OSError("disk full")), Ended("c1", 0.0, "disk full")),
    ],
)
def test_a_machine_that_died_is_lost_and_a_task_that_failed_has_failed(
    failure: Exception, event: Ended | Lost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, _ = messages_of(tmp_path, monkeypatch, ("began", "m1", "n1"), ("piece", b"half"), failure)
    assert sent[-1] == event
    assert not (tmp_path / "c1-1.zip").exists()


def test_a_task_that_ends_without_a_word_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, _ = messages_of(tmp_path, monkeypatch, ("began", "m1", "n1"))
    assert sent[-1] == Lost("c1", "its task ended without a word")


@pytest.mark.parametrize(
    ("words", "silence_s", "reason"),
    [
        ([("began", "m1", "n1"), None], 61.0, "its machine said nothing for 61 s"),
        ([None], 31.0, "no machine had time for it within 31 s"),
    ],
)
def test_a_silence_has_an_end(
    words: list[Any], silence_s: float, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_driver, "patience_s", lambda seconds: seconds)
    sent, played = messages_of(tmp_path, monkeypatch, *words, steps=len(words), silence_s=silence_s / 2)
    assert not isinstance(sent[-1], Lost)
    assert played.cancelled == []
    sent, played = messages_of(tmp_path, monkeypatch, *words, steps=len(words) + 1, silence_s=silence_s / 2)
    assert sent[-1] == Lost("c1", reason)
    assert played.cancelled == [True]
