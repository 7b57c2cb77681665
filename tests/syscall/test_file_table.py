"""Who holds a socket, and when it closes."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from nodes.sock.devmem_socket import DevmemSocket
from nodes.syscall.file_table import FileTable, PollFile
from tests.path.conftest import assert_nothing_left
from tests.path.two_hosts import TwoHosts


class Channel:
    """Satisfies nodes.syscall.file_table.Holder."""

    def __init__(self) -> None:
        self.socket: DevmemSocket | None = None
        self.poll_file: PollFile | None = None
        self.accepted: dict[int, None] = {}

    def retry(self, now: float) -> None:
        """No call is blocked."""


class Polled:
    """Satisfies nodes.syscall.file_table.PollFile."""

    fd = 3

    def __init__(self, _: DevmemSocket) -> None:
        self.ended = self.closed = False

    def update(self) -> None:
        """Nothing is shown."""

    def hang_up(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def hosts() -> Iterator[TwoHosts]:
    two = TwoHosts()
    yield two
    assert_nothing_left(two)


@pytest.fixture
def files() -> FileTable:
    return FileTable(Polled)


def test_a_socket_closes_with_its_last_holder(hosts: TwoHosts, files: FileTable) -> None:
    first, second, sock = Channel(), Channel(), hosts.a.socket()
    handle = files.install(first, sock)
    assert files.attach(second, handle) is sock
    files.release(first, hosts.now)
    assert (first.socket, second.socket, sock.closed) == (None, sock, False)
    files.release(second, hosts.now)
    assert sock.closed
    assert files.file_of(sock) is None
    with pytest.raises(OSError) as refused:
        files.attach(first, handle)
    assert refused.value.errno == errno.EBADF


def test_a_channel_serves_one_socket(hosts: TwoHosts, files: FileTable) -> None:
    channel = Channel()
    handle = files.install(channel, hosts.a.socket())
    for again in (lambda: files.install(channel, hosts.a.socket()), lambda: files.attach(channel, handle)):
        with pytest.raises(OSError) as refused:
            again()
        assert refused.value.errno == errno.EISCONN


def test_an_accepted_connection_is_its_acceptors_until_it_is_attached_to(
    hosts: TwoHosts, files: FileTable
) -> None:
    acceptor, server = Channel(), Channel()
    served, lost = hosts.a.socket(), hosts.a.socket()
    handles = [files.accept(acceptor, sock) for sock in (served, lost)]
    assert [*acceptor.accepted] == handles
    files.attach(server, handles[0])
    assert [*acceptor.accepted] == [handles[1]]
    files.release(acceptor, hosts.now)
    assert (served.closed, lost.closed) == (False, True)
    files.release(server, hosts.now)
    assert served.closed


def test_all_holders_share_one_poll_file_that_goes_with_the_socket(
    hosts: TwoHosts, files: FileTable
) -> None:
    first, second, sock = Channel(), Channel(), hosts.a.socket()
    handle = files.install(first, sock)
    assert files.poll_files == 0
    poll_file = files.watch(sock)
    assert isinstance(poll_file, Polled)
    files.attach(second, handle)
    assert files.watch(sock) is first.poll_file is second.poll_file is poll_file
    assert files.poll_files == 1
    files.hang_up()
    assert (poll_file.ended, poll_file.closed) == (True, False)
    for channel in (first, second):
        files.release(channel, hosts.now)
    assert poll_file.closed
    assert files.poll_files == 0


def test_a_disconnected_socket_gets_another_poll_file_if_its_own_has_ended(
    hosts: TwoHosts, files: FileTable
) -> None:
    channel, sock = Channel(), hosts.a.socket()
    files.install(channel, sock)
    first = files.watch(sock)
    files.begin_anew(sock)
    assert files.watch(sock) is first
    files.hang_up()
    files.begin_anew(sock)
    assert isinstance(first, Polled)
    assert first.closed
    assert channel.poll_file is None
    assert files.watch(sock) is channel.poll_file is not first
    assert files.poll_files == 1
    files.release(channel, hosts.now)
