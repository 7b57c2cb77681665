"""A user who is root of a namespace of their own: what it is like, and the sentences where it is refused."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from tests.ordinary_user import as_nobody, skip_where_refused
from topologies.mininet.user_namespace import (
    _NAMESPACES,
    _PACKETS,
    _PROC,
    _SYS,
    _USERS,
    _clause,
    is_inside,
    single_user,
)

FREE = {"user/max_user_namespaces": "1000", "user/max_net_namespaces": "1000"}
APPARMOR = "kernel/apparmor_restrict_unprivileged_userns"


@pytest.fixture
def allowed() -> None:
    """Or the test is skipped."""
    skip_where_refused()


@pytest.mark.parametrize(
    ("uid_map", "user"),
    [
        ("         0       1000          1\n", 1000),
        ("         0          0          1\n", 0),
        ("         0          0 4294967295\n", None),  # of the machine
        ("         0     100000      65536\n", None),  # of a container
        ("         0       1000          1\n         1     100000      65536\n", None),
        ("", None),
    ],
)
def test_a_namespace_of_one_user_is_told_by_its_map(uid_map: str, user: int | None) -> None:
    assert single_user(uid_map) == user


@pytest.mark.parametrize(
    ("step", "code", "settings", "said"),
    [
        (_USERS, errno.ENOSPC, {"user/max_user_namespaces": "0"}, "sysctl -w user.max_user_namespaces=1000"),
        (_USERS, errno.ENOSPC, {"user/max_net_namespaces": "0"}, "sysctl -w user.max_net_namespaces=1000"),
        (_USERS, errno.ENOSPC, {}, "as many namespaces as a user may have"),
        (_USERS, errno.EPERM, {"kernel/unprivileged_userns_clone": "0"}, "unprivileged_userns_clone=1"),
        (_USERS, errno.EACCES, {APPARMOR: "1"}, "AppArmor keeps users' programs from user namespaces"),
        (_NAMESPACES, errno.EPERM, {APPARMOR: "1"}, f"{APPARMOR.replace('/', '.')}=0"),
        (_USERS, errno.EINVAL, {}, "no user namespaces (CONFIG_USER_NS)"),
        (_USERS, errno.EPERM, {}, "user namespaces are refused here (Operation not permitted)"),
        (_NAMESPACES, errno.EPERM, {APPARMOR: "0"}, "namespaces are refused here"),
        (_PACKETS, errno.EPERM, {}, "packet sockets are refused here"),
        (_PROC, errno.EPERM, {APPARMOR: "1"}, "a part of /proc is hidden here"),
        (_SYS, errno.EPERM, {}, "a part of /sys is hidden here"),
    ],
)
def test_what_refuses_is_named_with_its_remedy(
    step: int, code: int, settings: dict[str, str], said: str
) -> None:
    clause = _clause(step, code, FREE | settings)
    assert said in clause
    assert "; " in clause or " (" in clause
    assert not clause.endswith(".")


@pytest.mark.usefixtures("allowed")
def test_who_has_entered_is_root_of_a_network_and_still_the_same_user() -> None:
    entered = as_nobody(
        "import os; before = os.getuid()\n"
        "from topologies.mininet import user_namespace as mine\n"
        "print(mine.is_inside(), mine.outer_uid() == before, mine.owns_network())\n"
        "mine.enter()\n"
        "print(os.getuid(), mine.is_inside(), mine.outer_uid() == before, mine.owns_network())\n"
        "print(mine.obstacle())\n"
    )
    assert entered == ["False True False", "0 True True True", "None"]


@pytest.mark.usefixtures("allowed")
def test_a_command_enters_the_namespace_of_a_process() -> None:
    assert as_nobody(
        "import os, sys\n"
        "from topologies.mininet import user_namespace as mine\n"
        "told, tell = os.pipe(); child = os.fork()\n"
        "if child == 0:\n"
        "    mine.enter(); os.write(tell, mine.current().encode()); sys.stdin.read(); os._exit(0)\n"
        "theirs = os.read(told, 99).decode()\n"
        "print(theirs == mine.current())\n"
        "mine.join_that_of(child)\n"
        "print(theirs == mine.current(), os.getuid())\n"
        "os.kill(child, 9)\n"
    ) == ["False", "True 0"]


@pytest.mark.usefixtures("allowed")
def test_a_wires_buffer_is_as_large_as_the_machine_lets_a_user_have() -> None:
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
    for module in ("nodes.nic.socket_buffer", "topologies.mininet.socket_buffer"):
        assert as_nobody(
            "import socket\n"
            "from topologies.mininet.user_namespace import enter\n"
            f"from {module} import set_buffers\n"
            "enter()\n"
            "sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)\n"
            "set_buffers(sock, 64 << 20, 16 << 20)\n"
            "print(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))\n"
        ) == [str(2 * min(limit, 64 << 20))]  # Linux doubles it: socket(7)


@pytest.mark.usefixtures("allowed")
def test_a_user_has_records_of_their_own_with_root_and_without() -> None:
    before, after = as_nobody(
        "import os; os.environ.pop('DEVMEM_TESTBED_STATE', None)\n"
        "from topologies.mininet.inventory import state_directory\n"
        "from topologies.mininet.user_namespace import enter\n"
        "print(state_directory()); enter(); print(state_directory())\n"
    )
    assert before == after
    assert before.endswith(f"devmem-testbed-{os.getuid() or 65534}")


def test_records_in_another_users_directory_are_not_believed() -> None:
    if os.geteuid() != 0 or is_inside():
        pytest.skip("giving a directory to another user needs root")
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        os.chmod(place, 0o755)
        foreign = Path(place) / "devmem-testbed-65534"
        foreign.mkdir()
        (said,) = as_nobody(
            "import contextlib, os, tempfile; os.environ.pop('DEVMEM_TESTBED_STATE', None)\n"
            f"tempfile.tempdir = {place!r}\n"
            "from topologies.mininet.inventory import InventoryError, state_directory\n"
            "try: state_directory()\n"
            "except InventoryError as refused: print(refused)\n"
            "from commands import clean, running\n"
            "for command, failures in ((clean.command, clean.FAILURES),\n"
            "                          (lambda: running.find_run(None), running.RunningError)):\n"
            "    with open(os.devnull, 'w') as null, contextlib.redirect_stdout(null):\n"
            "        try: command()\n"
            "        except failures: continue\n"
            "    print(command)\n"
        )
    assert said == f"{foreign} is not this user's directory; set DEVMEM_TESTBED_STATE to one that is"
