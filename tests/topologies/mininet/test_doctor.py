"""The doctor's shape: every check says what was found and what to do. Needs no root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from topologies.mininet import doctor
from topologies.mininet.cgroup import Room
from topologies.mininet.doctor import COMMANDS, PROBED, RECEIVE_BYTES_MIN, Check, checks
from topologies.mininet.user_namespace import obstacle


@pytest.fixture(scope="module")
def found() -> list[Check]:
    return checks()


def test_every_check_has_words_and_a_remedy(found: list[Check]) -> None:
    assert all(check.name and check.found and check.remedy for check in found)
    assert all("\n" not in check.found for check in found)


def test_names_are_unique_and_cover_commands_probes_and_packages(found: list[Check]) -> None:
    names = [check.name for check in found]
    assert len(names) == len(set(names))
    assert {"root", *COMMANDS, *PROBED, "python: ray", "python: mininet", "/tmp", "/dev/shm"} <= set(names)


def test_root_is_reported_as_it_is(found: list[Check]) -> None:
    (root,) = (check for check in found if check.name == "root")
    assert root.ok == (os.geteuid() == 0 or obstacle() is None)
    assert root.needed


def test_what_endpoints_hold_without_root_is_told(found: list[Check]) -> None:
    (buffers,) = (check for check in found if check.name == "receive buffers")
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
    assert (buffers.ok, buffers.found) == (limit >= RECEIVE_BYTES_MIN, f"{limit} bytes without root")
    assert not buffers.needed


def test_packages_are_found_in_their_installed_version(found: list[Check]) -> None:
    packages = [check for check in found if check.name.startswith("python: ")]
    assert packages
    assert all(check.ok and check.found[0].isdigit() for check in packages)


def test_a_question_that_could_not_be_asked_is_neither_yes_nor_no(found: list[Check]) -> None:
    probed = {check.name: check for check in found if check.name in PROBED}
    if not probed["namespaces"].ok:
        assert probed["veth"].ok is None
    else:
        assert all(check.ok is not None for check in probed.values())


@pytest.mark.parametrize(
    ("left", "ok", "said"),
    [
        (Room(None, None), (True, True), ("no limit", "no limit")),
        (Room(1 << 20, 10), (False, False), ("0.0 GiB left", "10 left")),
        (Room(1 << 40, 100_000), (True, True), ("1024.0 GiB left", "100000 left")),
    ],
)
def test_what_a_cgroup_leaves_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, left: Room, ok: tuple[bool, bool], said: tuple[str, str]
) -> None:
    """Its memory and its processes, beside those of the machine."""
    monkeypatch.setattr(doctor, "room", lambda: left)
    found = {check.name: check for check in doctor._room()}
    two = found["memory allowed"], found["processes allowed"]
    assert tuple(check.ok for check in two) == ok
    assert tuple(check.found for check in two) == said
    assert all(check.needed for check in two)
