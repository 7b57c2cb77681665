"""How a netlink refusal is printed."""

from __future__ import annotations

import errno

import pytest

from commands.host_command import netlink_error


class Refusal(OSError):
    attribute = "ifindex"


def test_the_attribute_is_spelled_as_the_kernels_ynl_spells_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert netlink_error(Refusal(errno.EINVAL, "bad")) == 1
    assert capsys.readouterr().err == "netlink error: EINVAL: bad (bad-attr: .ifindex)\n"
