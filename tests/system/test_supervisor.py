"""`run.py exec --kernel-api`: programs that have never heard of the testbed, on a host's stack."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.system.conftest import processes_with
from tests.system.program import (
    H2,
    PROGRAMS,
    RUN,
    Program,
    host_seen,
    run,
    wait_until_gone,
    wait_until_listening,
)
from tests.system.standing import PROJECT

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), pytest.mark.usefixtures("up")]

def test_nc_and_socat_carry_bytes_between_hosts() -> None:
    data = os.urandom(3_000_000)
    for listen, send in (
        (["nc", "-l", "-p", "5201"], ["nc", "-N", H2, "5201"]),
        (
            ["socat", "-u", "TCP6-LISTEN:5201", "-"],
            ["socat", "-u", "-b1048576", "-", "TCP6:[fd00::1:2]:5201"],
        ),
    ):
        server = Program("h2", *listen)
        wait_until_listening(5201)
        assert run("h1", *send, feed=data) == (0, b"", "")
        status, out, err = server.result()
        assert (status, hashlib.sha256(out).digest(), err) == (0, hashlib.sha256(data).digest(), "")
        wait_until_gone()


def test_curl_fetches_from_pythons_http_server() -> None:
    server = Program("h2", "python3", "-m", "http.server", "-d", str(PROJECT / "docs"), "8000")
    wait_until_listening(8000)
    status, out, err = run("h1", "curl", "-sS", f"http://{H2}:8000/host_dram.png")
    assert (status, err) == (0, "")
    assert out == (PROJECT / "docs" / "host_dram.png").read_bytes()
    assert "GET /host_dram.png" in server.end(signal.SIGINT)[2]


def key_and_certificate(place: Path) -> tuple[str, str]:
    key, certificate = str(place / "key.pem"), str(place / "certificate.pem")
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    make += ["-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=h2"]
    subprocess.run(make, check=True, capture_output=True)
    return key, certificate


@pytest.mark.parametrize(
    ("kind", "served", "right"),
    [
        ("asyncio", b"echoed 6\n", b"right 6\n"),
        ("ssl", b"secure TLSv1.3 True\n", b"secure TLSv1.3 True\n"),
        ("workers", b"served 6 by workers True\n", b"right 6\n"),
    ],
)
def test_python_programs_use_its_socket_module(
    tmp_path: Path, kind: str, served: bytes, right: bytes
) -> None:
    program = str(PROGRAMS / "sockets.py")
    more = key_and_certificate(tmp_path) if kind == "ssl" else ()
    server = Program("h2", "python3", program, kind, "serve", *more)
    wait_until_listening(7100)
    assert run("h1", "python3", program, kind, "ask", H2) == (0, right, "")
    assert server.result() == (0, served, "")
    wait_until_gone("h1")
    wait_until_gone("h2")


def test_openssl_speaks_tls(tmp_path: Path) -> None:
    key, certificate = key_and_certificate(tmp_path)
    server = Program(
        "h2", "openssl", "s_server", "-accept", "4433", "-key", key, "-cert", certificate, "-www"
    )
    wait_until_listening(4433)
    request = b"GET / HTTP/1.0\r\n\r\n"
    status, out, _ = run("h1", "openssl", "s_client", "-quiet", "-connect", f"{H2}:4433", feed=request)
    assert (status, out.splitlines()[0]) == (0, b"HTTP/1.0 200 ok")
    server.end()


@pytest.mark.parametrize("direction", [[], ["-R"]])
def test_iperf3_is_an_ordinary_user_of_the_stack(direction: list[str]) -> None:
    server = Program("h2", "iperf3", "-s", "-1")
    wait_until_listening(5201)
    status, out, err = run("h1", "iperf3", "-c", H2, "-n", "8M", *direction)
    assert (status, err) == (0, "")
    assert re.search(rb"8\.\d+ MBytes.*sender", out), out.decode()
    assert server.result()[0] == 0
    with host_seen("h2") as seen:
        moved = seen.stats().rx_bytes + seen.stats().nics[0].tx_bytes
    assert moved > 1 << 20  # it was this stack, not Linux's


def test_duplicates_children_threads_and_polls_are_as_on_linux() -> None:
    server = Program("h2", "python3", str(PROGRAMS / "echo.py"), "8")
    wait_until_listening(7000)
    status, out, err = run("h1", "python3", str(PROGRAMS / "descriptors.py"), H2)
    assert (status, err) == (0, "")
    assert out.decode().splitlines() == [
        "duplicates", "children 0", "executed False", "handed over 0", "threads [b'echo me\\n']",
        "would block", "poll True", "epoll True b'echo me\\n'",
    ]  # fmt: skip
    status, out, err = server.result()
    assert (status, err) == (0, "")
    assert sorted(filter(None, out.decode().splitlines())) == [
        "another program", "duplicate", "echo me", "echo me", "from the child", "handed over", "meanwhile",
    ]  # fmt: skip


def test_device_memory_by_the_socket_module_alone() -> None:
    count = 1 << 20
    server = Program("h2", sys.executable, str(PROGRAMS / "devmem.py"), "receive", str(count))
    wait_until_listening(5201)
    client = Program("h1", sys.executable, str(PROGRAMS / "devmem.py"), "send", str(count), H2)
    assert client.result() == (0, f"sent {count}\nPOLLERR True\ncompleted (0, 0)\n".encode(), "")
    assert server.result() == (0, f"received {count} True\n".encode(), "")


@pytest.mark.soak
def test_a_go_program_whose_calls_pass_by_no_library(tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("Go's compiler is none of the packages that set-up installs: apt install golang-go")
    binary, place = str(tmp_path / "stream"), {"HOME": str(tmp_path), "GO111MODULE": "off"}
    source = str(PROGRAMS / "stream.go")
    subprocess.run(["go", "build", "-o", binary, source], check=True, env=os.environ | place)
    server = Program("h2", binary, "receive")
    wait_until_listening(7005)
    assert run("h1", binary, "send", H2) == (0, b"sent 2000000 <nil>\n", "")
    assert server.result() == (0, b"received 2000000 <nil>\n", "")


CONNECTS = f"""
import os, socket
for at in range(COUNT):
    socket.create_connection(("{H2}", 7000)).close()
print(len(os.listdir("/proc/self/fd")))
"""
ACCEPTS = """
import os, socket
with socket.create_server(("0.0.0.0", 7000), backlog=512) as listener:
    for at in range(COUNT):
        listener.accept()[0].close()
    print(len(os.listdir("/proc/self/fd")))
"""


def descriptors_of(token: str, word: str) -> dict[int, int]:
    """How many each of this test's processes has whose command line has the word."""
    found = {}
    for pid, words in processes_with(token).items():
        with suppress(OSError):  # it ends
            if word in words:
                found[pid] = len(os.listdir(f"/proc/{pid}/fd"))
    return found


@pytest.mark.parametrize(
    "count", [300, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_connects_and_closes_leak_no_descriptor(token: str, count: int) -> None:
    before = descriptors_of(token, "nodes.endpoint")
    server = Program("h2", "python3", "-c", ACCEPTS.replace("COUNT", str(count)))
    wait_until_listening(7000)
    client = Program("h1", "python3", "-c", CONNECTS.replace("COUNT", str(count)))
    most = 0
    while client.process.poll() is None:
        most = max([most, *descriptors_of(token, "nodes.supervisor").values()])
        time.sleep(0.02)
    assert client.result() == (0, b"4\n", "")  # three, and the directory
    assert server.result() == (0, b"5\n", "")  # and the listener
    assert 0 < most < 40
    wait_until_gone("h1")
    wait_until_gone("h2")
    assert descriptors_of(token, "nodes.endpoint") == before


SIGNALLED = f"""
import signal, socket
class Alarm(Exception): pass
def note(*_): print("alarm", flush=True); sock.sendall(b"echo me\\n")
def leave(*_): raise Alarm
sock = socket.create_connection(("{H2}", 7000))
signal.signal(signal.SIGALRM, note)
signal.setitimer(signal.ITIMER_REAL, 0.2)
print(sock.recv(100))
signal.signal(signal.SIGALRM, leave)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    sock.recv(100)
except Alarm:
    print("left")
"""


def test_a_signal_interrupts_a_blocked_call_which_goes_on_after_the_handler() -> None:
    server = Program("h2", "python3", str(PROGRAMS / "echo.py"), "1")
    wait_until_listening(7000)
    assert run("h1", "python3", "-c", SIGNALLED) == (0, b"alarm\nb'echo me\\n'\nleft\n", "")
    assert server.result()[:2] == (0, b"echo me\n")


def test_the_peer_of_a_killed_program_sees_the_end_and_nothing_is_left() -> None:
    server = Program("h2", "nc", "-l", "-p", "5201")
    wait_until_listening(5201)
    client = Program("h1", "sh", "-c", f"(echo first; sleep 60) | nc {H2} 5201 & sleep 1; kill -9 $!; wait")
    assert server.result()[:2] == (0, b"first\n")
    client.end()
    wait_until_gone("h1")
    wait_until_gone("h2")


def test_a_program_and_its_children_die_with_their_supervisor(token: str) -> None:
    server = Program("h2", "sh", "-c", "nc -l -p 5201 & setsid nc -l -p 5202 & sleep 60")
    wait_until_listening(5201)
    wait_until_listening(5202)
    words = "nodes.supervisor.__main__"
    own = {pid for pid, line in processes_with(token).items() if words in line and "run.py" not in line}
    os.kill(min(own), signal.SIGKILL)  # the first of supervisor, guardian
    assert server.result()[0] != 0
    wait_until_gone()
    give_up_at = time.monotonic() + 10
    while left := [line for line in processes_with(token).values() if "nc -l" in line]:
        assert time.monotonic() < give_up_at, left
        time.sleep(0.05)


def test_a_program_outlives_its_endpoint_and_is_told(token: str) -> None:
    code = """
import socket, sys
listener = socket.create_server(("0.0.0.0", 5201))
try:
    listener.accept()
except OSError as refused:
    print(refused)
try:
    socket.socket()
except OSError as refused:
    print(refused)
"""
    server = Program("h2", "python3", "-c", code)
    wait_until_listening(5201)
    (endpoint,) = (
        pid for pid, line in processes_with(token).items() if "nodes.endpoint" in line and "h2-eth0" in line
    )
    os.kill(endpoint, signal.SIGKILL)
    status, out, err = server.result()
    assert (status, len(out.splitlines()), err) == (0, 2, "")
    assert b"Connection reset" in out


def test_what_fails_says_so() -> None:
    assert run("h1", "nosuchprogram")[::2] == (127, "python -m nodes.supervisor: nosuchprogram: not found\n")
    assert run("h1", "nc", "-z", "-v", H2, "1")[::2] == (
        1, f"nc: connect to {H2} port 1 (tcp) failed: Connection refused\n"
    )  # fmt: skip
    assert run("h1", "sh", "-c", "exit 3")[0] == 3


def test_strace_shows_the_calls_that_the_stack_answers() -> None:
    argv = [*RUN, "h1", "--kernel-api", "--strace", "--", "nc", "-z", H2, "1"]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stderr
    lines = [re.sub(r"^\[pid \d+\] ", "", line) for line in said.splitlines()]
    end = f'{{sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr("{H2}")}}'
    assert lines == [
        "socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3",
        f"connect(3, {end}, 16) = -1 EINPROGRESS (Operation now in progress)",
        "getsockopt(3, SOL_SOCKET, SO_ERROR, [111], [4]) = 0",
    ]
