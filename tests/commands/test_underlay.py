"""The way to another machine, as this machine's kernel knows it."""

from __future__ import annotations

import os

import pytest

from commands.underlay import check_underlay
from topologies.mininet.fabric import FabricError
from topologies.part import homes, split
from topologies.shapes.registry import build

PAIR = build("pair", 2)


def check(here: str, there: str) -> None:
    for part in split(PAIR, homes(PAIR, 2), (here, there), first_vni=1)[:1]:
        check_underlay(part)


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root is refused before")
def test_a_way_with_room_for_the_tunnels_headers_will_do() -> None:
    check("127.0.0.1", "127.0.0.2")


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root is refused before")
def test_a_machine_without_a_way_to_another_is_told() -> None:
    with pytest.raises(FabricError, match="there is no way from it to another machine: `ip route get 240"):
        check("192.0.2.1", "240.0.0.1")


def test_only_root_builds_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(FabricError, match=r"Ray runs on it as user id 1000, .* start Ray as root"):
        check("127.0.0.1", "127.0.0.2")
