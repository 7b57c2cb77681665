"""The kernel's Python netlink client, tools/net/ynl of its tree, on a host's stack."""

from __future__ import annotations

import json
import shlex
import sys

import pytest

from tests.system.program import linux_tree, run

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), pytest.mark.usefixtures("up")]

OF = '"header": {"dev-name": "h2-eth0"}'
ASKED = (
    ("netdev", "--dump", "dev-get", "{}"),
    ("netdev", "--dump", "queue-get", '{"ifindex": IFINDEX}'),
    ("netdev", "--do", "queue-get", '{"ifindex": IFINDEX, "type": "rx", "id": 8}'),
    ("ethtool", "--do", "rings-set", f'{{{OF}, "tcp-data-split": "enabled", "rx": 256}}'),
    ("ethtool", "--do", "rings-get", f"{{{OF}}}"),
    ("ethtool", "--do", "channels-get", f"{{{OF}}}"),
    ("ethtool", "--do", "strset-get", f'{{{OF}, "stringsets": {{"stringset": [{{"id": 4}}]}}}}'),
    ("nlctrl", "--do", "getfamily", '{"family-name": "netdev"}'),
)
REFUSED = (
    ("netdev", "--do", "bind-rx", '{"ifindex": IFINDEX, "fd": 1, "queues": [{"id": 99, "type": "rx"}]}'),
    ("ethtool", "--do", "coalesce-get", f"{{{OF}}}"),
)


def test_ynl_asks_sets_and_reads_refusals() -> None:
    tree = linux_tree()
    if not (tree / "tools/net/ynl/pyynl/cli.py").exists():
        pytest.skip(f"no tools/net/ynl/pyynl/cli.py in {tree}: take Linux 6.13 or newer")
    cli = f"{sys.executable} {tree}/tools/net/ynl/pyynl/cli.py --no-schema --output-json --spec"
    lines = ["index=$(cat /sys/class/net/h2-eth0/ifindex)"]
    for family, mode, operation, attributes in (*ASKED, *REFUSED):
        given = shlex.quote(attributes).replace("IFINDEX", "'$index'")
        spec = f"{tree}/Documentation/netlink/specs/{family}.yaml"
        lines.append(f"{cli} {spec} {mode} {operation} --json {given} 2>&1")
    status, out, err = run("h2", "sh", "-c", "\n".join([*lines, "true"]))
    assert (status, err) == (0, "")
    *answers, wrong, unknown = out.decode().splitlines()
    devices, queues, queue, _, rings, channels, strings, family = map(json.loads, answers)
    assert len(devices) == 1
    assert [each["id"] for each in queues if each["type"] == "rx"] == [*range(9)]
    assert (queue["id"], queue["type"]) == (8, "rx")
    assert (rings["rx"], rings["tcp-data-split"]) == (256, "enabled")
    assert channels["rx-count"] == 9
    (names,) = strings["stringsets"]["stringset"]
    assert names["count"] == len(names["strings"][0]["string"]) > 0
    assert family["family-name"] == "netdev"
    assert "rx queue 99 does not exist" in wrong
    assert "queues.id" in wrong
    assert "Operation not supported" in unknown
