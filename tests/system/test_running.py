"""A run that stays up, as a user reaches its hosts from other terminals: exec, ethtool, netdev, down."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from commands.running import find_host
from nodes.client.host import Host
from tests.docs.pages import block
from tests.system.standing import PROJECT, command

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_hosts_of_a_standing_run_are_reached_by_name(up: subprocess.Popen[str], tmp_path: Path) -> None:
    assert command("ethtool", "h1", "-N", "flow-type", "tcp4", "dst-port", "7000", "action", "7").stdout == (
        "Added rule with ID 0\n"
    )
    assert "Direct to queue 7" in command("ethtool", "--run", "it", "h1", "-n", "h1-eth0").stdout
    refused = command("ethtool", "h1", "-L", "rx", "7")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "netlink error: EINVAL: 7 channels are too few for the n-tuple filters (7)" in refused.stderr

    (device,) = json.loads(command("netdev", "h2", "--dump", "dev-get").stdout)
    request = json.dumps({"ifindex": device["ifindex"], "queues": [{"type": "rx", "id": 1}], "fd": 999})
    taken = command("netdev", "h2", "--do", "bind-rx", "--json", request.replace("999", "1"))
    assert "EINVAL: file descriptor 1: it cannot be mapped as 'dmabuf'" in taken.stderr
    huge = command("netdev", "h2", "--do", "bind-tx", "--dmabuf", "999999999999999")
    assert (huge.returncode, huge.stderr.count("\n")) == (2, 1)
    assert "--dmabuf 999999999999999: no dma-buf of that size (" in huge.stderr
    bad = command("netdev", "h2", "--do", "bind-rx", "--json", request)
    assert (bad.returncode, "EBADF" in bad.stderr) == (1, True)

    assert command("ss", "h1").stdout.split()[:3] == ["State", "Recv-Q", "Send-Q"]
    assert [line for line in command("ss").stdout.splitlines() if line in ("h1", "h2")] == ["h1", "h2"]

    inside = command("exec", "h1", "--", "sh", "-c", "pwd; ip -br addr; ls $DEVMEM_CHANNEL; exit 3")
    assert inside.returncode == 3
    assert inside.stdout.splitlines()[0] == str(Path.cwd())
    assert "10.0.0.1/16 fd00::1/64" in inside.stdout
    with closing(Host(find_host("h2", "it").channel)) as host:
        assert (host.address, host.address6) == ("10.0.1.2", "fd00::1:2")
    assert inside.stdout.endswith("/h1.sock\n")

    assert "9" in command("ethtool", "h2", "-l").stdout
    queues = command("exec", "h2", "--", "ls", "/sys/class/net/h2-eth0/queues").stdout.split()
    assert queues == [*(f"rx-{i}" for i in range(9)), "tx-0"], "as many as netlink says"
    down = command("down")
    assert (down.returncode, down.stdout) == (0, "run it is down\n")
    assert up.wait(10) == 128 + signal.SIGTERM
    assert (tmp_path / "it" / "h1.trace.jsonl").exists()


def test_a_binding_made_from_the_command_line_lasts_as_long_as_the_command(up: subprocess.Popen[str]) -> None:
    """The commands are those of docs/control.md, word for word, whatever had been set before."""
    shown = block("docs/control.md", "python3 run.py ethtool h1 -G")
    prepare, argv = (shlex.split(line)[2:] for line in shown.splitlines())
    assert command("ethtool", "h1", "-G", "tcp-data-split", "off", "hds-thresh", "99").returncode == 0
    assert command(*prepare).returncode == 0
    with subprocess.Popen(
        [sys.executable, str(PROJECT / "run.py"), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as binder:
        assert binder.stdout is not None
        assert json.loads("".join(binder.stdout.readline() for _ in range(3))) == {"id": 1}
        with closing(Host(find_host("h1", "it").channel)) as host:
            assert host.netdev.queue_get()[7]["dmabuf"] == 1
            binder.send_signal(signal.SIGTERM)
            assert binder.stderr is not None
            said = "run.py: stopped by SIGTERM; the dma-buf of 1048576 bytes and its binding 1 end\n"
            assert binder.stderr.read() == said
            assert binder.wait(30) == 128 + signal.SIGTERM
            deadline = time.monotonic() + 10
            while "dmabuf" in host.netdev.queue_get()[7]:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    assert up.poll() is None


def test_without_a_run_in_progress_the_remedy_is_named(tmp_path: Path) -> None:
    found = command("exec", "h1", "true")
    assert found.returncode == 1
    remedy = "start one, for example with `run.py up --topology star --hosts 2`"
    assert found.stderr == f"run.py: no run is up that is on record in {tmp_path / 'state'}; {remedy}\n"


def test_a_run_is_not_destroyed_from_inside_one_of_its_hosts(up: subprocess.Popen[str]) -> None:
    """Inside, pids are others. What needs no pid works there, without the run's name."""
    run_py = [sys.executable, str(PROJECT / "run.py")]

    def inside(*words: str) -> subprocess.CompletedProcess[str]:
        return command("exec", "h1", "--", *run_py, *words)

    assert "run it: left alone: it was started in another process namespace" in inside("clean").stdout
    assert inside("ethtool", "h2", "-g").stdout == command("ethtool", "h2", "-g").stdout
    assert inside("ss", "h2").stdout.startswith("State")
    for words in (("down",), ("exec", "h2", "--", "true")):
        refused = inside(*words)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "the processes of run it cannot be seen from this process namespace" in refused.stderr
    assert up.poll() is None
    assert command("ethtool", "h1", "-g").returncode == 0
