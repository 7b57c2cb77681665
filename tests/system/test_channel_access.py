"""`up --mode` and `--group`: another user reaches the channels, and what needs a privilege stays refused."""

from __future__ import annotations

import grp
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

USER = 65534
# The imports come before the change of user, who may not read the project.
TRY = """
import array, json, os, socket, sys
sys.path[:0] = json.loads(os.environ["TRY_PATH"])
import fcntl, msgspec
from nodes.client.host import Host, HostError
from nodes.machine import dmabuf
user, group, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
memory = dmabuf.export(1 << 16)
os.setgroups([]); os.setgid(group); os.setuid(user)
said = {}
try:
    host = Host(path)
except HostError as e:
    said["host"] = str(e)
else:
    said["tx"] = host.netdev.bind_tx({"ifindex": host.ifindex, "fd": memory.fd})["id"] > 0
    try:
        host.netdev.do("bind-rx", {"colour": 1})
    except OSError as e:
        said["rx"] = e.errno
    host.socket().close()
    host.close()
print(json.dumps(said))
"""


@contextmanager
def up(directory: Path, *words: str) -> Iterator[str]:
    """A run of `up`; the channel of h1, as it prints it."""
    argv = [sys.executable, str(PROJECT / "run.py"), "up", "--results", str(directory), *words]
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as place:
        os.chmod(place, 0o755)
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": place}
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("run ")
            yield process.stdout.readline().split()[-1]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def tried(channel: str, group: int) -> dict[str, object]:
    """What another user of `group` may do, whom this channel is told."""
    argv = [sys.executable, "-c", TRY, str(USER), str(group), channel]
    env = {**os.environ, "TRY_PATH": json.dumps([str(PROJECT)])}
    done = subprocess.run(argv, cwd="/", env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_other_users_reach_the_channels_that_mode_and_group_open(tmp_path: Path) -> None:
    chosen = next(each for each in grp.getgrall() if each.gr_gid not in (0, USER))
    may, may_not = {"tx": True, "rx": 1}, "Permission denied"
    with up(tmp_path, "--run-id", "closed") as channel:
        assert may_not in str(tried(channel, USER).get("host"))
    with up(tmp_path, "--run-id", "group", "--group", chosen.gr_name) as channel:
        assert may_not in str(tried(channel, USER).get("host"))
        assert tried(channel, chosen.gr_gid) == may
    with up(tmp_path, "--run-id", "open", "--mode", "0755") as channel:
        assert tried(channel, USER) == may


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--mode", "0655"], "--mode: '0655' is no mode that leaves the owner in"),
        (["--mode", "rwx"], "--mode: 'rwx' is no mode"),
        (["--group", "no-such-group"], "--group: there is no group 'no-such-group'"),
    ],
)
def test_an_impossible_mode_or_group_is_refused_with_the_remedy(words: list[str], sentence: str) -> None:
    argv = [sys.executable, str(PROJECT / "run.py"), "up", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
