"""The receive queue: one kind at a time, consumed at any byte, no reference lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.skb import Frags
from nodes.sock.recv_queue import RecvQueue
from tests.sock.payloads import PAGE, Payloads, contents

LENGTHS = st.integers(1, 3 * PAGE)


def filled(*payloads: Frags) -> RecvQueue:
    queue = RecvQueue()
    for payload in payloads:
        queue.append(payload)
    return queue


def read(queue: RecvQueue, limit: int) -> bytes:
    """One call of recvmsg: look, then consume."""
    data = contents(list(queue.pieces(limit)))
    queue.consume(len(data))
    return data


def test_an_empty_queue_has_no_pieces() -> None:
    assert list(RecvQueue().pieces(100)) == []


def test_pieces_end_at_the_limit(payloads: Payloads) -> None:
    queue = filled(payloads.frags(2 * PAGE), payloads.frags(100))
    for limit, sizes in [
        (1, [1]), (PAGE, [PAGE]), (PAGE + 1, [PAGE, 1]), (2 * PAGE + 7, [PAGE, PAGE, 7]),
        (10**9, [PAGE, PAGE, 100]), (0, []),
    ]:  # fmt: skip
        assert [piece.size for piece in queue.pieces(limit)] == sizes
    assert queue.length == 2 * PAGE + 100
    queue.release_all()
    assert queue.length == 0


def test_pieces_never_mix_kinds(payloads: Payloads) -> None:
    host = payloads.frags(20, unreadable=False)
    queue = filled(payloads.frags(5000), payloads.frags(10), host, payloads.frags(30))
    for kind, length in ((True, 5010), (False, 20), (True, 30)):
        assert queue.unreadable is kind
        pieces = list(queue.pieces(10**6))
        assert {piece.netmem.is_net_iov for piece in pieces} == {kind}
        assert len(read(queue, 10**6)) == length
    assert queue.length == 0


@pytest.mark.parametrize("at", [1, 5, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 4])
def test_consuming_in_the_middle_keeps_the_rest(payloads: Payloads, at: int) -> None:
    payload = payloads.frags(2 * PAGE + 5)
    whole = contents(payload.frags)
    queue = filled(payload)
    queue.consume(at)
    assert queue.length == len(whole) - at
    assert contents(list(queue.pieces(10**6))) == whole[at:]
    queue.consume(queue.length)


def test_a_buffer_goes_back_when_its_last_byte_is_consumed(payloads: Payloads) -> None:
    payload = payloads.frags(2 * PAGE)
    first, second = (frag.netmem for frag in payload.frags)
    queue = filled(payload)
    queue.consume(PAGE - 1)
    assert (first.pp_ref_count, second.pp_ref_count) == (1, 1)
    queue.consume(1)
    assert (first.pp_ref_count, second.pp_ref_count) == (0, 1)
    queue.consume(PAGE)
    assert second.pp_ref_count == 0


def test_what_an_application_holds_outlives_consuming(payloads: Payloads) -> None:
    queue = filled(payloads.frags(100))
    (piece,) = queue.pieces(100)
    piece.netmem.get()
    queue.consume(100)
    assert piece.netmem.pp_ref_count == 1
    piece.netmem.put()


def test_payload_shows_no_bytes(payloads: Payloads) -> None:
    payload = payloads.frags(10)
    with pytest.raises(TypeError, match="opaque"):
        bytes(payload)
    payload.release()


@given(st.lists(st.tuples(LENGTHS, st.booleans()), max_size=8), st.lists(st.integers(1, 20000), min_size=1))
def test_whatever_is_read_is_the_stream_and_every_reference_comes_back(
    shapes: list[tuple[int, bool]], limits: list[int]
) -> None:
    payloads = Payloads()
    made = [payloads.frags(length, unreadable) for length, unreadable in shapes]
    stream = b"".join(contents(payload.frags) for payload in made)
    queue, found, turn = filled(*made), b"", 0
    while queue.length:
        before = queue.length
        data = read(queue, limits[turn % len(limits)])
        assert 0 < len(data) <= limits[turn % len(limits)]
        assert queue.length == before - len(data)
        found += data
        turn += 1
    assert found == stream
    payloads.settle()


@given(st.lists(LENGTHS, min_size=1, max_size=5), st.data())
def test_slices_and_joins_of_payload_are_those_of_its_bytes(lengths: list[int], data: st.DataObject) -> None:
    payloads = Payloads()
    whole = payloads.frags(lengths[0])
    for length in lengths[1:]:
        whole.extend(payloads.frags(length))
    stream = contents(whole.frags)
    assert len(whole) == len(stream) == sum(lengths)
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(start + 1, len(whole)))
    middle = data.draw(st.integers(start, stop))
    part = whole.slice(start, stop)
    assert contents(part.frags) == stream[start:stop]
    if start < middle < stop:
        left = part.slice(0, middle - start)
        left.extend(part.slice(middle - start, stop - start))
        assert contents(left.frags) == stream[start:stop]
        assert len(left.frags) == len(part.frags)  # neighbours in one buffer are one fragment again
        left.release()
    whole.release()
    assert contents(part.frags) == stream[start:stop]  # on references of its own
    part.release()
    payloads.settle()


def test_readable_and_unreadable_payload_is_not_joined(payloads: Payloads) -> None:
    device, host = payloads.frags(10), payloads.frags(10, unreadable=False)
    assert not device.can_extend(host)
    assert not host.can_extend(device)
    other = payloads.frags(1)
    assert device.can_extend(other)
    for each in (device, host, other):
        each.release()
