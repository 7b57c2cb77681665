"""What may leave, against a scripted peer: cwnd, Nagle, silly windows, the send buffer."""

from __future__ import annotations

from tests.tcp.two_ends import CONFIG, FULL, MSS, BytesPayload, Ledger, Scripted


def test_the_initial_window_is_ten_segments(peer: Scripted) -> None:
    peer.write(100_000)
    assert sum(length for _, length in peer.ranges()) <= 10 * FULL
    assert peer.connection.info().snd_cwnd == 10


def test_growth_is_by_bytes_and_not_by_acks(peer: Scripted) -> None:
    peer.write(400_000)
    sent = sum(length for _, length in peer.ranges())
    peer.now += 0.001
    peer.get(1, 1 + sent)  # one stretch ACK
    assert peer.connection.info().snd_cwnd == 10 + sent // FULL


def test_nagle_holds_a_small_segment_until_all_is_acknowledged(ledger: Ledger) -> None:
    for nodelay in (False, True):
        config = type(CONFIG)(mss=MSS, max_segment_bytes=64000, nodelay=nodelay)
        peer = Scripted(ledger, config).open()
        peer.write(100)
        assert peer.ranges() == [(1, 100)]
        peer.write(100)
        assert peer.ranges() == ([(101, 100)] if nodelay else [])
        peer.get(1, 101)
        assert peer.ranges() == ([] if nodelay else [(101, 100)])


def test_nagle_holds_only_the_end_of_the_queue(ledger: Ledger) -> None:
    peer = Scripted(ledger, type(CONFIG)(mss=MSS, max_segment_bytes=64000, nodelay=False)).open()
    peer.write(100)
    assert peer.ranges() == [(1, 100)]
    peer.write(100)
    assert peer.ranges() == []
    other = ledger.payload(b"x" * 50)
    assert isinstance(other, BytesPayload)
    other.mixes = False  # as device memory behind host memory
    peer.connection.send(other, peer.now)
    assert peer.ranges() == [(101, 100)]
    peer.get(1, 201)
    assert peer.ranges() == [(201, 50)]


def test_what_eor_ended_is_never_joined_to_what_follows(peer: Scripted) -> None:
    for eor in (True, False, True):
        peer.write(1000)
        peer.connection.end_of_send(more=False, eor=eor)
    assert peer.ranges() == [(1, 1000), (1001, 2000)]
    while peer.connection.info().total_retrans < 4:
        peer.wait()
        assert all(seq + length <= 1001 or seq >= 1001 for seq, length in peer.ranges())


def test_small_writes_share_segments(peer: Scripted) -> None:
    for _ in range(50):
        peer.write(100)
    lengths = [length for _, length in peer.ranges()]
    assert sum(lengths) == 5000
    assert len(lengths) <= 2


def test_a_silly_window_is_not_filled_until_the_override_timer(ledger: Ledger) -> None:
    peer = Scripted(ledger).open(window=60_000)
    peer.write(20_000)
    sent = sum(length for _, length in peer.ranges())
    peer.get(1, 1 + sent, window=200)
    assert peer.ranges() == []
    assert peer.wait() >= 0.2
    assert peer.ranges() == [(1 + sent, 200)]


def test_a_shrunk_window_stops_new_data_and_acks_stay_acceptable(peer: Scripted) -> None:
    peer.write(9 * FULL)
    peer.ranges()
    peer.write(9 * FULL)
    peer.get(1, 1 + FULL, window=2 * FULL)
    assert peer.ranges() == []
    peer.get(1, 1 + FULL, b"x", window=2 * FULL)
    header = peer.sent()[0].header
    assert header.seq - peer.iss & 0xFFFFFFFF <= 1 + 3 * FULL
    while peer.connection.info().total_retrans == 0:
        peer.wait()
        assert all(seq < 1 + 9 * FULL for seq, _ in peer.ranges())
    peer.get(2, 1 + 9 * FULL, window=60_000)
    assert peer.ranges()[0][0] == 1 + 9 * FULL


def test_send_room_counts_what_is_not_acknowledged(peer: Scripted) -> None:
    peer.write(100_000)
    goal = peer.connection.tcb.sender.size_goal
    assert abs(peer.connection.send_room - (CONFIG.send_buffer_bytes - 100_000)) < goal
    sent = sum(length for _, length in peer.ranges())
    peer.get(1, 1 + sent)
    assert abs(peer.connection.send_room - (CONFIG.send_buffer_bytes - 100_000 + sent)) < goal
    assert peer.connection.bytes_acked == sent
