"""Before a command begins a signal ends run.py with the shell's status and one sentence."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
AT_ONCE = "import run, signal; signal.raise_signal({number})"
IN_BETWEEN = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [{number}])
os.kill(os.getpid(), {number})
os.execv(sys.executable, [sys.executable, "run.py", "list"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("program", [AT_ONCE, IN_BETWEEN], ids=["at once", "while another Python takes over"])
def test_a_signal_before_the_start_is_a_sentence(program: str, number: signal.Signals) -> None:
    argv = [sys.executable, "-c", program.format(number=int(number))]
    ended = subprocess.run(argv, capture_output=True, text=True, cwd=PROJECT, timeout=60, check=False)
    sentence = f"run.py: stopped by {number.name} before anything was started\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + number, "", sentence)


A_SECOND_ONE = """
import os, signal, run
write = os.write
def slow(*arguments):
    os.write = write
    signal.raise_signal(signal.SIGTERM)
    return write(*arguments)
os.write = slow
signal.raise_signal(signal.SIGINT)
"""


def test_a_second_signal_before_the_start_is_no_second_sentence() -> None:
    argv = [sys.executable, "-c", A_SECOND_ONE]
    ended = subprocess.run(argv, capture_output=True, text=True, cwd=PROJECT, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (
        130,
        "run.py: stopped by SIGINT before anything was started\n",
    )


AT_PYTHONS_END = """
import builtins, os, runpy, signal, sys, threading, time
class Late:
    def __del__(self, kill=os.kill, pid=os.getpid()):
        for number in (1, 2, 15):
            kill(pid, number)
builtins.late = Late()
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
sys.argv = ["run.py", "list"]
runpy.run_path("run.py", run_name="__main__")
"""


def test_a_signal_while_python_ends_changes_no_status() -> None:
    """Whichever thread it meets: OpenBLAS has some of its own."""
    argv = [sys.executable, "-c", AT_PYTHONS_END]
    ended = subprocess.run(argv, capture_output=True, text=True, cwd=PROJECT, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    program = "import signal; signal.signal(1, signal.SIG_IGN); import run; signal.raise_signal(1)"
    argv = [sys.executable, "-c", program]
    assert subprocess.run(argv, cwd=PROJECT, timeout=60, check=False).returncode == 0


def test_a_run_begins_without_what_draws_its_results() -> None:
    """Which takes a second, and is wanted when the run has ended."""
    program = "import commands.measure, sys; print(*{'pandas', 'matplotlib', 'jinja2'} & {*sys.modules})"
    argv = [sys.executable, "-c", program]
    ended = subprocess.run(argv, capture_output=True, text=True, cwd=PROJECT, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "\n")
