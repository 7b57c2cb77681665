"""What each bus is charged with is what the ledger counted, NIC by NIC and direction by direction."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from nodes.endpoint.charges import Charges
from nodes.machine.bandwidth import QUEUE_S
from nodes.machine.buses import Buses, down, up
from nodes.machine.routes import totals
from tests.path.two_rails import TwoRails, address

RATE = 1e4  # so slow that what is counted takes longer than what a bus lets pass at once
SIZE = 100_000
LONG_AGO, LATER = 1000.0, 2000.0


@pytest.fixture
def rails() -> Iterator[TwoRails]:
    both = TwoRails()
    yield both
    both.close()


def transfer(rails: TwoRails) -> None:
    """100,000 bytes from a to b on rail 1."""
    listener = rails.b.listener(address(1, 2), 5000)
    client = rails.a.socket()
    client.start_connect(address(1, 2), 5000, rails.now)
    rails.run_until(lambda: bool(listener.accept_queue))
    server = rails.b.accept(listener)
    sent = got = 0
    while got < SIZE:
        with suppress(BlockingIOError):
            sent += rails.a.send(client, bytes(SIZE - sent)) if sent < SIZE else 0
        rails.rest(0.01)
        with suppress(BlockingIOError):
            got += len(rails.b.recv(server, SIZE))


def busy_s(charges: Charges) -> float:
    return charges.served_at(LONG_AGO) - LONG_AGO + QUEUE_S


def test_a_nics_bytes_are_charged_to_its_own_switch_in_their_direction(rails: TwoRails) -> None:
    host = rails.b.host
    buses = {name: Buses.create(None, RATE, [name]) for name in ("eth1", "eth2")}
    used = {
        name: {way: Charges.of(host, Buses({way: each.by_name[way]})) for way in each.names}
        for name, each in buses.items()
    }
    memory = Charges.of(host, Buses.create(RATE, None, ()))
    transfer(rails)
    moved = totals(host.devices[11].dma.ledger.snapshot())
    up_s, down_s = busy_s(used["eth1"][up("eth1")]), busy_s(used["eth1"][down("eth1")])
    assert up_s * RATE > SIZE
    assert 0 < down_s * RATE < 5000  # acknowledgements
    assert (up_s + down_s) * RATE == pytest.approx(moved.pcie_switch_bytes)
    assert busy_s(used["eth2"][up("eth2")]) * RATE < 1000  # nothing but a neighbour's packets
    assert busy_s(memory) * RATE == pytest.approx(host.ledger.host_dram_bytes)
    for each in buses.values():
        each.close()


def test_bytes_are_charged_once(rails: TwoRails) -> None:
    buses = Buses.create(RATE, RATE, ["eth1", "eth2"])
    charges = Charges.of(rails.b.host, buses)
    transfer(rails)
    assert charges.served_at(LONG_AGO) > LONG_AGO
    assert charges.served_at(LATER) == LATER
    buses.close()


def test_what_a_lock_keeps_away_is_charged_later(rails: TwoRails) -> None:
    buses = Buses.create(RATE, None, ())
    charges = Charges.of(rails.b.host, buses)
    transfer(rails)
    hold = "import fcntl, sys; fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX); print(flush=True); input()"
    fd = buses.fds[0]
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(fd)], pass_fds=[fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert charges.served_at(LONG_AGO) == LONG_AGO
    assert busy_s(charges) * RATE == pytest.approx(rails.b.host.ledger.host_dram_bytes)
    buses.close()


def test_without_a_ceiling_nothing_is_waited_for(rails: TwoRails) -> None:
    transfer(rails)
    assert Charges.of(rails.b.host, Buses({})).served_at(LONG_AGO) == LONG_AGO
