"""A poll file polls as its socket does, whatever happens in whatever order."""

from __future__ import annotations

import os
import random
import select
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

import pytest

from nodes.endpoint.poll_file import Notifier, PollFile
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.tcp_poll import poll_events
from tests.descriptors import open_descriptors
from tests.path.two_hosts import TwoHosts

WATCHED = select.POLLIN | select.POLLOUT | select.POLLRDHUP | select.POLLPRI
ENDED = select.POLLIN | select.POLLOUT | select.POLLRDHUP
TOGETHER = [select.POLLIN, select.POLLOUT, select.POLLERR]


@pytest.fixture
def notifier() -> Notifier:
    return Notifier()


def polled(file: PollFile) -> int:
    poll = select.poll()
    poll.register(file.fd, WATCHED)
    return sum(events for _, events in poll.poll(0))


def test_events_come_and_go_in_any_order_and_files_do_not_touch_each_other(
    hosts: TwoHosts, notifier: Notifier, soak: bool
) -> None:
    seed = random.randrange(1 << 32) if soak else 3
    print(f"seed {seed}")
    chance = random.Random(seed)
    files = [PollFile(notifier, hosts.a.socket()) for _ in range(3)]
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
def test_an_end_and_a_hang_up_stay(hosts: TwoHosts, notifier: Notifier, before: int, error: int) -> None:
    with closing(PollFile(notifier, hosts.a.socket())) as file:
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
def test_nothing_done_to_a_file_harms_another_or_blocks_the_endpoint(
    hosts: TwoHosts, notifier: Notifier, deed: str, wait: bool
) -> None:
    chance = random.Random(7)
    abused, other = PollFile(notifier, hosts.a.socket()), PollFile(notifier, hosts.a.socket())
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


def test_a_stranger_cannot_send_to_a_file_or_to_its_peer(hosts: TwoHosts, notifier: Notifier) -> None:
    with (
        closing(PollFile(notifier, hosts.a.socket())) as file,
        socket.socket(fileno=os.dup(file.fd)) as theirs,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as stranger,
    ):
        for name in (theirs.getsockname(), theirs.getpeername()):
            with pytest.raises(PermissionError):
                stranger.sendto(b"x", name)


def test_an_epoll_forgets_what_was_closed_and_hears_of_an_end(hosts: TwoHosts, notifier: Notifier) -> None:
    with closing(select.epoll()) as epoll:
        for ends in (False, True):
            file = PollFile(notifier, hosts.a.socket())
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


def test_a_connection_from_syn_to_time_wait(hosts: TwoHosts, notifier: Notifier) -> None:
    listener, client = hosts.b.socket(), hosts.a.socket()
    with closing(PollFile(notifier, listener)) as theirs, closing(PollFile(notifier, client)) as ours:
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


def test_the_last_poll_file_takes_the_notifiers_descriptors_along(
    hosts: TwoHosts, notifier: Notifier
) -> None:
    before = len(open_descriptors())
    for _ in range(2):
        files = [PollFile(notifier, hosts.a.socket()) for _ in range(2)]
        assert len(open_descriptors()) == before + 6
        files[0].close()
        assert len(open_descriptors()) == before + 4
        files[1].show(select.POLLIN)
        assert polled(files[1]) == select.POLLIN
        files[1].close()
        assert len(open_descriptors()) == before


def edges(epoll: select.epoll) -> int:
    """The events of the one file that the epoll watches; 0 without an edge."""
    return sum(events for _, events in epoll.poll(0))


def test_data_that_arrives_while_data_waits_is_a_new_edge(hosts: TwoHosts, notifier: Notifier) -> None:
    client, server = hosts.connect(5000)
    with closing(PollFile(notifier, server)) as file, closing(select.epoll()) as epoll:
        epoll.register(file.fd, select.EPOLLIN | select.EPOLLET)
        for length in (3, 6, 9):
            hosts.a.send(client, b"abc")
            hosts.run_until(lambda: server.recv_queue.length == length, 5)  # noqa: B023
            file.update()
            assert edges(epoll) == select.EPOLLIN
            file.update()
            assert edges(epoll) == 0
        assert hosts.b.recv(server, 4) == b"abca"
        file.update()
        assert edges(epoll) == 0
        assert hosts.b.recv(server, 9) == b"bcabc"
        file.update()
        assert polled(file) == select.POLLOUT


def test_a_second_completion_is_a_new_edge_of_pollerr(hosts: TwoHosts, notifier: Notifier) -> None:
    client, _ = hosts.connect(5000)
    client.options.zerocopy = True
    _, dmabuf_id = hosts.a.bind_tx(b"x" * 4096)
    with closing(PollFile(notifier, client)) as file, closing(select.epoll()) as epoll:
        epoll.register(file.fd, select.EPOLLET)
        for number in (1, 2, 3):
            hosts.a.send_devmem(client, dmabuf_id, (0, 100))
            hosts.run_until(lambda: client.errqueue.completed == number, 5)  # noqa: B023
            file.update()
            assert edges(epoll) & select.EPOLLERR
            file.update()
            assert edges(epoll) == 0
            assert polled(file) & select.POLLERR


def test_each_connection_wakes_one_exclusive_waiter(hosts: TwoHosts, notifier: Notifier) -> None:
    """Three connections in one batch, four waiters."""
    listener = hosts.b.socket()
    listener.bind(0, 5000)
    listener.listen(8)
    with closing(PollFile(notifier, listener)) as file, ExitStack() as stack:
        woken: list[int] = []
        waiters = [threading.Thread(target=_wait, args=(file.fd, number, woken)) for number in range(4)]
        for waiter in waiters:
            waiter.start()
        stack.callback(_join, waiters, file)
        for _ in range(500):
            if _sleeping(waiters) == 4:
                break
            threading.Event().wait(0.01)
        for _ in range(3):
            hosts.a.socket().start_connect(hosts.b.address, 5000, hosts.now)
        hosts.run_until(lambda: len(listener.accept_queue) == 3, 5)
        file.update()
        for _ in range(200):
            if len(woken) >= 3:
                break
            threading.Event().wait(0.01)
        threading.Event().wait(0.05)
        assert len(woken) == 3


def _wait(fd: int, number: int, woken: list[int]) -> None:
    with closing(select.epoll()) as epoll:
        epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE | select.EPOLLET)
        epoll.poll()
        woken.append(number)


def _sleeping(threads: list[threading.Thread]) -> int:
    """How many of the threads sleep in epoll_wait or epoll_pwait, of x86-64 and arm64."""
    asleep = 0
    for thread in threads:
        with suppress(OSError), open(f"/proc/self/task/{thread.native_id}/syscall") as file:
            asleep += file.read().split()[0] in ("232", "281", "22")
    return asleep


def _join(threads: list[threading.Thread], file: PollFile) -> None:
    file.hang_up()
    for thread in threads:
        thread.join(20)
