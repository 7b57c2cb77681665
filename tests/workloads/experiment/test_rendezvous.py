"""Each rank learns where its peers listen for it, and no other address."""

from __future__ import annotations

from workloads.experiment.records import Address, RankAddresses
from workloads.experiment.rendezvous import rendezvous


def address(listener: int, peer: int) -> tuple[Address, ...]:
    return Address(f"10.0.0.{listener}", 1000 + peer), Address(f"10.0.0.{listener}", 2000 + peer)


def listening(rank: int, peers: list[int]) -> RankAddresses:
    return RankAddresses({peer: address(rank, peer) for peer in peers}, f"barrier {rank}".encode())


def test_a_ring_of_three() -> None:
    found = rendezvous([listening(rank, [(rank - 1) % 3]) for rank in range(3)])
    assert [each.payload for each in found] == [{1: address(1, 0)}, {2: address(2, 1)}, {0: address(0, 2)}]
    assert [each.barrier for each in found] == [b"barrier 1", b"barrier 2", b"barrier 0"]


def test_two_ranks_that_send_to_a_third() -> None:
    found = rendezvous([listening(0, [1, 2]), listening(1, []), listening(2, [])])
    assert [each.payload for each in found] == [{}, {0: address(0, 1)}, {0: address(0, 2)}]
