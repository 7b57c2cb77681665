"""docs/channel.md is what nodes/uapi/syscalls.py says, and nothing of it is left out."""

from __future__ import annotations

import array
import shutil
import socket
import subprocess
from pathlib import Path

import msgspec

from nodes.uapi import syscalls
from nodes.uapi.channel import Channel
from tests.docs import channel_page, pages
from tests.docs.pages import ROOT, command

MAKE = command("docs/channel.md", ".venv/bin/python -m tests.docs.channel_page")


def test_the_page_is_up_to_date_and_its_command_makes_it(tmp_path: Path) -> None:
    assert pages.text("docs/channel.md") == channel_page.text(), f"run {MAKE}"
    for name in (".venv", "nodes"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("__init__.py", "docs/__init__.py", "docs/channel_page.py"):
        (tmp_path / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests" / name)
    (tmp_path / "docs").mkdir()
    subprocess.run(MAKE, shell=True, cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "docs" / "channel.md").read_text() == channel_page.text()


def test_every_request_says_what_answers_it_and_every_part_has_a_meaning() -> None:
    rows = [line.split(" | ") for line in channel_page.text().splitlines() if line.startswith("| ")]
    meanings = {row[0].removeprefix("| "): row[2] for row in rows}
    for each in channel_page.REQUESTS:
        assert "->" in meanings[each.__name__] or each is syscalls.DontNeed, each
    assert all(len(meaning) > 3 for meaning in meanings.values())


def test_a_record_is_one_packet_an_array_whose_head_is_its_name() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        channel = Channel(ours)
        channel.send(syscalls.GetSockOpt(1, 3), (theirs.fileno(),))
        data, control, _, _ = theirs.recvmsg(1 << 18, socket.CMSG_SPACE(4))
        assert msgspec.msgpack.decode(data) == ["GetSockOpt", 1, 3, 4]
        assert control[0][:2] == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        socket.close(array.array("i", control[0][2])[0])
        theirs.send(msgspec.msgpack.encode(["GetSockOpt", 1, 3]))
        assert channel.receive_request() == (syscalls.GetSockOpt(1, 3, 4), [])
        theirs.send(msgspec.msgpack.encode(["Done", 7, 0, "of a later version"]))
        assert channel.receive_reply() == (syscalls.Done(7), [])
        channel.close()
