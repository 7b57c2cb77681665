"""Compiled programs that receive into device memory and send from it: our own of the kernel's kind, and the
kernel's ncdevmem. The scenarios are those of the kernel's devmem.py, by its names."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.program import (
    H2,
    PROGRAMS,
    Program,
    host_seen,
    linux_tree,
    run,
    wait_until_gone,
    wait_until_listening,
)
from tests.system.standing import command

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), pytest.mark.usefixtures("up")]

HDS = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
LARGE = [1024, 4096, 8192, 16384, 32768, 65536]
H2_6 = "fd00::1:2"


def pattern(count: int, period: bytes = bytes(range(251))) -> bytes:
    return (period * (count // len(period) + 1))[:count]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """tests/programs/devmem.c, by how it is linked."""
    place = tmp_path_factory.mktemp("compiled")
    paths = {}
    for name, how in (("dynamic", []), ("static", ["-static"])):
        paths[name] = str(place / name)
        argv = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", *how, "-o", paths[name]]
        subprocess.run([*argv, str(PROGRAMS / "devmem.c")], check=True)
    return paths


def bound_queues() -> list[int]:
    with host_seen("h2") as seen:
        return [queue["id"] for queue in seen.netdev.queue_get() if "dmabuf" in queue]


@pytest.mark.parametrize(("receiver", "sender"), [("dynamic", "static"), ("static", "dynamic")])
def test_a_compiled_devmem_program_runs_as_it_is(
    compiled: dict[str, str], receiver: str, sender: str
) -> None:
    """udmabuf, netlink, children that run ethtool, tokens, zero-copy sends and their completions."""
    count = str(1_000_003)
    server = Program("h2", compiled[receiver], "receive", "h2-eth0", "5201", count)
    wait_until_listening(5201)
    assert bound_queues() == [7]
    client = run("h1", compiled[sender], "send", "h1-eth0", f"::ffff:{H2}", "5201", count)
    assert client == (0, b"completed up to 0\n", "")
    assert server.result() == (0, f"received {count} bytes, 0 wrong\n".encode(), "")
    assert bound_queues() == []  # its last descriptor of the netlink socket is closed


def test_a_compiled_program_that_is_killed_leaves_no_binding(compiled: dict[str, str]) -> None:
    server = Program("h2", "sh", "-c", f"{compiled['dynamic']} receive h2-eth0 5201 1 & sleep 60")
    wait_until_listening(5201)
    server.end(signal.SIGKILL)
    wait_until_gone()
    give_up_at = time.monotonic() + 10
    while bound_queues():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


# --- the scenarios of devmem.py, with our own program


def receives(devmem: str, data: Path, sizes: list[int], *options: str, socat: str = "") -> None:
    """A connection for each size from socat, whose options are given; all of it in device memory."""
    sums = ",".join(map(str, sizes))
    server = Program("h2", devmem, "receive", "h2-eth0", "5201", sums, *options)
    wait_until_listening(5201)
    data.write_bytes(pattern(max(sizes)))
    send = f"head -c $n {data} | socat -u {socat} - TCP6:[{H2_6}]:5201,nodelay"
    assert run("h1", "sh", "-ec", f"for n in {' '.join(map(str, sizes))}; do {send}; done") == (0, b"", "")
    said = "".join(f"received {size} bytes, 0 wrong\n" for size in sizes)
    assert server.result() == (0, said.encode(), "")


def test_rx(compiled: dict[str, str], tmp_path: Path) -> None:
    receives(compiled["dynamic"], tmp_path / "data", [1024])


def test_rx_hds(compiled: dict[str, str], tmp_path: Path) -> None:
    """Segments of 1 to 8192 bytes, none of whose payload stays with the headers."""
    receives(compiled["dynamic"], tmp_path / "data", HDS, socat="-b $n")


def test_rx_large_niov(compiled: dict[str, str], tmp_path: Path) -> None:
    receives(compiled["dynamic"], tmp_path / "data", LARGE, "16384")


@pytest.mark.parametrize("name", ["tx", "tx_chunks"])
def test_tx(compiled: dict[str, str], name: str) -> None:
    chunk = ["3"] if name == "tx_chunks" else []
    server = Program("h2", "socat", "-U", "-", "TCP6-LISTEN:5202")
    wait_until_listening(5202)
    sender = ("send", "h1-eth0", H2_6, "5202", "3000", *chunk)
    assert run("h1", compiled["dynamic"], *sender) == (0, b"completed up to 0\n", "")
    assert server.result() == (0, pattern(3000), "")


# --- the kernel's own program, unmodified


NCDEVMEM = "tools/testing/selftests/drivers/net/hw"
SEVEN = bytes([1, 2, 3, 4, 5, 6, 10])  # what -v 7 expects


@pytest.fixture(scope="session")
def ncdevmem() -> str:
    """Built in its own tree, by its own Makefile, where it is not built yet: other workers may run it."""
    tree = linux_tree()
    place = tree / NCDEVMEM
    if not (place / "ncdevmem.c").exists():
        pytest.skip(f"no {NCDEVMEM}/ncdevmem.c in {tree}: before 6.13 ncdevmem could not do what is run here")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # the generator of libynl needs PyYAML
    environment = os.environ | {"PATH": path}
    with open(place / "Makefile") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "ncdevmem").exists():
            for words in ([str(tree), "headers"], [str(place), str(place / "ncdevmem")]):
                subprocess.run(["make", "-C", *words], check=True, env=environment, stdout=subprocess.DEVNULL)
    return str(place / "ncdevmem")


class Receiver(Program):
    """`ncdevmem -l` at h2, when it listens."""

    def __init__(self, ncdevmem: str, *options: str, address: str = H2_6) -> None:
        nic = ("-l", "-f", "h2-eth0", "-p", "5201", "-s", address)
        super().__init__("h2", ncdevmem, *nic, *options)
        try:
            wait_until_listening(5201)
        except AssertionError:
            raise AssertionError(self.end()) from None

    def received(self) -> int:
        """How many bytes it says it has received, in device memory and valid."""
        status, _, err = self.result()
        assert status == 0, err
        return int(err.rpartition("total_received=")[2].partition("\n")[0])


def sends(ncdevmem: str, data: bytes, *options: str, address: str = H2_6) -> None:
    words = ("-f", "h1-eth0", "-s", address, "-p", "5201", *options)
    status, _, err = Program("h1", ncdevmem, *words, feed=data).result()
    assert status == 0, err
    assert "ncdevmem: tx ok" in err


def test_the_kernels_ncdevmem_probes_the_nic(ncdevmem: str) -> None:
    for options in ([], ["-b", "16384"]):
        status, _, err = run("h2", ncdevmem, "-f", "h2-eth0", *options)
        assert status == 0, err
        assert "missing attribute: .queues.id" in err
        assert "tcp-data-split is not enabled" in err


@pytest.mark.parametrize("address", [H2_6, H2])
def test_the_kernels_ncdevmem_receives_what_it_sends(ncdevmem: str, address: str) -> None:
    """By lines, each a zero-copy send of its own; in chunks of 3 bytes; into net_iovs of 16 KiB."""
    for receive, send in ([], []), (["-L"], ["-z", "3"]), (["-b", "16384"], []):
        server = Receiver(ncdevmem, "-v", "7", *receive, address=address)
        sends(ncdevmem, pattern(7 * 64, SEVEN), *send, address=address)
        assert server.received() == 7 * 64


def test_the_kernels_ncdevmem_takes_a_nic_that_is_set_up(ncdevmem: str) -> None:
    set_up = """
ethtool -X h2-eth0 equal 2
ethtool -N h2-eth0 flow-type tcp6 dst-port 5201 action 3
"""
    with host_seen("h2") as seen:
        seen.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
    assert run("h2", "sh", "-ec", set_up)[0] == 0
    server = Receiver(ncdevmem, "-n", "-t", "3", "-q", "1", "-v", "7")
    assert bound_queues() == [3]
    status = run("h1", "socat", "-u", "-", f"TCP6:[{H2_6}]:5201", feed=pattern(65536, SEVEN))
    assert (status, server.received()) == ((0, b"", ""), 65536)


@pytest.mark.parametrize("address", [H2_6, H2])
def test_the_kernels_rx(ncdevmem: str, address: str) -> None:
    client = {H2_6: "fd00::1:1", H2: "10.0.1.1"}[address]
    server = Receiver(ncdevmem, "-c", client, "-v", "7", address=address)
    to = f"TCP6:[{address}]:5201,bind=[{client}]:5201" if ":" in address else (
        f"TCP4:{address}:5201,bind={client}:5201"
    )  # fmt: skip
    assert run("h1", "socat", "-u", "-", to, feed=pattern(1024, SEVEN)) == (0, b"", "")
    assert server.received() == 1024


@pytest.mark.parametrize("period", [2, 8, 256])
def test_the_kernels_ncdevmem_validates_by_other_periods(ncdevmem: str, period: int) -> None:
    """-v N expects the bytes from 1 to N - 1, then a newline."""
    data = pattern(65536, bytes([*range(1, period), 10]))
    server = Receiver(ncdevmem, "-v", str(period))
    assert run("h1", "socat", "-u", "-", f"TCP6:[{H2_6}]:5201", feed=data) == (0, b"", "")
    assert server.received() == 65536


def test_the_kernels_ncdevmem_refuses_wrong_data_and_undoes_what_it_has_set(ncdevmem: str) -> None:
    server = Receiver(ncdevmem, "-v", "8")
    run("h1", "socat", "-u", "-", f"TCP6:[{H2_6}]:5201", feed=pattern(65536, SEVEN))
    status, _, err = server.result()
    assert status == 1
    assert "validation failed" in err
    assert bound_queues() == []
    wait_until_gone()


def test_the_kernels_ncdevmem_prints_what_linuxs_socat_sends(ncdevmem: str) -> None:
    """The words of issue and page: the client is a program of Linux's own stack."""
    server = Program("h2", ncdevmem, "-s", H2_6, "-l", "-p", "5201", "-f", "h2-eth0")
    wait_until_listening(5201)
    send = f"seq 100000 | socat -u -b1048576 - TCP6:[{H2_6}]:5201"
    assert command("exec", "h1", "--", "sh", "-c", send).returncode == 0
    status, out, err = server.result()
    assert status == 0, err
    assert out == b"".join(b"%d\n" % number for number in range(1, 100001))


@pytest.mark.parametrize("name", ["tx", "tx_chunks"])
def test_the_kernels_tx(ncdevmem: str, name: str) -> None:
    server = Program("h2", "socat", "-U", "-", "TCP6-LISTEN:5201")
    wait_until_listening(5201)
    sends(ncdevmem, b"hello\nworld\n", *(["-z", "3"] if name == "tx_chunks" else []))
    assert server.result() == (0, b"hello\nworld\n", "")


@pytest.mark.parametrize(
    ("sizes", "receive", "send"),
    [(HDS, "-L", "socat -b $n"), (LARGE, "-v 7 -b 16384", "socat")],
    ids=["rx_hds", "rx_large_niov"],
)
def test_the_kernels(ncdevmem: str, tmp_path: Path, sizes: list[int], receive: str, send: str) -> None:
    """A receiver for each size, at a port of its own."""
    data, numbers = tmp_path / "data", " ".join(map(str, sizes))
    data.write_bytes(pattern(max(sizes), SEVEN))
    loop = "port=5300; for n in {}; do port=$((port + 1)); {}; done"
    listen = f"{ncdevmem} -l -f h2-eth0 -s {H2_6} -p $port {receive} >/dev/null"
    server = Program("h2", "sh", "-ec", loop.format(numbers, listen))
    retry = "nodelay,retry=400,interval=0.05"
    each = f"head -c $n {data} | {send} -u - TCP6:[{H2_6}]:$port,{retry}"
    client = Program("h1", "sh", "-ec", loop.format(numbers, each))
    assert client.result()[0] == 0
    status, _, err = server.result()
    assert status == 0, err
    said = [int(part.partition("\n")[0]) for part in err.split("\ntotal_received=")[1:]]
    assert {*sizes} <= {*said}
