"""A poll file polls as its socket does, whatever happens in whatever order."""

from __future__ import annotations

import os
import random
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

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


ABUSES: dict[str, Callable[[socket.socket, socket.socket], object]] = {
    "reads": lambda file, _: file.recv(1),
    "reads all it can get": lambda file, _: [file.recv(1) for _ in range(300)],
    "sends to its peer": lambda file, _: file.send(b"x"),
    "sends to another": lambda file, other: file.sendto(b"x", other.getsockname()),
    "fills its send buffer": lambda file, other: [
        file.sendto(bytes(1000), other.getsockname()) for _ in range(300)
    ],
    "fetches the error": lambda file, _: file.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
    "shuts it down for reading": lambda file, _: file.shutdown(socket.SHUT_RD),
    "shuts it down for writing": lambda file, _: file.shutdown(socket.SHUT_WR),
    "shuts it down": lambda file, _: file.shutdown(socket.SHUT_RDWR),
    "connects it to another": lambda file, other: file.connect(other.getsockname()),
    "connects it to itself": lambda file, _: file.connect(file.getsockname()),
    "makes it wait": lambda file, _: os.set_blocking(file.fileno(), True),
    "makes it small": lambda file, _: file.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1),
}


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("deed", ABUSES)
def test_whatever_is_done_to_a_file_harms_no_other_and_blocks_no_caller(
    hosts: TwoHosts, bell: Bell, deed: str, wait: bool
) -> None:
    chance = random.Random(7)
    abused, other = PollFile(bell, hosts.a.socket()), PollFile(bell, hosts.a.socket())
    with (
        closing(abused),
        closing(other),
        socket.socket(fileno=os.dup(abused.fd)) as theirs,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger,
    ):
        stranger.bind("")
        for _ in range(200):
            os.set_blocking(theirs.fileno(), False)
            with suppress(OSError):
                ABUSES[deed](theirs, stranger)
            if wait:
                os.set_blocking(theirs.fileno(), True)
            abused.show(sum(chance.sample(TOGETHER, chance.randrange(4))))
            shown = sum(chance.sample(TOGETHER, chance.randrange(4)))
            other.show(shown)
            assert polled(other) == shown


def test_a_stranger_cannot_send_to_a_file_or_to_its_peer(hosts: TwoHosts, bell: Bell) -> None:
    with (
        closing(PollFile(bell, hosts.a.socket())) as file,
        socket.socket(fileno=os.dup(file.fd)) as theirs,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as stranger,
    ):
        for name in (theirs.getsockname(), theirs.getpeername()):
            with pytest.raises(PermissionError):
                stranger.sendto(b"x", name)


def test_an_epoll_forgets_what_was_closed_and_hears_of_an_end(hosts: TwoHosts, bell: Bell) -> None:
    with closing(select.epoll()) as epoll:
        for ends in (False, True):
            file = PollFile(bell, hosts.a.socket())
            file.show(0)
            theirs = os.dup(file.fd)
            epoll.register(theirs, WATCHED)
            if ends:
                file.hang_up()
                file.close()
                assert epoll.poll(0) == [(theirs, ENDED | select.POLLHUP)]
                os.close(theirs)
            else:
                os.close(theirs)
                file.close()
            assert epoll.poll(0) == []


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
