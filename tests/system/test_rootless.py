"""An ordinary user's networks, in a user namespace: measured, reached from other terminals, killed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, block
from tests.ordinary_user import skip_where_refused
from tests.system.conftest import TOKEN_VARIABLE

USER = 65534
NO_OTHER_TESTS_USER = 65533
pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


class Terminal:
    """Of a user with a checkout of their own. The Python environment is mounted into it, since the way to the
    project's own may be closed to other users."""

    def __init__(self, place: Path, user: int = USER) -> None:
        self.place, self.user = place, user
        for name in ("analysis", "commands", "docs", "nodes", "topologies", "workloads"):
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "run.py", place)
        (place / ".venv").mkdir()
        subprocess.run(["chown", "-R", f"{user}:{user}", place], check=True)

    @contextmanager
    def running(self, command: str) -> Iterator[subprocess.Popen[str]]:
        """Killed at the end."""
        with self._start(command) as process:
            try:
                yield process
            finally:
                process.kill()

    def _start(self, command: str) -> subprocess.Popen[str]:
        user = f"exec setpriv --reuid {self.user} --regid {self.user} --clear-groups {command}"
        script = f"mount --bind {shlex.quote(str(ROOT / '.venv'))} .venv && {user}"
        kept = {TOKEN_VARIABLE: os.environ[TOKEN_VARIABLE], "PATH": "/usr/local/bin:/usr/bin:/bin"}
        own = {"HOME": str(self.place), "DEVMEM_TESTBED_STATE": str(self.place / "state")}
        return subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script], cwd=self.place, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=kept | own,
        )  # fmt: skip

    def typed(self, command: str) -> str:
        process = self._start(command)
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        return out


@pytest.fixture
def place() -> Iterator[Path]:
    skip_where_refused()
    with tempfile.TemporaryDirectory(prefix="u-", dir="/tmp") as place:
        os.chmod(place, 0o755)
        yield Path(place)


@pytest.fixture
def terminal(place: Path) -> Terminal:
    return Terminal(place)


def test_a_user_measures(terminal: Terminal) -> None:
    said = terminal.typed(block("docs/rootless.md", "python3 run.py").strip())
    assert "# Out of bounds values : 0 OK" in said
    results = terminal.place / "results" / "mine"
    manifest = json.loads((results / "manifest.json").read_text())
    assert (manifest["status"], manifest["environment"]["rootless"]) == ("complete", True)
    assert {path.stat().st_uid for path in results.rglob("*")} == {USER}
    assert list((terminal.place / "state").iterdir()) == []


def test_a_users_limit_on_processes_is_told_before_anything_starts(place: Path) -> None:
    """And not by Ray, in the middle of its start."""
    terminal = Terminal(place, NO_OTHER_TESTS_USER)  # the limit counts what other tests run as USER
    with terminal.running("prlimit --nproc=150 -- python3 run.py --topology pair --size 4K") as run:
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (2, "")
    assert err.startswith("run.py: 2 hosts and Ray need ")
    assert re.search(r"the limit on a user's processes \(ulimit -u\) leaves \d+; ask for fewer hosts", err)
    assert err.count("\n") == 1


def test_a_users_network_is_reached_from_outside_and_cleaned_after_kill(terminal: Terminal) -> None:
    with terminal.running("python3 run.py up --run-id it --queues 9") as up:
        assert up.stdout is not None
        assert [up.stdout.readline().split()[0] for _ in range(3)] == ["run", "h1", "h2"]
        inside = shlex.quote('echo "$(id -u) $DEVMEM_CHANNEL"; ping -c1 -W5 h2')
        said = terminal.typed(f"python3 run.py exec h1 -- sh -c {inside}")
        assert said.startswith("0 /tmp/dmtb-")
        assert " 0% packet loss" in said
        assert "it " in terminal.typed("python3 run.py list").split("--run ")[1]
        terminal.typed("python3 run.py ethtool h1 -G h1-eth0 rx 512")  # needs CAP_NET_ADMIN there
        shown = terminal.typed("python3 run.py ethtool h1 -g h1-eth0")
        assert shown.split("Current hardware settings:")[1].split()[:2] == ["RX:", "512"]
        *_, h1, h2 = terminal.typed("python3 run.py watch --once --metrics 0").splitlines()
        assert (h1.split()[0], h2.split()[0]) == ("h1", "h2")
        assert "-" not in (h1 + h2).split(), "queues are read in networks from which a user does not return"
        up.kill()
    time.sleep(0.5)
    cleaned = terminal.typed("python3 run.py clean").splitlines()
    assert all(line.startswith("run it: removed: ") for line in cleaned), cleaned
    assert cleaned[-1].startswith("run it: removed: record ")
    assert list((terminal.place / "state").iterdir()) == []


def test_down_ends_a_users_network(terminal: Terminal) -> None:
    with terminal.running("python3 run.py up --topology pair --run-id it") as up:
        assert up.stdout is not None
        assert up.stdout.readline().startswith("run it is up")
        assert terminal.typed("python3 run.py down") == "run it is down\n"
        up.communicate(timeout=30)
        assert up.returncode == 128 + signal.SIGTERM
    assert list((terminal.place / "state").iterdir()) == []
