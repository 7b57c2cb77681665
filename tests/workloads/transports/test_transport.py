"""Any set of peers over one transport a rank: every pair of three ranks, both ways, over loopback."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, cast

import numpy as np
import pytest

from nodes.client.runtime import MACHINE
from nodes.machine.accelerator import Operator
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from tests.client.simulated import SimulatedRuntime
from tests.workloads.loopback import LoopbackHost
from workloads.collective import CollectiveOptions
from workloads.experiment.records import Address, ExperimentConfig, RankPlace
from workloads.machine import Machine
from workloads.progress import Progress
from workloads.registry import PATHS
from workloads.transports.devmem import DevmemReceiver, ZeroCopySender
from workloads.transports.devmem_nic import RxBinding
from workloads.transports.rails import Flow
from workloads.transports.staged import StagedReceiver, StagedSender
from workloads.transports.token_returns import TokenReturns
from workloads.transports.transport import Transport

NRANKS, SIZE = 3, 3 << 20  # a message is longer than the staging buffer and than loopback's socket buffers
STAGED = ("bounce", "kernel")


class Ranks:
    """Three connected transports, each with its machine; `each` calls a function a rank, all at once."""

    def __init__(self, stack: ExitStack, path: str) -> None:
        config = ExperimentConfig(
            "star", NRANKS, "all_reduce", (NRANKS * SIZE,), (path,), CollectiveOptions(), timeout_s=10.0
        )
        places = [RankPlace(rank, f"h{rank + 1}", "nowhere") for rank in range(NRANKS)]
        self.machines = [
            stack.enter_context(closing(Machine(place, config, NRANKS * SIZE, MACHINE))) for place in places
        ]
        self.transports: list[Transport[Any]] = [
            stack.enter_context(closing(Transport(machine, PATHS[path](machine))))
            for machine in self.machines
        ]
        self._pool = stack.enter_context(ThreadPoolExecutor(NRANKS))
        listening = self.each(self._listen)
        self.each(lambda rank: self._connect(rank, listening))

    def each(self, call: Callable[[int], Any]) -> list[Any]:
        return list(self._pool.map(call, range(NRANKS)))

    def _listen(self, rank: int) -> dict[int, tuple[Address, ...]]:
        return self.transports[rank].listen(others(rank))

    def _connect(self, rank: int, listening: list[dict[int, tuple[Address, ...]]]) -> None:
        self.transports[rank].connect({peer: listening[peer][rank] for peer in others(rank)})

    def data(self, rank: int) -> Region:
        return self.machines[rank].data


@pytest.fixture(params=STAGED)
def ranks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ranks]:
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)
    with ExitStack() as stack:
        yield Ranks(stack, request.param)


def others(rank: int) -> list[int]:
    return [peer for peer in range(NRANKS) if peer != rank]


def test_every_rank_exchanges_with_every_other_at_once(ranks: Ranks) -> None:
    """All sends are begun before anything is received: a queue a peer, so none waits for another's."""

    def exchange(rank: int) -> None:
        transport, view = ranks.transports[rank], ranks.data(rank).view
        view[:SIZE] = bytes([rank + 1]) * SIZE
        tickets = [transport.send(peer, 0, SIZE) for peer in others(rank)]
        for place, peer in enumerate(reversed(others(rank)), 1):
            transport.receive_into(peer, place * SIZE, SIZE)
        for ticket in tickets:
            transport.wait_reusable(ticket)

    ranks.each(exchange)
    for rank in range(NRANKS):
        for place, peer in enumerate(reversed(others(rank)), 1):
            came = ranks.data(rank).view[place * SIZE : (place + 1) * SIZE]
            assert came == bytes([peer + 1]) * SIZE, f"rank {peer} to {rank}"


def test_two_peers_are_reduced_into_the_same_elements(ranks: Ranks) -> None:
    count = 100_003

    def reduce(rank: int) -> None:
        machine, transport = ranks.machines[rank], ranks.transports[rank]
        machine.accelerator.fill(machine.data, 0, np.full(count, 10**rank, np.float32))
        if rank:
            transport.wait_reusable(transport.send(0, 0, 4 * count))
        else:
            for peer in (2, 1):
                transport.receive_reduce(peer, 0, 4 * count, 0, Operator(np.dtype(np.float32), np.add))

    ranks.each(reduce)
    assert ranks.machines[0].accelerator.compare(ranks.data(0), 0, np.full(count, 111, np.float32)) == 0


def test_a_ticket_names_its_peer_and_its_place_among_that_peers_sends(ranks: Ranks) -> None:
    transport = ranks.transports[0]
    assert [transport.send(peer, 0, 8) for peer in (1, 2, 1)] == [((1, 0), 1), ((2, 0), 1), ((1, 0), 2)]


def test_what_sending_threads_move_is_counted(ranks: Ranks) -> None:
    transport, machine = ranks.transports[0], ranks.machines[0]
    before, greetings = copies(transport), machine.ledger.snapshot()
    for ticket in [transport.send(peer, 0, 1000) for peer in (1, 2)]:
        transport.wait_reusable(ticket)
    assert [after - was for after, was in zip(copies(transport), before, strict=True)] == [1000, 1000]
    assert machine.ledger.snapshot() == greetings, "the rank's own thread has moved nothing"


def copies(transport: Transport[Any]) -> list[int]:
    """Bytes that each sending thread has copied from the device."""
    moved = transport.counters(LoopbackHost("-").stats()).moved
    return [one.bytes for one in moved if (one.route.source, one.route.destination) == ("device", "host")]


class DeferringSocket(socket.socket):
    """Its stack shows a connection when data has come, as one does that has lost the handshake's last ACK."""

    def listen(self, backlog: int = 1, /) -> None:
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60)
        super().listen(backlog)


def test_the_first_byte_completes_a_handshake_that_nothing_else_completes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)
    monkeypatch.setattr(LoopbackHost, "kernel_socket", lambda _host: DeferringSocket())
    with ExitStack() as stack:
        Ranks(stack, "kernel")  # raises TimeoutError unless all are connected


def test_an_address_that_cannot_be_reached_yet_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARP gives up after three requests, which a bad wire loses now and then; a link may be down."""
    failures = iter([errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT] * NRANKS)

    class UnluckySocket(socket.socket):
        def connect(self, address: Any, /) -> None:
            if number := next(failures, 0):
                raise OSError(number, "unlucky")
            super().connect(address)

    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)
    monkeypatch.setattr(LoopbackHost, "kernel_socket", lambda _host: UnluckySocket())
    with ExitStack() as stack:
        Ranks(stack, "kernel")
    assert next(failures, 0) == 0


def test_a_rank_may_only_send_or_only_receive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)
    with ExitStack() as stack:
        config = ExperimentConfig("star", 2, "all_reduce", (4096,), ("kernel",), CollectiveOptions())
        machines = [
            stack.enter_context(closing(Machine(RankPlace(n, f"h{n}", "-"), config, 4096, MACHINE)))
            for n in range(2)
        ]
        sending, receiving = (
            stack.enter_context(closing(Transport(machine, PATHS["kernel"](machine)))) for machine in machines
        )
        assert sending.listen([]) == {}
        addresses = receiving.listen([0])
        with ThreadPoolExecutor(1) as pool:
            connected = pool.submit(receiving.connect, {})
            sending.connect({1: addresses[0]})
            connected.result()
        machines[0].data.view[:5] = b"hello"
        sending.send(1, 0, 5)
        receiving.receive_into(0, 100, 5)
        assert bytes(machines[1].data.view[100:105]) == b"hello"


class Trickle:
    """A socket whose stack takes a little at a time, and every other time nothing within the timeout."""

    def __init__(self) -> None:
        self.taken = bytearray()
        self._calls = 0

    def send(self, data: memoryview) -> int:
        self._calls += 1
        if self._calls % 2:
            raise TimeoutError
        self.taken += data[:100_000]
        return min(len(data), 100_000)


def test_a_send_that_moves_slowly_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut nowhere, and every byte is reported once."""
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)
    config = ExperimentConfig("star", 2, "all_reduce", (SIZE,), ("kernel",), CollectiveOptions())
    with closing(Machine(RankPlace(0, "h1", "-"), config, SIZE, MACHINE)) as machine:
        payload = np.random.default_rng(1).bytes(SIZE)
        machine.data.view[:SIZE] = payload
        sock, reported = Trickle(), list[tuple[int, int]]()
        staging = memoryview(bytearray(1 << 20))
        sender = StagedSender(
            machine, cast(Any, sock), Ledger(), staging, lambda count, left: reported.append((count, left))
        )
        sender.transmit(0, SIZE)
    assert sock.taken == payload
    assert sum(count for count, _ in reported) == SIZE
    counts = [count for count, _ in reported]
    assert [left for _, left in reported] == [SIZE - sum(counts[:n]) for n in range(len(counts))]


class Unplugged:
    """A socket whose link is down for the first calls."""

    def __init__(self, down: int, number: int) -> None:
        self.calls = self.completed = self.waits = 0
        self._down, self._number = down, number

    def sendmsg(self, iov: list[tuple[int, int]], _control: object, _flags: int) -> int:
        self.calls += 1
        if self.calls <= self._down:
            raise OSError(self._number, "refused")
        return iov[0][1]

    def wait_completions(self, count: int) -> int:
        self.waits += 1
        return count


def test_device_memory_is_sent_when_the_link_is_up_again() -> None:
    """Linux refuses it without a route; ordinary bytes wait in the socket."""
    runtime = SimulatedRuntime(lambda _: None)

    def sending(down: int, number: int) -> tuple[ZeroCopySender, Unplugged]:
        sock, progress = cast(Any, Unplugged(down, number)), Progress(runtime, 1.0)
        return ZeroCopySender(sock, sock, b"", progress, runtime), sock

    sender, sock = sending(50, errno.EHOSTUNREACH)
    sender.transmit(0, 100)
    assert sock.calls == 51
    assert runtime.now > 1000.4
    with pytest.raises(TimeoutError, match="refused"):
        sending(1000, errno.EHOSTUNREACH)[0].transmit(0, 100)
    with pytest.raises(OSError, match="refused"):
        sending(1, errno.ENODEV)[0].transmit(0, 100)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS, errno.EHOSTUNREACH, errno.ENODEV])
def test_what_must_wait_is_not_begun_and_what_is_refused_is_said(number: int) -> None:
    runtime = SimulatedRuntime(lambda _: None)
    sock = cast(Any, Unplugged(1, number))
    sender = ZeroCopySender(sock, sock, b"", Progress(runtime, 1.0), runtime)
    if number == errno.ENODEV:
        with pytest.raises(OSError, match="refused"):
            sender.begin(0, 100)
    else:
        assert sender.begin(0, 100) == 0
    assert sender.begin(0, 100) == 100


@pytest.mark.parametrize("number", [0, errno.EAGAIN, errno.ENOBUFS, errno.EHOSTUNREACH, errno.ENODEV])
def test_a_send_that_goes_with_a_receive_is_begun_or_not_as_any_other(number: int) -> None:
    class Answered(Unplugged):
        def sendmsg_before(self, *of: Any) -> None:
            of[-1](OSError(number, "refused") if number else 60)

    runtime, fetched, told = SimulatedRuntime(lambda _: None), list[int](), list[int]()
    sock = cast(Any, Answered(0, 0))
    sender = ZeroCopySender(sock, sock, b"", Progress(runtime, 1.0), runtime, fetched.append)
    machine = cast(Any, type("Machine", (), {"accelerator_of": staticmethod(lambda _: None)}))
    receiver = DevmemReceiver(machine, sock, Ledger(), RxBinding(7, cast(Any, None)), TokenReturns())
    assert not sender.link(0, 100, cast(Any, StagedReceiver), told.append), "of another stack"
    if number == errno.ENODEV:
        with pytest.raises(OSError, match="refused"):
            sender.link(0, 100, receiver, told.append)
    else:
        assert sender.link(0, 100, receiver, told.append)
        assert (told, fetched) == (([0], []) if number else ([60], [60]))
        sender.job_ended()
        assert sender.is_reusable(1) == bool(number), "what was not sent has not to complete"


def test_a_completion_that_a_later_send_has_told_is_not_asked_for() -> None:
    runtime = SimulatedRuntime(lambda _: None)
    sock = cast(Any, Unplugged(0, 0))
    sender = ZeroCopySender(sock, sock, b"", Progress(runtime, 1.0), runtime)
    for told in range(3):
        sender.begin(0, 100)
        sender.job_ended()
        sock.completed = told
    sender.wait_reusable(1)
    sender.wait_reusable(2)
    assert sock.waits == 0
    for _ in range(2):
        sender.wait_reusable(3)
    assert sock.waits == 1, "what was answered once is known"


class Joined:
    """A receiver, or a peer's sender, that notes what its calls go with."""

    def __init__(self) -> None:
        self.went_with: list[object] = []

    def receive_into(self, _offset: int, _length: int, more: bool) -> None:
        self.went_with.append(more)

    def receive_reduce(
        self, _offset: int, _length: int, _operand: int, _operator: Operator, more: bool
    ) -> None:
        self.went_with.append(more)

    def send(self, _offset: int, _length: int, before: object) -> int:
        self.went_with.append(before)
        return 1


@pytest.mark.parametrize("flows", [1, 2])
def test_calls_are_joined_with_those_of_the_connection_whose_turn_is_next(
    monkeypatch: pytest.MonkeyPatch, flows: int
) -> None:
    """With several flows that is not the connection which holds the tokens."""
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)
    config = ExperimentConfig("star", 2, "all_reduce", (4096,), ("kernel",), CollectiveOptions())
    with closing(Machine(RankPlace(0, "h1", "-"), config, 4096, MACHINE)) as machine:
        transport = Transport(machine, PATHS["kernel"](machine), flows)
        receivers, senders = ([Joined() for _ in range(flows)] for _ in range(2))
        for number in range(flows):
            transport._receivers[Flow(3, number)] = cast(Any, receivers[number])
            transport._senders[Flow(1, number)] = cast(Any, senders[number])
        transport.send(1, 0, 4)
        transport.receive_into(3, 0, 4, more=True)
        transport.send(1, 0, 4, then_from=3)
        transport.receive_reduce(3, 0, 4, 0, Operator(np.dtype(np.float32), np.add), more=True)
        transport.receive_into(3, 0, 4)
    held = [[True, True, False]] if flows == 1 else [[False, False], [False]]
    assert [each.went_with for each in receivers] == held
    assert [each.went_with for each in senders] == (
        [[None, receivers[0]]] if flows == 1 else [[None], [receivers[1]]]
    )
