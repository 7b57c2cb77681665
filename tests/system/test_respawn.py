"""A crash of a host in a run of `up`: SIGKILL of its endpoint. The network stays; the host boots when it is
told to, or at once with --respawn; its peers see what they would see of a host that has booted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from commands.running import find_host
from nodes.client.host import Host
from tests.system.standing import PROJECT, command

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PORT = 7000
DOWN = "run.py: host h2 is down, its endpoint has ended; `run.py respawn h2` starts it again\n"


@contextmanager
def standing(results: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`up`, when it has printed the addresses of both hosts; ended by `down`."""
    argv = [sys.executable, str(PROJECT / "run.py"), "up", "--results", str(results), "--run-id", "crash"]
    up = subprocess.Popen([*argv, *options], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert up.stdout is not None
        assert [up.stdout.readline().split()[0] for _ in range(3)] == ["run", "h1", "h2"]
        yield up
        assert command("down", "--run", "crash").returncode == 0
        assert up.wait(30) == 128 + signal.SIGTERM
    finally:
        if up.poll() is None:
            up.send_signal(signal.SIGINT)
        up.communicate(timeout=60)


def said(up: subprocess.Popen[str]) -> str:
    assert up.stdout is not None
    return up.stdout.readline()


def kill_endpoint(channel: str) -> None:
    """SIGKILL of the process that serves the channel."""
    argv = subprocess.run(["pgrep", "-f", f"nodes.endpoint.*{channel}"], capture_output=True, check=True)
    (pid,) = argv.stdout.split()
    os.kill(int(pid), signal.SIGKILL)


def test_a_crashed_host_stays_down_until_it_is_started_again(tmp_path: Path) -> None:
    with standing(tmp_path, "--pcap") as up:
        refused = command("respawn", "h2")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "host h2 is up" in refused.stderr
        channel = find_host("h2", "crash").channel
        with closing(Host(find_host("h1", "crash").channel)) as near, closing(Host(channel)) as far:
            listener = far.socket()
            listener.bind((far.address, PORT))
            listener.listen(1)
            sock = near.socket()
            sock.connect((far.address, PORT))
            kill_endpoint(channel)
            assert said(up) == (
                "host h2 is down: the endpoint of host h2 ended with signal 9; "
                "`run.py respawn h2 --run crash` starts it again\n"
            )
            listed = command("list").stdout
            assert "  crash          h1, h2 (down)\n" in listed
            for words in (["ethtool", "h2", "-g"], ["netdev", "h2", "--dump", "dev-get"], ["ss", "h2"]):
                down = command(*words)
                assert (down.returncode, down.stderr) == (1, DOWN)
            assert command("ss").stdout.endswith("\nh2 is down\n")
            assert command("exec", "h2", "--", "true").returncode == 0, "its Linux runs on"
            before = (tmp_path / "crash" / "h2.pcapng").stat().st_size

            again = command("respawn", "h2")
            assert (again.returncode, again.stdout) == (0, "host h2 is up again\n"), again.stderr
            assert said(up) == "host h2 is up again\n"
            with closing(Host(channel)) as booted:
                assert booted.address == far.address
                assert [row.state for row in booted.sockets()] == []
                sock.settimeout(60)
                with pytest.raises(ConnectionResetError):  # a host that has booted knows no connection
                    sock.sendall(b"are you there?")
                    sock.recv(1)
            assert (tmp_path / "crash" / "h2.pcapng").stat().st_size == before, "the capture is kept"
            assert (tmp_path / "crash" / "h2.2.pcapng").exists()


def test_with_respawn_a_crashed_host_boots_at_once(tmp_path: Path) -> None:
    with standing(tmp_path, "--respawn") as up:
        channel = find_host("h1", "crash").channel
        for _ in range(2):
            kill_endpoint(channel)
            assert said(up) == (
                "host h1 is down: the endpoint of host h1 ended with signal 9; starting it again\n"
            )
            assert said(up) == "host h1 is up again\n"
            with closing(Host(channel)) as booted:
                assert booted.name == "h1"
        # What cannot start stays down: its interface is gone.
        assert command("exec", "h1", "--", "ip", "link", "del", "h1-eth0").returncode == 0
        kill_endpoint(channel)
        assert said(up).startswith("host h1 is down: ")
        assert said(up).startswith("host h1 stays down: host h1 did not start: the endpoint of host h1 ended")
        failed = command("respawn", "h1")
        assert (failed.returncode, failed.stderr) == (1, "run.py: host h1 did not start; `up` said why\n")
