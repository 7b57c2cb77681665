"""Ray in a run: what a signal at any moment leads to, who reaches it, and how one that fails ends the run."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.conftest import PATIENCE_S, interfaces, processes_with
from tests.system.test_run import ENDS_WITHIN_S, STREAM, Started, no_directories_left
from workloads.experiment.patience import patience_s

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
__all__ = ["no_directories_left"]  # a fixture

SMALL = ["--topology", "star", "--hosts", "2", "--size", "64K", "--repeat", "1", "--iters", "1"]
QUICK = ["--topology", "pair", "--size", "64K", "--repeat", "1", "--iters", "1", "--path", "devmem"]
NOBODY = 65534
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


# What a run writes in this order, the handlers of signals being there before.
STAGES = ("", "manifest.json", "fabric.log", "h1.log", "ray.log", "samples.csv", "report.html")


@dataclass(frozen=True)
class Moment:
    """When the signals come, and to whom: the whole group, as from a terminal, or run.py alone. `after_s`:
    since the run came to `stage`. `then_s`: until the second signal."""

    numbers: tuple[signal.Signals, ...]
    stage: str
    after_s: float
    then_s: float
    to_group: bool

    @classmethod
    def any(cls, chance: random.Random) -> Moment:
        """Stages last for milliseconds or for seconds."""
        numbers = tuple(chance.choices(_ENDING, k=chance.choice((1, 2))))
        after_s, then_s = (chance.uniform(0.0, chance.choice((0.01, 0.2, 2.0, 6.0))) for _ in range(2))
        return cls(numbers, chance.choice(STAGES), after_s, min(then_s, 1.0), chance.random() < 0.5)

    def strike(self, run: Started) -> None:
        """Wait for it, and send the signals, the second one unless run.py has ended."""
        run.until(lambda: handles(run.process))
        run.until((run.run_dir / self.stage).exists if self.stage else lambda: True, 150.0)
        time.sleep(self.after_s)
        for number in self.numbers:
            with suppress(ProcessLookupError):
                (os.killpg if self.to_group else os.kill)(run.process.pid, number)
            time.sleep(self.then_s)


@pytest.mark.timeout(0)  # each wait has an end of its own
def test_any_signals_at_any_moment_end_a_run_in_order(tmp_path: Path, token: str, soak: bool) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # pytest shows it when the test fails
    chance = random.Random(seed)
    before = places()
    for count in range(200 if soak else 3):
        moment = Moment.any(chance)
        shape, python = chance.choice((QUICK, SMALL)), chance.choice((sys.executable, "/usr/bin/python3"))
        run = Started(tmp_path / str(count), *shape, python=python)
        moment.strike(run)
        status, out, said = run.end()
        what = f"{count}, {shape[1]}, {moment}: {status}, {said}"
        print(what)
        assert_in_order(run, moment.numbers, (status, out, said), what)
        assert_nothing_left(token, before, what)


def assert_in_order(
    run: Started, numbers: Sequence[signal.Signals], ended: tuple[int, str, list[str]], what: str
) -> None:
    """One sentence and the shell's status, or else the run was complete when the signals came."""
    status, out, said = ended
    if status == 0:
        assert said == [], what
        assert "# Report:" in out, what
        assert run.manifest["status"] == "complete", what
        return
    (sentence,) = said
    (number,) = {each for each in numbers if status == 128 + each}
    assert f"stopped by {number.name}" in sentence, what
    if run.run_dir.exists():
        assert run.manifest["status"] in ("interrupted", "complete"), what


def handles(process: subprocess.Popen[str]) -> bool:
    """Whether run.py has installed its handlers, SIGHUP's last: Python's own start is out of its hands."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(re.findall(r"^SigCgt:\s*(\w+)$", status, re.MULTILINE)[0], 16)
    return all(caught >> number - 1 & 1 for number in _ENDING)


def places() -> tuple[list[str], ...]:
    """What a run could leave where it has no place of its own: named namespaces, interfaces, shared memory,
    records and temporary directories."""
    folders = "/run/netns", "/dev/shm", os.environ["DEVMEM_TESTBED_STATE"], os.environ["TMPDIR"]
    found = [sorted(os.listdir(folder)) if os.path.isdir(folder) else [] for folder in folders]
    return sorted(interfaces()), *found


def assert_nothing_left(token: str, before: tuple[list[str], ...], what: str) -> None:
    """Of processes nothing, their namespaces then being gone, and no more in `places` than before."""
    assert_nothing_lives(token, what)
    give_up_at = time.monotonic() + PATIENCE_S
    while (left := places()) != before and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert left == before, what


def assert_nothing_lives(token: str, what: str) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while (left := processes_with(token)) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not left, f"{what}: left behind: {left}"


def process_of_ray(token: str, words: str) -> int:
    """The newest process whose command line has these words; 0 when there is none."""
    return max((pid for pid, line in processes_with(token).items() if words in line), default=0)


@pytest.fixture
def raylet(tmp_path: Path, token: str) -> Iterator[int]:
    """A process of Ray's in a run whose trials run."""
    started = Started(tmp_path, *STREAM)
    started.until_trials_run()
    yield process_of_ray(token, "/raylet/raylet ")
    started.process.terminate()
    assert started.end(ENDS_WITHIN_S)[0] == 143


def test_another_user_reaches_none_of_rays_servers(raylet: int) -> None:
    ports = listening(raylet)
    assert ports  # Ray's servers listen, on every address, in a network of their own
    assert Path(f"/proc/{raylet}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    own = {str(address[4][0]) for address in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in {"127.0.0.1", *own}:
        assert as_nobody(CONNECT, address, *map(str, ports)) == ""


CONNECT = """
import errno, socket, sys
for port in map(int, sys.argv[2:]):
    with socket.socket() as sock:
        sock.settimeout(2.0)
        if sock.connect_ex((sys.argv[1], port)) not in (errno.ECONNREFUSED, errno.EAGAIN):
            print("connected to", sys.argv[1], port)
"""
READ = """
import os, sys
for path in sys.argv[1:]:
    try:
        print(path, os.listdir(path))
    except PermissionError:
        pass
"""


def listening(pid: int) -> list[int]:
    """TCP ports on which processes of this one's network listen."""
    text = "".join(Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6"))
    rows = [line.split() for line in text.splitlines()]
    return sorted({int(fields[1].rpartition(":")[2], 16) for fields in rows if fields[3] == "0A"})


def as_nobody(program: str, *arguments: str) -> str:
    """What a Python program of another user prints."""
    argv = [sys.executable, "-I", "-c", program, *arguments]
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    ).stdout


def test_another_user_reads_none_of_rays_files(raylet: int) -> None:
    (record,) = Path(os.environ["DEVMEM_TESTBED_STATE"]).glob("*.json")
    directories = json.loads(record.read_text())["directories"]
    inside = Path(f"/proc/{raylet}/root")
    (of_ray,) = [path for path in directories if (inside / path[1:] / "ray").exists()]
    assert os.listdir(of_ray) == []  # what Ray writes is in a file system of its own
    for path in (of_ray, "/dev/shm"):
        assert (inside / path[1:]).stat().st_mode & 0o777 == 0o700
    assert as_nobody(READ, *directories, str(inside / of_ray[1:])) == ""


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "/gcs/gcs_server "),
        (signal.SIGKILL, "/raylet/raylet "),
        (signal.SIGKILL, "default_worker.py"),
        (signal.SIGSTOP, "/raylet/raylet "),
        pytest.param(signal.SIGSTOP, "/gcs/gcs_server ", marks=pytest.mark.soak),
        pytest.param(signal.SIGSTOP, "default_worker.py", marks=pytest.mark.soak),
    ],
)
def test_a_ray_that_fails_while_it_starts_is_one_sentence(
    tmp_path: Path, token: str, words: str, number: signal.Signals
) -> None:
    run = Started(tmp_path, *QUICK)
    run.until(lambda: process_of_ray(token, words))
    os.kill(process_of_ray(token, words), number)
    status, _, said = run.end(patience_s(30.0) + ENDS_WITHIN_S + 60.0)
    if words == "default_worker.py" and status == 0:
        assert said == []  # Ray has started another
        return
    assert (status, len(said)) == (1, 1), (status, said)
    assert "Ray" in said[0] or "rank" in said[0]
    assert run.manifest["status"] == "failed"


def test_a_killed_run_takes_all_of_ray_with_it(tmp_path: Path, token: str) -> None:
    run = Started(tmp_path, *STREAM)
    run.until(lambda: process_of_ray(token, "/raylet/raylet "))
    run.process.kill()
    run.process.communicate()
    assert_nothing_lives(token, "SIGKILL")
    clean = [sys.executable, str(Path(__file__).parents[2] / "run.py"), "clean"]
    subprocess.run(clean, capture_output=True, timeout=60, check=True)


def test_a_run_needs_no_loopback_of_its_callers(tmp_path: Path) -> None:
    where = ["--results", str(tmp_path / "results"), "--run-id", "it"]
    program = str(Path(__file__).parents[2] / "run.py")
    argv = ["unshare", "--net", sys.executable, program, *where, *QUICK, "--json"]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout)
    assert printed["report"] == str(tmp_path / "results" / "it" / "report.html")
    assert printed["wrong_elements"] == 0
    with open(tmp_path / "results" / "it" / "summary.csv", newline="") as file:
        written = [row["time_us"] for row in csv.DictReader(file)]
    assert [str(row["time_us"]) for row in printed["rows"]] == written


@pytest.mark.soak
def test_ranks_whose_threads_cannot_run_are_given_up(tmp_path: Path, token: str) -> None:
    """A loop in C holds the interpreter's lock: no rank can say that nothing moves."""
    (tmp_path / "mine.py").write_text("def f(rank):\n    sum(range(10**15))\n")
    run = Started(tmp_path, *QUICK, "--timeout", "1", "--workload", f"{tmp_path}/mine.py:f")
    status, _, said = run.end(patience_s(26.0) + ENDS_WITHIN_S + 120.0)
    assert (status, len(said)) == (1, 1), (status, said)
    assert "does not end its trial, in which nothing has moved for" in said[0]
    assert run.manifest["status"] == "failed"
    assert_nothing_lives(token, "a loop in C")
