"""ncdevmem against plain netcat of the other host: the cases of the selftests' drivers/net/hw/devmem.py."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.system.network import PORT, Network

pytestmark = pytest.mark.system

PATIENCE_S = 20


def command(network: Network, name: str, *options: str) -> list[str]:
    interface = network.nic(name).interface
    return [sys.executable, "-m", "nodes.client.ncdevmem", "-f", interface, *options]


def environment(network: Network, name: str) -> dict[str, str]:
    return {**os.environ, "DEVMEM_CHANNEL": network.channel(name)}


@contextmanager
def server(network: Network, *options: str, at: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """ncdevmem -l on h2, listening."""
    network.host("h2").close()
    argv = command(network, "h2", "-l", "-s", at or network.address("h2"), "-p", str(PORT), *options)
    with subprocess.Popen(
        argv, env=environment(network, "h2"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith(b"Waiting"):
                    break
            else:
                raise AssertionError(f"ncdevmem ended with status {process.wait()}")
            yield process
        finally:
            process.kill()


def send(
    network: Network, content: bytes, block: int = 8192, stay: bool = False, target: str | None = None
) -> None:
    """socat on h1's Linux sends `content` to h2's endpoint, `block` bytes a write; it may stay connected."""
    file = network.directory / "content"
    file.write_bytes(content)
    target = target or f"TCP:{network.address('h2')}:{PORT}"
    if stay:
        network.fabric.spawn("h1", ["socat", f"-b{block}", f"OPEN:{file},ignoreeof", target], "socat.log")
        return
    done = network.fabric.run("h1", ["socat", "-u", f"-b{block}", f"OPEN:{file}", target], 20)
    assert done.status == 0, done.stderr


def pattern(size: int, n: int) -> bytes:
    return (bytes((*range(1, n), ord("\n"))) * (size // n + 1))[:size]


def test_received_bytes_are_validated_where_they_lie(network: Network) -> None:
    """check_rx: 1 KiB, -v 7."""
    with server(network, "-v", "7") as process:
        send(network, pattern(1024, 7))
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert set(out.split(b"\n")) == {b"Validated buffer", b""}
    assert b"total_received=1024" in err
    assert b"ncdevmem: ok" in err


def test_more_than_20_wrong_bytes_fail(network: Network) -> None:
    with server(network, "-v", "7") as process:
        send(network, pattern(1024, 8))
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert err.count(b"Failed validation") == 21


def test_without_v_the_bytes_are_printed_and_a_mapped_address_is_ipv4(network: Network) -> None:
    content = random.Random(1).randbytes(300_000)
    with server(network, at=f"::ffff:{network.address('h2')}") as process:
        send(network, content)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert out == content


def test_every_payload_size_is_split_off_whole(network: Network) -> None:
    """check_rx_hds: 1 to 8192 bytes, one segment each; -L fails on a linear byte."""
    for size in (1 << shift for shift in range(14)):
        content = random.Random(size).randbytes(size)
        with server(network, "-L") as process:
            send(network, content, block=size)
            out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out) == (0, content), err


def test_large_net_iovs(network: Network) -> None:
    """check_rx_large_niov."""
    for size in (1024, 16384, 65536):
        content = random.Random(size).randbytes(size)
        with server(network, "-L", "-b", "16384") as process:
            send(network, content, block=size)
            out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out) == (0, content), err


@pytest.mark.parametrize("more", [[], ["-z", "3"]], ids=["whole", "chunks of 3"])
def test_lines_are_sent_from_device_memory(network: Network, more: list[str]) -> None:
    """check_tx, check_tx_chunks."""
    network.host("h1").close()
    output = network.directory / "received"
    address = network.kernel_address("h2")
    receiver = ["socat", "-u", f"TCP-LISTEN:{PORT},bind={address}", f"CREATE:{output}"]
    network.fabric.spawn("h2", receiver, "socat.log")
    content = b"hello\nworld\n" + b"x" * 2000 + b"\n"
    argv = command(network, "h1", "-s", address, "-p", str(PORT), *more)
    done = run_until_listening(argv, environment(network, "h1"), content)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.split(b"\n") if b"complete" in line] == [
        b"tx complete [0,0]", b"tx complete [1,1]", b"tx complete [2,2]"
    ]  # fmt: skip
    assert eventually(output, content)


def run_until_listening(
    argv: list[str], env: dict[str, str], content: bytes
) -> subprocess.CompletedProcess[bytes]:
    """The receiver may still be starting."""
    deadline = time.monotonic() + 10
    while True:
        done = subprocess.run(argv, env=env, input=content, capture_output=True, timeout=PATIENCE_S)
        if b"refused" not in done.stderr.lower() or time.monotonic() > deadline:
            return done


def eventually(path: Path, content: bytes) -> bool:
    deadline = time.monotonic() + 5
    while not (path.exists() and path.read_bytes() == content):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("family", ["IPv6", "IPv4-mapped"])
def test_both_ends_in_device_memory(network: Network, family: str) -> None:
    """Sent by ncdevmem, validated by ncdevmem: -v 8. The selftests use IPv6 wherever a NIC has it."""
    network.host("h1").close()
    addresses = {name: network.address6(name) for name in ("h1", "h2")}
    if family == "IPv4-mapped":
        addresses = {name: f"::ffff:{network.address(name)}" for name in ("h1", "h2")}
    with server(network, "-v", "8", "-L", "-c", addresses["h1"], at=addresses["h2"]) as process:
        argv = command(network, "h1", "-s", addresses["h2"], "-c", addresses["h1"], "-p", str(PORT))
        sent = subprocess.run(
            argv, input=pattern(800, 8), env=environment(network, "h1"), capture_output=True, timeout=20
        )
        assert sent.returncode == 0, sent.stderr
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert b"Validated buffer" in out
    assert b"total_received=800\n" in err
    assert sent.stderr.count(b"tx complete") == 100  # a line each


def test_linuxs_own_ipv6_sends_into_device_memory(network: Network) -> None:
    content = random.Random(3).randbytes(100_000)
    with server(network, "-L", at=network.address6("h2")) as process:
        send(network, content, target=f"TCP:[{network.address6('h2')}]:{PORT}")
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, content), err


@pytest.mark.parametrize("nic", ["generic", "combined"])
def test_without_addresses_it_probes_what_the_device_refuses(network: Network, nic: str) -> None:
    network.fabric.terminate(network.pids["h1"])
    network.start("h1", "--nic", nic)
    with closing(network.host("h1")) as h1:
        done = subprocess.run(
            command(network, "h1"), env=environment(network, "h1"), capture_output=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(b"refused:") == 3
        assert not any("dmabuf" in queue for queue in h1.netdev.queue_get())
        assert h1.ethtool.rings_get()["tcp-data-split"] == "unknown"


def test_an_inexact_split_fails_l_and_delivers_linear_bytes_otherwise(network: Network) -> None:
    network.fabric.terminate(network.pids["h2"])
    network.start("h2", "--nic", "fixed-split")
    content = random.Random(9).randbytes(3000)
    for option, status in (("-L", 1), ("-q1", 0)):
        more = ["-t", "7", option] if option == "-q1" else [option]
        with server(network, *more) as process:
            send(network, content, block=3000)
            _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == status, err
        assert b"SCM_DEVMEM_LINEAR" in err


@pytest.mark.parametrize(
    ("how", "status"), [("end", 0), ("error", 1), ("Ctrl-C", 130), ("SIGTERM while receiving", 143)]
)
def test_the_nic_is_left_as_it_was(network: Network, how: str, status: int) -> None:
    """Rules, RSS and rings, after an end in good order and after any other; without a traceback."""
    before = {"tcp-data-split": "disabled", "hds-thresh": 200}
    with closing(network.host("h2")) as h2:
        h2.ethtool.rings_set(before)
        h2.ethtool.rss_set({"indir": [0, 3, 7, 5]})
        context = h2.ethtool.rss_create({"equal": 3})["context"]
        for port in (80, 443):
            h2.ethtool.ntuple_insert({"flow-type": "tcp4", "dst-port": port, "context": context})
        h2.ethtool.ntuple_delete({"location": 0})
        spread, rules = h2.ethtool.dump("rss-get"), h2.ethtool.ntuple_get()
        with server(network, *(["-v", "7"] if how == "error" else []), at=network.address("h2")) as process:
            assert h2.ethtool.rings_get()["hds-thresh"] == 0
            assert len(h2.ethtool.ntuple_get()) == 1
            if how == "Ctrl-C":
                process.send_signal(signal.SIGINT)
            else:
                send(network, b"x" * 1000, stay=how.startswith("SIGTERM"))
            if how.startswith("SIGTERM"):
                wait_for(process, b"total_received=1000\n")
                process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == status, err
        assert b"Traceback" not in err
        assert b"restored" not in err
        assert h2.ethtool.ntuple_get() == rules
        assert h2.ethtool.dump("rss-get") == spread
        assert before.items() <= h2.ethtool.rings_get().items()
        assert not any("dmabuf" in queue for queue in h2.netdev.queue_get())


def wait_for(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stderr is not None
    assert any(said == line for said in process.stderr)


def test_with_n_the_nic_is_not_touched(network: Network) -> None:
    with closing(network.host("h2")) as h2:
        h2.ethtool.rings_set({"tcp-data-split": "enabled"})
        h2.ethtool.rss_set({"equal": 3})
        rule = h2.ethtool.ntuple_insert({"flow-type": "tcp4", "dst-port": PORT, "queue": 5})
        before = h2.ethtool.rss_get(), h2.ethtool.ntuple_get()
        with server(network, "-n", "-t", "5", "-q", "1") as process:
            send(network, b"x" * 1000)
            out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out) == (0, b"x" * 1000), err
        assert (h2.ethtool.rss_get(), h2.ethtool.ntuple_get()) == before
        assert before[1][0]["location"] == rule["location"]


def test_mistakes_are_one_sentence_and_change_nothing(network: Network) -> None:
    with closing(network.host("h1")) as h1:
        before = h1.ethtool.rings_get(), h1.ethtool.rss_get()
        for options, status, expected in [
            (["-t", "0", "-q", "8"], 2, b"-t 0: no queue is left for what is not steered"),
            (["-t", "6", "-q", "3"], 1, b"-t 6 -q 3: the device has 8 rx queues, 0 to 7"),
            (["-f", "eth7"], 1, b"-f 'eth7': this host's interface is 'h1-eth0'"),
            (["--channel", "/nowhere"], 1, b"no endpoint listens at '/nowhere'"),
        ]:
            argv = command(network, "h1", *options)
            done = subprocess.run(argv, env=environment(network, "h1"), capture_output=True, timeout=20)
            assert done.returncode == status
            assert expected in done.stderr.splitlines()[-1]
        assert (h1.ethtool.rings_get(), h1.ethtool.rss_get()) == before
