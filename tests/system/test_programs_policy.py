"""nlctrl's policies as ynl asks for them, and beside those of the kernel that runs here."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.system.program import PROGRAMS, linux_tree, run

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), pytest.mark.usefixtures("up")]


def types_by_attribute(out: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(out)
    return found


def test_attributes_have_the_types_of_the_kernel_that_runs_here() -> None:
    """Of what both know, in each operation; Linux's is asked without the supervisor."""
    asks = [sys.executable, str(PROGRAMS / "policies.py")]
    status, out, err = run("h2", *asks)
    assert (status, err) == (0, "")
    ours = types_by_attribute(out.decode())
    theirs = types_by_attribute(subprocess.run(asks, capture_output=True, text=True, check=True).stdout)
    both = {*ours} & {*theirs}
    assert len(both) > 30
    assert {name: ours[name] for name in both} == {name: theirs[name] for name in both}


def test_ynl_tells_the_policy_of_an_operation() -> None:
    tree = linux_tree()
    cli = tree / "tools/net/ynl/pyynl/cli.py"
    if not cli.exists() or "--policy" not in cli.read_text():
        pytest.skip(f"no cli.py with --policy in {tree}: take Linux 7.3 or newer")
    spec = f"{tree}/Documentation/netlink/specs"
    ask = f"{sys.executable} {cli} --no-schema --output-json --policy"
    lines = [
        f"{ask} --spec {spec}/{family}.yaml --do {operation}"
        for family, operation in (("netdev", "bind-rx"), ("ethtool", "rings-set"))
    ]
    status, out, err = run("h2", "sh", "-ec", "\n".join(lines))
    assert (status, err) == (0, "")
    bind, rings = map(json.loads, out.decode().splitlines())
    assert bind["queues"]["policy"]["type"]["max-value"] == 1
    assert rings["tcp-data-split"]["max-value"] == 2
