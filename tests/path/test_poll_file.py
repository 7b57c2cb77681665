"""A poll file polls as its socket does, whatever happens in whatever order."""

from __future__ import annotations

import random
import select
from collections.abc import Iterator
from contextlib import closing

import pytest

from nodes.endpoint.poll_file import Bell, PollFile
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.tcp_poll import poll_events
from tests.path.two_hosts import TwoHosts

WATCHED = select.POLLIN | select.POLLOUT | select.POLLRDHUP | select.POLLPRI
ENDED = select.POLLIN | select.POLLOUT | select.POLLRDHUP
TOGETHER = [select.POLLIN, select.POLLOUT, select.POLLERR]


@pytest.fixture
def bell() -> Iterator[Bell]:
    with closing(Bell()) as bell:
        yield bell


def polled(file: PollFile) -> int:
    poll = select.poll()
    poll.register(file.fd, WATCHED)
    return sum(events for _, events in poll.poll(0))


def test_events_come_and_go_in_any_order_and_files_do_not_touch_each_other(
    hosts: TwoHosts, bell: Bell, soak: bool
) -> None:
    seed = random.randrange(1 << 32) if soak else 3
    print(f"seed {seed}")
    chance = random.Random(seed)
    files = [PollFile(bell, hosts.a.socket()) for _ in range(3)]
    shown = [select.POLLOUT] * 3
    for _ in range(3000):
        at = chance.randrange(3)
        shown[at] = sum(chance.sample(TOGETHER, chance.randrange(4)))
        files[at].show(shown[at])
        assert [polled(file) for file in files] == shown
    for file in files:
        file.close()


@pytest.mark.parametrize("before", [0, select.POLLIN, select.POLLOUT, ENDED & ~select.POLLRDHUP])
@pytest.mark.parametrize("error", [0, select.POLLERR])
def test_an_end_and_a_hang_up_stay(hosts: TwoHosts, bell: Bell, before: int, error: int) -> None:
    with closing(PollFile(bell, hosts.a.socket())) as file:
        file.show(before)
        if before & select.POLLOUT:
            file.show(ENDED)
        else:
            file.show(ENDED & ~select.POLLOUT)
        for events in (ENDED | error, ENDED, ENDED | select.POLLERR, ENDED):
            file.show(events)
            assert polled(file) == events
        file.show(ENDED | select.POLLHUP | error)
        assert polled(file) == ENDED | select.POLLHUP | error
        file.show(ENDED | select.POLLHUP)
        assert polled(file) == ENDED | select.POLLHUP
        file.show(0)  # a new connection of the same socket: nothing takes it back
        assert polled(file) == ENDED | select.POLLHUP


def test_a_connection_from_syn_to_time_wait(hosts: TwoHosts, bell: Bell) -> None:
    listener, client = hosts.b.socket(), hosts.a.socket()
    with closing(PollFile(bell, listener)) as theirs, closing(PollFile(bell, client)) as ours:
        assert (polled(theirs), polled(ours)) == (select.POLLOUT, select.POLLOUT)
        listener.bind(0, 5000)
        listener.listen(5)
        client.start_connect(hosts.b.address, 5000, hosts.now)
        assert _shown(listener, theirs) == _shown(client, ours) == 0
        hosts.run_until(lambda: bool(listener.accept_queue))
        assert (_shown(listener, theirs), _shown(client, ours)) == (select.POLLIN, select.POLLOUT)
        child = listener.accept()
        assert _shown(listener, theirs) == 0
        child.shutdown(1, hosts.now)
        hosts.run_until(lambda: bool(poll_events(client) & select.POLLRDHUP))
        assert _shown(client, ours) == ENDED
        client.shutdown(1, hosts.now)
        hosts.run_until(lambda: bool(poll_events(child) & select.POLLHUP))
        assert _shown(client, ours) == ENDED | select.POLLHUP


def _shown(sock: DevmemSocket, file: PollFile) -> int:
    file.update()
    assert polled(file) == poll_events(sock)
    return polled(file)
