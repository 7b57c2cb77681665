"""kill -9 of a program, of its supervisor and of its host's endpoint, in every phase of a devmem program:
nothing is left, and the peer is told."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.system.conftest import processes_with
from tests.system.program import H2, PROGRAMS, Program, host_seen, wait_until_gone, wait_until_listening
from tests.system.standing import command

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), pytest.mark.usefixtures("up")]

PHASES = ("unbound", "bound", "requesting", "receiving", "sending")
H1 = "10.0.1.1"
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def devmem(tmp_path_factory: pytest.TempPathFactory) -> str:
    binary = str(tmp_path_factory.mktemp("compiled") / "devmem")
    subprocess.run(["gcc", "-O1", "-o", binary, str(PROGRAMS / "devmem.c")], check=True)
    return binary


class Pair:
    """A program at h2 that stays in a phase, and its peer at h1."""

    def __init__(self, devmem: str, phase: str, port: int) -> None:
        self.at, number = str(port), str(port)
        if phase == "sending":
            self.peer = Program("h1", devmem, "hold", "receiving", "h1-eth0", number)
            wait_until_listening(port, "h1")
            self.victim = Program("h2", devmem, "hold", phase, "h2-eth0", number, f"::ffff:{H1}")
        else:
            self.victim = Program("h2", devmem, "hold", phase, "h2-eth0", number)
            wait_until_listening(port)
            sends = [devmem, "hold", "sending", "h1-eth0", number, f"::ffff:{H2}"]
            self.peer = Program("h1", *(sends if phase == "receiving" else ["nc", "-d", H2, number]))
        self.victim.wait_for(b"holds\n")
        if phase == "receiving":
            self.peer.wait_for(b"holds\n")

    def processes(self, token: str, word: str) -> list[int]:
        """Of the victim, those with the word: its supervisor's and its own command lines have its port."""
        found = processes_with(token).items()
        return sorted(pid for pid, line in found if word in line and "h2-eth0" in line and self.at in line)


def wait_until_nothing_is_bound() -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    with host_seen("h2") as seen:
        while any("dmabuf" in queue for queue in seen.netdev.queue_get()):
            assert time.monotonic() < give_up_at, "a dma-buf is still bound"
            time.sleep(0.05)


@pytest.mark.parametrize("whom", ["program", "supervisor"])
def test_a_killed_program_or_supervisor_leaves_nothing(devmem: str, token: str, whom: str) -> None:
    for port, phase in enumerate(PHASES, 5201):
        pair = Pair(devmem, phase, port)
        if whom == "supervisor":
            victim = pair.processes(token, "nodes.supervisor")[0]
        else:
            (victim,) = set(pair.processes(token, "hold")) - set(pair.processes(token, "python"))
        os.kill(victim, signal.SIGKILL)
        assert pair.victim.result()[0] != 0, phase
        pair.peer.result()  # it is told, and ends
        wait_until_nothing_is_bound()
        wait_until_gone("h2")
        wait_until_gone("h1")
        assert pair.processes(token, "hold") == [], phase


@pytest.mark.parametrize(
    "phases", [("requesting", "receiving"), pytest.param(PHASES, marks=pytest.mark.soak)], ids=["two", "all"]
)
def test_a_killed_endpoint_ends_what_waits_for_it(
    devmem: str, token: str, phases: tuple[str, ...]
) -> None:
    """The peer of a host without power is told when the host is back, if it has something to send."""
    for port, phase in enumerate(phases, 5201):
        pair = Pair(devmem, phase, port)
        (endpoint,) = (
            pid
            for pid, line in processes_with(token).items()
            if "nodes.endpoint" in line and "h2-eth0" in line
        )
        os.kill(endpoint, signal.SIGKILL)
        status, _, err = pair.victim.result()
        assert status in (0, 1), phase
        assert "Traceback" not in err
        assert command("respawn", "h2").returncode == 0
        if phase == "receiving":
            assert pair.peer.result()[0] == 1
        else:
            pair.peer.end()
        wait_until_nothing_is_bound()
        wait_until_gone("h2")
        wait_until_gone("h1")
        assert pair.processes(token, "hold") == [], phase
