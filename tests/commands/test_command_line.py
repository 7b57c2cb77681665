"""Wrong options, and starting with the wrong Python: one sentence on stderr, nothing begun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analysis.machines import MACHINES as PROJECTED
from commands.list import KERNELS, NICS, SIMULATED
from nodes.kernel_version import VERSIONS
from nodes.nic.nic_model import MODELS
from nodes.simulation.machines import MACHINES

PROJECT = Path(__file__).resolve().parents[2]
Main = Callable[..., tuple[int, str, str]]


def run_py(
    *arguments: str, python: str = sys.executable, cwd: Path = PROJECT
) -> subprocess.CompletedProcess[str]:
    command = [python, str(PROJECT / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Main]:
    """run.py's main in this process, which is quicker: it gives an exit status, stdout and stderr."""
    taken = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    import run  # which takes the signals

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        return run.main(), *capfd.readouterr()

    yield call
    for signum, handler in taken.items():
        signal.signal(signum, handler)


def refusal(found: tuple[int, str, str]) -> str:
    """The sentence, which is all there is."""
    status, out, said = found
    assert (status, out, said.count("\n")) == (2, "", 1), found
    assert said.startswith("run.py: ")
    return said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--topology", "blob"], "there is no topology 'blob'; choose one of pair, star"),
        (["--workload", "blob"], "there is no workload 'blob'; choose from all_reduce, reduce_scatter,"),
        (["--path", "devmem,blob"], "there is no path 'blob'; choose from devmem, bounce, kernel"),
        (["--path", ""], "there is no path ''"),
        (["--clock", "real"], "'--clock': 'real' is not one of 'machine', 'simulated'."),
        (["--iters", "many"], "'--iters': 'many' is no integer"),
        (["--warmup-time", "long"], "'--warmup-time': 'long' is no number"),
        (["--size", "1X"], "size '1X' is not understood; write for example"),
        (["--size", "6"], "size 6 is no multiple of the 4 bytes of an element"),
        (["--hosts", "1"], "topology star cannot have 1 hosts"),
        (["up", "--hosts", "0"], "topology star cannot have 0 hosts"),
        (["up", "--topology", "blob"], "there is no topology 'blob'; choose one of pair, star"),
        (["--topology", "leaf_spine:leaves=99"], "topology leaf_spine cannot have leaves=99; choose 2 to 64"),
        (["--link", "1Gbps"], "link '1Gbps' is not a rate, a delay or NAME=VALUE; write for example"),
        (["--bottleneck", "1Gbit"], "topology star has no bottleneck; leave it out"),
        (["--topology", "pair", "--hosts", "3"], "topology pair cannot have 3 hosts; choose 2"),
        (["--fault", "link-down:h9-eth0,at=1s"], "at=1s: there is no link 'h9-eth0'; choose from h1-eth0,"),
        (["--fault", "rx-ring:h1,at=1s,value=9", "--fault", "x:h1,at=1s"], "there is no fault 'x'; choose"),
        (["up", "--fault", "link-down:h1-eth0"], "--fault link-down:h1-eth0: it is written KIND:TARGET,at="),
        (["up", "--faults", "/nowhere"], "--faults /nowhere cannot be read (No such file or directory)"),
        (["--host-mem-bw", "2"], "rate '2' is not understood"),
        (["--gso-max", "1M"], "gso_max_bytes 1048576"),
        (["--mtu", "20"], "mtu 20"),
        (["--niov-size", "5K"], "--niov-size 5120 is not"),
        (["--nic", "gve", "--niov-size", "8K"], "with nic gve has net_iovs of 4096 bytes only"),
        (["--kernel", "6.12", "--niov-size", "8K"], "kernel 6.12 with nic"),
        (["--run-id", "my run"], "run id 'my run' cannot name a directory"),
        (["--run-id", "../x"], "run id '../x' cannot name a directory below"),
        (["--run-id", "/x"], "run id '/x' cannot name a directory below"),
        (["--run-id", ".."], "run id '..' cannot name a directory below"),
        (["--run-id", ""], "run id '' cannot name a directory below"),
        (["up", "--run-id", "../x"], "run id '../x' cannot name a directory below"),
        (["--size", ""], "size '' is not understood"),
        (["--size", "9" * 400], "is not a whole positive number of bytes"),
        (["--size", "1:4:x²"], "the factor of size range '1:4:x²' must be a whole number"),
        (["--niov-size", ""], "size '' is not understood"),
        (["--host-mem-bw", "9" * 400 + "GB/s"], "is not understood; write for example 2GB/s"),
        (["--host-mem-bw", ""], "rate '' is not understood"),
        (["--path", "devmem, blob"], "there is no path 'blob'"),
        (["--kernel"], "'--kernel' requires an argument"),
        (["--kernel", ""], "there is no kernel ''; choose from v17"),
        (["--kernel", "newest"], "there is no kernel 'newest'; choose from v17, 6.12, 6.16, 6.18.0,"),
        (["--kernel", "6.18"], "there is no kernel '6.18'; choose from v17, 6.12, 6.16, 6.18.0, 6.18.55"),
        (["--seed", "9" * 30], "'--seed'"),
        (["--seed", "-1"], "'--seed'"),
        (["--repeat", "1000000000"], "iterations; ask for 1000000 at most"),
        (["--iters", "9" * 30], "'--iters'"),
        (["--iters", "1000000"], "iterations; ask for 1000000 at most"),
        (["--impair", "delay=99999s"], "delay=99999s is more than 10 s; make it shorter"),
        (["--impair", "loss=0.1", "--path", "kernel"], "which path kernel does not pass; add"),
        (["--impair", "loss=0.1", "--path", "devmem,kernel"], "run it clean with --clean-kernel-wire"),
        (["--size", "64G", "--hosts", "200"], "MiB and"),
        (["--host-mem-bw", "0.1B/s"], "--host-mem-bw 0.1B/s: headers alone would take for ever"),
        (["--timeout", "inf"], "'--timeout'"),
        (["--nic", "e1000"], "there is no nic 'e1000'; choose from generic, gve"),
        (["--nic", "no-queue-management"], "cannot carry path devmem (its driver cannot restart a queue)"),
        (["--nic", "no-dma"], "devmem (no dma-buf can be attached to it); take --path bounce,kernel or"),
        (["--nic", "no-unreadable-pools"], "devmem (its driver's page pools take no net_iovs)"),
        (["--nic", "no-synced-pools"], "devmem (its driver's page pools take no net_iovs)"),
        (["--nic", "no-order-0-pools"], "devmem (its driver's page pools take no net_iovs)"),
        (["--nic", "no-netmem-tx"], "devmem (its driver does not send net_iovs)"),
        (["--nic", "fixed-split"], "devmem (it leaves 62 bytes to host memory)"),
        (["--header-buffer", "60"], "devmem (it does not split headers of 66 bytes)"),
        (["--header-buffer", "10"], "--header-buffer 10: choose 54 to"),
        (["--queues", "0"], "'--queues'"),
        (["--queues", "1"], "--queues 1: devmem needs a queue beside the first"),
        (["--impair", "loss=2"], "--impair: loss=2 is not a chance from 0 to 1"),
        (["--impair", "delay=3"], "--impair: delay=3 is no duration"),
        (["--bidir"], "--bidir does not go with all_reduce"),
        (["--duration", "2"], "--duration does not go with all_reduce: it is an option of stream"),
        (["--workload", "stream", "--iters", "2"], "--iters does not go with stream: it is an option of all"),
        (["--repeat", "0"], "--repeat"),
        (["--tcp-info", "0"], "--tcp-info 0 is no time from 1ms to 60s; write for example 20ms, or leave"),
        (["--tcp-info", "10us"], "--tcp-info 10us is no time from 1ms to 60s; write for example 20ms, or"),
        (["--xyz"], "No such option: --xyz; `run.py --help` lists what there is\n"),
        (["frobnicate"], "No such command 'frobnicate'; `run.py --help` lists what there is\n"),
        (["compare", "one"], "Missing argument 'B'; `run.py compare --help` lists what there is\n"),
        (["--topology", "fat_tree:k"], "parameter k of topology fat_tree has no value; write k=VALUE"),
        (["--topology", "/tmp"], "torus2d, or name FILE.yaml or FILE.py,NAME"),
        (["--workload", "mine.py"], "mine.py names a file and no function in it; write mine.py:NAME\n"),
    ],
)
def test_wrong_options_are_refused_by_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, main: Main
) -> None:
    results = [] if arguments[0] in ("frobnicate", "compare") else ["--results", str(tmp_path / "results")]
    said = refusal(main(*arguments[: arguments[0] == "up"], *results, *arguments[arguments[0] == "up" :]))
    assert sentence in said
    assert not (tmp_path / "results").exists()


def test_a_refusal_is_all_that_a_terminal_shows(tmp_path: Path) -> None:
    found = run_py("--results", str(tmp_path / "results"), "--hosts", "1")
    assert "topology star cannot have 1 hosts" in refusal((found.returncode, found.stdout, found.stderr))


@pytest.mark.parametrize("command", ["up", "list", "doctor"])
@pytest.mark.parametrize("option", [["--hosts", "3"], ["--results", "x"], ["--bidir"]])
def test_options_before_a_command_are_refused_and_not_ignored(
    command: str, option: list[str], main: Main
) -> None:
    said = refusal(main(*option, command))
    remedy = f"write options behind the command, as in `run.py {command} ...`"
    assert said == f"run.py: {option[0]} before {command} is an option of a measuring run; {remedy}\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="without root it ends earlier, for that reason")
def test_results_that_cannot_be_a_directory_are_refused(tmp_path: Path, main: Main) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file/below", Path("/proc/results"), tmp_path / ("x" * 300)):
        for command in ([], ["up"]):
            said = refusal(main(*command, "--results", str(place)))
            assert f"--results {place} cannot be made (" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="without root it ends earlier, for that reason")
def test_a_run_id_is_not_used_twice(tmp_path: Path, main: Main) -> None:
    (tmp_path / "mine").mkdir()
    said = refusal(main("--results", str(tmp_path), "--run-id", "mine"))
    assert "exists already; choose another --run-id" in said


def test_list_has_a_line_for_every_nic_kernel_and_simulated_machine() -> None:
    for told, names in ((NICS, MODELS), (KERNELS, VERSIONS), (SIMULATED, MACHINES)):
        assert list(told) == list(names)
        assert all(told.values())


def test_project_takes_every_machine_that_list_says_it_takes() -> None:
    assert set(PROJECTED) == set(MACHINES) - {"infinite"}


def test_list_names_everything_that_can_be_chosen() -> None:
    found = run_py("list")
    assert found.returncode == 0
    for name in ("pair", "star", "all_reduce", "stream", "devmem", "bounce", "kernel", "gve", "6.12"):
        assert f"  {name}" in found.stdout
    workloads = found.stdout.split("--workload\n")[1].split("--path\n")[0].splitlines()
    assert {line[len("  parameter_server")] for line in workloads} == {" "}, "one column of descriptions"
    listed = found.stdout.partition("--run (in")[0].splitlines()
    assert [line for line in listed if line.startswith("  ") and len(line.split()) == 1] == []


@pytest.mark.parametrize("words", ["list", "clean", "ethtool h1 -g", "ss", "down", "up --topology blob"])
def test_a_current_directory_that_is_gone_disturbs_no_command(words: str, tmp_path: Path) -> None:
    """exec alone needs it."""
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    argv = ["sh", "-c", shell, "sh", str(gone), sys.executable, str(PROJECT / "run.py"), *words.split()]
    environment = {**os.environ, "DEVMEM_TESTBED_STATE": str(tmp_path / "state")}
    found = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert found.returncode == {"list": 0, "clean": 0, "up --topology blob": 2}.get(words, 1)
    assert found.stderr.count("\n") == (found.returncode != 0), found.stderr


@pytest.mark.parametrize(
    ("closed", "words", "status"),
    [
        ("2>&-", "down --run x", 1),
        ("0<&- 1>&- 2>&-", "list", 0),
        ("2>/dev/full", "up --topology blob", 2),  # a log on a full disk
    ],
)
def test_closed_standard_files_change_no_status_and_get_no_text(
    closed: str, words: str, status: int
) -> None:
    shell = f'exec "$@" {closed}'
    argv = ["sh", "-c", shell, "sh", sys.executable, str(PROJECT / "run.py"), *words.split()]
    found = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (status, "", "")


def test_closed_standard_files_are_open_for_what_a_command_starts() -> None:
    """Else a log, or a socket, would have the number of stderr."""
    program = "import run, os; print(*(os.readlink(f'/proc/self/fd/{n}') for n in (0, 2)))"
    argv = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", sys.executable, "-c", program]
    found = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=PROJECT)
    assert found.stdout == "/dev/null /dev/null\n"


def test_matplotlibs_backend_is_a_matter_of_commands_that_draw() -> None:
    """A notebook sets this one, which is not installed here."""
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    argv = [sys.executable, str(PROJECT / "run.py"), "list"]
    found = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (found.returncode, found.stderr) == (0, "")
    assert "all_reduce" in found.stdout


@pytest.mark.skipif(not (PROJECT / ".venv/bin/python").exists(), reason="no environment beside run.py")
def test_a_python_without_the_packages_hands_over_to_the_environment(tmp_path: Path) -> None:
    bare = _bare_python(tmp_path)
    found = run_py("list", python=bare, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "all_reduce" in found.stdout


def test_without_an_environment_it_says_make_setup(tmp_path: Path) -> None:
    alone = tmp_path / "run.py"
    alone.write_bytes((PROJECT / "run.py").read_bytes())
    command = [_bare_python(tmp_path), str(alone), "list"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode != 0
    assert found.stderr == "run.py: the Python packages are not installed; run `make setup` once\n"


def _bare_python(directory: Path) -> str:
    """A Python that sees the standard library only."""
    wrapper = directory / "python3"
    real = os.path.realpath(sys.executable)
    wrapper.write_text(f'#!/bin/sh\nexec {real} -S -E "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)
