"""Reaching a host whose endpoint does not do its part: a sentence, and soon."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import endpoints
from nodes.client.host import Host, HostError
from nodes.host_config import HostConfig, NicConfig


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A channel that takes connections and says nothing, as a stopped endpoint's does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "h1.sock"))
        listener.listen()
        yield listener


def test_an_endpoint_that_does_not_answer_is_given_up(listener: socket.socket) -> None:
    path = listener.getsockname()
    with pytest.raises(HostError, match=r"^the endpoint at .* has not answered for 0\.05 s: it hangs or is "):
        Host(path, patience_s=0.05)
    connection, _ = listener.accept()
    with connection:
        assert connection.recv(4096), "the question"
        assert connection.recv(4096) == b"", "the channel was left open"


def test_an_endpoint_that_ends_instead_of_answering_is_named(listener: socket.socket) -> None:
    def end() -> None:
        listener.accept()[0].close()

    ending = threading.Thread(target=end)
    ending.start()
    with pytest.raises(HostError, match=r"^the endpoint at .* ended before it answered; see what it"):
        Host(listener.getsockname())
    ending.join()


def test_waiting_for_a_host_ends_with_its_name_or_when_the_run_has_to(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "_READY_S", 0.2)
    monkeypatch.setattr(endpoints, "_HELLO_S", 0.05)
    nic = NicConfig(interface="h7-eth0", address="10.0.1.7/16")
    host = HostConfig(nics=(nic,), channel=listener.getsockname(), name="h7")
    looks: list[int] = []
    with pytest.raises(HostError, match=r"^host h7 was not ready in 0\.2 s: the endpoint at .* has not"):
        endpoints._wait_ready(host, lambda: looks.append(1))
    assert len(looks) > 1

    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        endpoints._wait_ready(host, stopped)
