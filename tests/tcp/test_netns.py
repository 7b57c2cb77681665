"""What the connections of a host share: counters, and the budget of challenge ACKs (RFC 5961 section 7)."""

from __future__ import annotations

from dataclasses import replace

from nodes.tcp.netns import TcpNetns
from nodes.wire.tcp import SYN
from tests.tcp.two_ends import CONFIG, Impairment, Ledger, Scripted, TwoEnds, pattern


def test_all_connections_of_a_host_share_its_challenge_acks(ledger: Ledger) -> None:
    netns = TcpNetns(seed=3, challenge_ack_limit=10)
    peers = [Scripted(ledger, replace(CONFIG, netns=netns)).open() for _ in range(100)]
    for peer in peers:
        peer.get(1000, 1, flags=SYN)
    answers = sum(len(peer.sent()) for peer in peers)
    assert 5 <= answers <= 15
    assert netns.mib.TcpExtTCPChallengeACK == answers
    assert netns.mib.TcpExtTCPACKSkippedChallenge == 100 - answers


def test_the_budget_of_challenge_acks_differs_from_second_to_second() -> None:
    netns = TcpNetns(seed=3, challenge_ack_limit=100)
    budgets = {sum(netns.may_send_challenge_ack(second + 0.5) for _ in range(300)) for second in range(50)}
    assert min(budgets) >= 50
    assert max(budgets) < 150
    assert len(budgets) > 20


def test_two_hosts_count_apart_and_counters_add_up_over_a_transfer(ledger: Ledger) -> None:
    a, b = (replace(CONFIG, netns=TcpNetns()) for _ in "ab")
    ends = TwoEnds(ledger, Impairment(loss=0.02, cut=True), a, b).open()
    ends.a.pending = pattern(300_000)
    ends.run(60.0, until_read=300_000)
    ends.run(1.0)
    ends.stop()
    ours, theirs = a.netns.mib, b.netns.mib
    assert (ours.TcpActiveOpens, ours.TcpPassiveOpens) == (1, 0)
    assert (theirs.TcpActiveOpens, theirs.TcpPassiveOpens) == (0, 1)
    assert ours.TcpCurrEstab == theirs.TcpCurrEstab == 1
    info = ends.a.connection.info()
    assert ours.TcpRetransSegs == info.total_retrans > 0
    assert ours.TcpOutSegs == info.segs_out
    assert info.segs_out >= 300_000 // 1448 + info.total_retrans
    assert theirs.TcpRetransSegs == 0
    assert info.busy_time_us > 0
    assert info.delivered >= 300_000 // 1448
