"""ethtool -X with contexts, as the kernel's selftests drive it (tools/testing/selftests/drivers/net/hw,
rss_ctx.py). Expected tables and refusals are those of ethtool 6.1."""

from __future__ import annotations

import errno
import json

import pytest

from nodes.client.ethtool_command import EthtoolUsage
from nodes.client.host import Host
from tests.control.local_host import local_host
from tests.control.test_ethtool_command import ethtool
from tests.nic.bench import Bench
from tests.nic.frames import Tcp


@pytest.fixture
def host(bench: Bench) -> Host:
    """Queues 0 and 1 are the main context's."""
    host = local_host(bench.device)
    assert ethtool(host, "-X eth0 equal 2") == ""
    return host


def create(host: Host, line: str) -> int:
    """The number at the end of what ethtool prints."""
    return int(ethtool(host, line).split()[-1])


def table(host: Host, context: int) -> list[int]:
    (nic,) = json.loads(ethtool(host, f"--json -x eth0 context {context}"))
    return list(nic["rss-indirection-table"])


def queues_of(bench: Bench, port: int) -> set[int]:
    """The queues that flows to `port` come by."""
    found = set[int]()
    for src_port in range(1, 33):
        bench.wire.put(Tcp(b"data", src_port=src_port, dst_port=port).frame())
        (got,) = bench.poll()
        found.add(got.skb.queue)
        bench.release(got.skb)
    return found


@pytest.mark.parametrize("at_once", [True, False])
def test_each_context_has_two_queues(host: Host, bench: Bench, at_once: bool) -> None:
    """Created with its configuration, or configured afterwards."""
    for context in (1, 2, 3):
        config = f"start {2 * context} equal 2"
        assert create(host, f"-X eth0 context new {config if at_once else ''}") == context
        if not at_once:
            assert ethtool(host, f"-X eth0 context {context} {config}") == ""
        assert table(host, context) == [2 * context, 2 * context + 1] * 64
        create(host, f"-N eth0 flow-type tcp4 dst-port {7000 + context} context {context}")
    assert table(host, 0) == [0, 1] * 64
    assert [queues_of(bench, port) for port in (7000, 7001, 7002, 7003)] == [{0, 1}, {2, 3}, {4, 5}, {6, 7}]


def test_contexts_are_removed_in_any_order(host: Host, bench: Bench) -> None:
    rules = {}
    for context in (1, 2, 3):
        assert create(host, f"-X eth0 context new start {2 * context} equal 2") == context
        rules[context] = create(host, f"-N eth0 flow-type tcp4 dst-port {7000 + context} context {context}")
    for gone in (2, 1, 3):
        with pytest.raises(OSError) as refused:
            ethtool(host, f"-X eth0 context {gone} delete")
        assert refused.value.errno == errno.EBUSY
        ethtool(host, f"-N eth0 delete {rules.pop(gone)}")
        assert ethtool(host, f"-X eth0 context {gone} delete") == ""
        expected = [{2 * each, 2 * each + 1} if each in rules else {0, 1} for each in (1, 2, 3)]
        assert [queues_of(bench, 7000 + each) for each in (1, 2, 3)] == expected
    assert create(host, "-X eth0 context new") == 1


def test_contexts_may_overlap(host: Host, bench: Bench) -> None:
    ethtool(host, "-X eth0 equal 4")
    context = create(host, "-X eth0 context new start 2 equal 2")
    assert queues_of(bench, 7000) == {0, 1, 2, 3}
    create(host, f"-N eth0 flow-type tcp4 dst-port 7000 context {context}")
    assert queues_of(bench, 7000) == {2, 3}


def test_a_context_on_queues_that_are_not_there_is_refused(host: Host) -> None:
    with pytest.raises(OSError, match="0 to 7") as refused:
        ethtool(host, "-X eth0 context new start 6 equal 4")
    assert refused.value.errno == errno.EINVAL
    assert create(host, "-X eth0 context new start 6 equal 2 hkey " + ":".join(["ab"] * 40)) == 1
    assert "ab:ab:ab" in ethtool(host, "-x eth0 context 1")


@pytest.mark.parametrize(("words", "expected"), [
    ("weight 1 1", [0] * 64 + [1] * 64), ("weight 1 2 1", [0] * 32 + [1] * 64 + [2] * 32),
    ("start 2 weight 1 3", [2] * 32 + [3] * 96), ("start 0x2 equal 2", [2, 3] * 64),
    ("start 0 equal 3", [i % 3 for i in range(128)]),
])  # fmt: skip
def test_the_table_is_the_one_that_ethtool_sends(host: Host, words: str, expected: list[int]) -> None:
    ethtool(host, f"-X eth0 {words}")
    assert table(host, 0) == expected


@pytest.mark.parametrize(("words", "sentence"), [
    ("start 2", "start must be used with equal or weight"), ("context 1 start 2", "start must be used"),
    ("context new start 2", "start must be used"), ("equal 2 weight 1", "equal and weight are mutually"),
    ("equal 2 default", "equal and default"), ("weight 1 default", "weight and default"),
    ("context 1 default", "default and context"), ("context new default", "default and context"),
    ("context 1 equal 2 delete", "delete and equal"), ("context 1 weight 2 delete", "delete and weight"),
    ("delete", "delete needs a context"), ("", "changes nothing"), ("context 0 equal 2", "give 1 or more"),
    ("equal 0", "give 1 or more"), ("start -1 equal 2", "give 0 or more"), ("weight", "all of them are 0"),
    ("weight 0 0", "all of them are 0"), ("weight 100 100", "200 in all"), ("equal", "missing at the end"),
])  # fmt: skip
def test_what_ethtool_refuses_changes_nothing(host: Host, bench: Bench, words: str, sentence: str) -> None:
    with pytest.raises(EthtoolUsage, match=sentence):
        ethtool(host, f"-X eth0 {words}")
    assert table(host, 0) == [0, 1] * 64
    assert not bench.device.rss_contexts
