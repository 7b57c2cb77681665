"""`run.py exec`: signals, exit statuses and the terminal, as if a shell had started the command itself."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.standing import PROJECT, command

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), pytest.mark.usefixtures("up")]

EXEC = [sys.executable, str(PROJECT / "run.py"), "exec", "h2", "--"]
# Says which signals came, and needs a moment to end: a second signal would come in the middle of that.
PROGRAM = """
import atexit, signal, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, _: came.append(number))
came = []
atexit.register(lambda: print("end", flush=True))
print("up", flush=True)
while not came:
    time.sleep(0.01)
time.sleep(0.5)
print(*(signal.Signals(number).name for number in came), flush=True)
"""
WAITING = [sys.executable, "-c", PROGRAM]


def zombies() -> list[str]:
    """Processes in the run's namespace that no process waits for."""
    stats = command("exec", "h1", "--", "ps", "-eo", "stat,args").stdout.splitlines()[1:]
    return [line for line in stats if line.startswith("Z")]


def test_ctrl_c_at_a_terminal_reaches_the_command_once_and_exec_waits_for_it() -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(EXEC[0], [*EXEC, *WAITING])
    seen = b""
    while b"up" not in seen:
        seen += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    try:
        while more := os.read(terminal, 4096):
            seen += more
    except OSError:  # EIO: no process holds the terminal any more
        pass
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert seen.replace(b"^C", b"").split() == [b"up", b"SIGINT", b"end"]
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("whole_group", [False, True])
def test_a_signal_reaches_the_command_and_what_it_started_once(
    number: signal.Signals, whole_group: bool
) -> None:
    argv = [*EXEC, "sh", "-c", 'trap : INT TERM USR1; "$@"; echo "shell $?"', "sh", *WAITING]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as ours:
        assert ours.stdout is not None
        assert ours.stdout.readline() == "up\n"
        (os.killpg if whole_group else os.kill)(ours.pid, number)
        assert ours.stdout.read().split() == [number.name, "end", "shell", "0"]
        assert ours.wait(10) == 0


def test_a_killed_exec_leaves_no_process_and_no_zombie() -> None:
    argv = [*EXEC, "sh", "-c", '"$@"; true', "sh", *WAITING]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ours:
        assert ours.stdout is not None
        assert ours.stdout.readline() == "up\n"
        ours.kill()
        assert ours.stdout.read().split() == ["SIGTERM", "end"]  # to the end: no process holds it any more
        assert ours.wait(10) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while found := zombies():
        assert time.monotonic() < deadline, found


def test_what_stays_in_the_background_becomes_no_zombie() -> None:
    assert command("exec", "h1", "--", "sh", "-c", "sleep 0.3 >/dev/null 2>&1 & exit 0").returncode == 0
    deadline = time.monotonic() + 10
    while "sleep 0.3" in command("exec", "h1", "--", "ps", "-eo", "stat,args").stdout:
        assert time.monotonic() < deadline
    assert not zombies()


def test_the_status_of_exec_is_the_commands(tmp_path: Path) -> None:
    assert command("exec", "h1", "--", "sh", "-c", "exit 77").returncode == 77
    assert command("exec", "h1", "--", "sh", "-c", "kill -KILL $$").returncode == -signal.SIGKILL
    assert command("exec", "h1", "--", "sh", "-c", "kill -SEGV $$").returncode == -signal.SIGSEGV
    missing = command("exec", "h1", "--", "nonesuch")
    assert (missing.returncode, missing.stderr) == (
        127,
        "run.py: exec: nonesuch: No such file or directory\n",
    )
    (tmp_path / "plain").touch()
    refused = command("exec", "h1", "--", str(tmp_path / "plain"))
    assert (refused.returncode, refused.stderr.count("\n")) == (126, 1)


def test_a_current_directory_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    argv = ["sh", "-c", shell, "sh", str(gone), *EXEC, "true"]
    found = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    said = "run.py: the current directory has been removed; change to one that exists\n"
    assert (found.returncode, found.stdout, found.stderr) == (1, "", said)


def queues_of_h1_are(there: int) -> bool:
    """Whether the endpoint's NIC soon has some queues, or none: it follows the link beneath it."""
    deadline = time.monotonic() + 20
    while bool(json.loads(command("netdev", "h1", "--dump", "queue-get").stdout)) != bool(there):
        if time.monotonic() > deadline:
            return False
    return True


def test_hosts_are_reached_by_name_and_keep_their_addresses_when_the_link_flaps() -> None:
    assert command("exec", "h1", "--", "ip", "link", "set", "h1-eth0", "down").returncode == 0
    assert queues_of_h1_are(0)
    assert command("exec", "h1", "--", "ip", "link", "set", "h1-eth0", "up").returncode == 0
    assert queues_of_h1_are(1)
    deadline = time.monotonic() + 20
    for version, address in (("-4", "(10.0.0.2)"), ("-6", "(fd00::2)")):
        while (found := command("exec", "h1", "--", "ping", version, "-c1", "-W2", "h2")).returncode:
            assert time.monotonic() < deadline, found
        assert address in found.stdout
    assert "10.0.1.2" in command("exec", "h1", "--", "getent", "ahostsv4", "h2-endpoint").stdout
