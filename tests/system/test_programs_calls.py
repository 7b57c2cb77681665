"""What a program meets in calls that are rare: loopback, exec, ioctls, notifications, and waits that hold up
nobody else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.system.conftest import processes_with
from tests.system.program import H2, PROGRAMS, Program, host_seen, run, wait_until_listening

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), pytest.mark.usefixtures("up")]


LOOPBACK = """
import os, socket, threading
def link(sock):
    return os.readlink(f"/proc/self/fd/{sock.fileno()}")
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
before = link(sock)
sock.bind(("127.0.0.1", 0))
kept = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
print(link(sock) != before, kept, sock.getsockname()[0], os.get_inheritable(sock.fileno()))
sock.listen()
threading.Thread(target=lambda: sock.accept()[0].sendall(b"here")).start()
print(socket.create_connection(sock.getsockname()).recv(9))
late = socket.socket()
late.setblocking(False)
print(late.connect_ex(("127.0.0.1", 1)))
six = socket.create_server(("::1", 0), family=socket.AF_INET6)
print(six.getsockname()[0])
other = socket.socket(socket.AF_INET6)
print(other.connect_ex(("::ffff:127.0.0.1", sock.getsockname()[1])))
"""


def test_loopback_is_linuxs() -> None:
    said = ["True 1 127.0.0.1 False", "b'here'", "115", "::1", "0"]
    assert run("h1", "python3", "-c", LOOPBACK) == (0, "\n".join([*said, ""]).encode(), "")


LISTENED = """
import os, socket
listener = socket.create_server(("0.0.0.0", 5201))
for _ in range(2):
    print(socket.socket().connect_ex(("127.0.0.1", 5201)))
print(socket.socket().connect_ex(("127.0.0.1", 5202)))
"""


def test_a_listener_on_every_address_is_not_at_loopback_and_it_is_said() -> None:
    with host_seen("h1") as seen:
        at = seen.address
    said = f"kernel-api: connect: port 5201 listens at {at}, where no loopback reaches it: "
    said += "a server and its client are on two hosts\n"
    assert run("h1", "python3", "-c", LISTENED) == (0, b"111\n111\n111\n", said)


EXECUTES = f"""
import os, socket
sock = socket.create_connection(("{H2}", 7000))
sock.sendall(b"until exec")
os.execv("/bin/sleep", ["sleep", "30"])
"""


def test_what_exec_closes_ends_at_once() -> None:
    """The last descriptor is close-on-exec, and the program after exec makes no call that is trapped."""
    server = Program("h2", "python3", str(PROGRAMS / "echo.py"), "1")
    wait_until_listening(7000)
    client = Program("h1", "python3", "-c", EXECUTES)
    assert server.result()[:2] == (0, b"until exec\n")
    assert client.process.poll() is None
    client.end()


IOCTLS = f"""
import array, fcntl, socket, struct
def ask(request):
    value = array.array("i", [-1])
    fcntl.ioctl(sock, request, value)
    return value[0]
sock = socket.create_connection(("{H2}", 7000))
sock.sendall(b"x" * 40 + b"echo me\\n")
got = sock.recv(8)
while ask(0x541B) < 40 or ask(0x5411):
    pass
print(got, ask(0x541B), ask(0x5411), ask(0x894B))
named = fcntl.ioctl(sock, 0x8915, struct.pack("=16s24x", b"h1-eth0"))
print(socket.inet_ntoa(named[20:24]), struct.unpack_from("=i", fcntl.ioctl(sock, 0x8933, named), 16)[0])
"""


def test_ioctls_tell_what_is_unread_and_unacknowledged_and_an_address() -> None:
    server = Program("h2", "python3", str(PROGRAMS / "echo.py"), "1")
    wait_until_listening(7000)
    with host_seen("h1") as seen:
        ifindex = seen.ifindex
    said = f"b'xxxxxxxx' 40 0 0\n10.0.1.1 {ifindex}\n"
    assert run("h1", "python3", "-c", IOCTLS) == (0, said.encode(), "")
    server.result()


MONITORS = """
stdbuf -oL ethtool --monitor >$0 & monitor=$!
until grep -q listening $0; do sleep 0.05; done
ethtool -K h2-eth0 tso off
until grep -q Features $0; do sleep 0.05; done
ethtool -G h2-eth0 rx 256
until grep -q 'RX:.*256' $0; do sleep 0.05; done
kill $monitor
"""


def test_ethtools_monitor_hears_of_changes(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    assert run("h2", "sh", "-c", MONITORS, str(heard))[0] == 0
    said = heard.read_text()
    assert "tcp-segmentation-offload: off" in said
    assert "Ring parameters for h2-eth0" in said


def endpoint_of(token: str, interface: str) -> int:
    lines = processes_with(token).items()
    (pid,) = (pid for pid, line in lines if "nodes.endpoint" in line and interface in line)
    return pid


GOES_ON = """
until [ -e $0 ]; do sleep 0.05; done
(ethtool -g h2-eth0; echo status $?) &
sleep 1
python3 -c 'import socket; socket.socketpair(); print("alive", flush=True)'
wait
"""


def test_a_request_that_waits_for_the_endpoint_holds_up_no_other_call(token: str, tmp_path: Path) -> None:
    """The endpoint is stopped: ethtool's netlink request waits for it, another program's calls do not."""
    go = tmp_path / "go"
    program = Program("h2", "sh", "-c", f"echo begun; {GOES_ON}", str(go))
    program.wait_for(b"begun\n")
    endpoint = endpoint_of(token, "h2-eth0")
    os.kill(endpoint, signal.SIGSTOP)
    try:
        go.touch()
        program.wait_for(b"alive\n")
        assert b"Ring" not in program.printed()
    finally:
        os.kill(endpoint, signal.SIGCONT)
    status, out, err = program.result()
    assert (status, err) == (0, "")
    assert b"Ring parameters for h2-eth0" in out
    assert out.endswith(b"status 0\n")
