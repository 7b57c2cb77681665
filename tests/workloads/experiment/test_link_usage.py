"""What each direction of a link carried in a trial."""

from __future__ import annotations

import os

import msgspec

from tests.workloads.experiment.test_usage import SAMPLES, TRIAL
from workloads.experiment.link_usage import LinkCounts, LinkDirection, link_usage, sent
from workloads.experiment.proc import Sent

THERE = LinkDirection("h1-eth0", "s1-eth1", 1, 10**9, 1500)
BACK = LinkDirection("s1-eth1", "h1-eth0", 2, 10**9, 1500)


def test_a_row_is_a_directions_bytes_of_the_trial_and_its_timed_parts() -> None:
    before = LinkCounts((Sent(100, 10), Sent(5, 1)), {"h1-eth0": 7, "s1-eth1": 9})
    after = LinkCounts((Sent(3100, 12), Sent(5, 1)), {"h1-eth0": 11, "s1-eth1": 2})
    there, back = link_usage(TRIAL, SAMPLES, (THERE, BACK), before, after)
    assert msgspec.structs.astuple(there) == (
        "devmem", 4096, 1, "h1-eth0", "s1-eth1", 10.0, 2, 3000, 2, 10**9, 1500, 4,
    )  # fmt: skip
    assert (back.sender, back.receiver, back.sent_bytes, back.sent_packets) == ("s1-eth1", "h1-eth0", 0, 0)
    assert back.dropped_packets == 0, "the queue is another one"


def test_a_link_without_a_queue_drops_nothing() -> None:
    counts = LinkCounts((Sent(0, 0),), {})
    assert [each.dropped_packets for each in link_usage(TRIAL, SAMPLES, (THERE,), counts, counts)] == [0]


def test_counters_are_read_in_the_namespace_of_the_sender() -> None:
    lo = LinkDirection("lo", "lo", os.getpid(), 0, 65536)
    (found,) = sent((lo,))
    assert found.bytes >= 0
    assert sent(()) == ()
