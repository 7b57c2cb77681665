"""ncdevmem's command line: what cannot be is named in one sentence, before any host is asked for anything."""

from __future__ import annotations

import pytest

from nodes.client import ncdevmem
from nodes.client.ncdevmem_options import parse

SERVER = ["-l", "-s", "10.0.1.2", "-p", "5201"]
HOST = ["-f", "h1-eth0", "--channel", "/nowhere"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([*HOST, *SERVER, "-p", "70000"], "-p: 70000 is out of range; give 1 to 65535"),
        ([*HOST, *SERVER, "-p", "http"], "-p: 'http' is no number; give 1 to 65535"),
        ([*HOST, *SERVER, "-z", "-3"], "-z: -3 is out of range; give 1 to"),
        ([*HOST, *SERVER, "-z", "0"], "-z: 0 is out of range"),
        ([*HOST, *SERVER, "-t", "0", "-q", "8"], "-t 0: no queue is left for what is not steered; give 1 or"),
        ([*HOST, "-t", "0", "-q", "8"], "-t 0: no queue is left"),
        ([*HOST, *SERVER, "-t", "-1"], "-t: -1 is out of range; give 0 to"),
        ([*HOST, *SERVER, "-t", "1", "-q", "0"], "-q: 0 is out of range; give 1 to"),
        ([*HOST, "-t", "1"], "-t and -q go together: give both, or neither"),
        ([*HOST, *SERVER, "-v", "1"], "-v: 1 is out of range; give 2 to 256"),
        ([*HOST, *SERVER, "-v", "257"], "-v: 257 is out of range"),
        ([*HOST, *SERVER, "-b", "0"], "-b: 0 is out of range"),
        ([*HOST, "-s", "10.0.1.1"], "-p is missing: give the server's address and port"),
        ([*HOST, "-c", "10.0.1.1", "-p", "1"], "-s is missing: give the server's address and port"),
        ([*HOST, "-s", "nowhere", "-p", "1"], "-s: 'nowhere' is not an IP address"),
        ([*HOST, *SERVER, "-c", "fd00::1"], "-c fd00::1: give an address of the same family as -s 10.0.1.2"),
        (SERVER + HOST[2:], "the following arguments are required: -f"),
        (HOST[:2] + SERVER, "no channel: give --channel PATH or set DEVMEM_CHANNEL"),
        ([*HOST, "--frobnicate"], "unrecognized arguments: --frobnicate"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_status_2(
    words: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DEVMEM_CHANNEL", raising=False)
    assert ncdevmem.main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"ncdevmem: {sentence}")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_nic_that_is_left_alone_may_have_its_first_queue_bound() -> None:
    assert parse([*HOST, *SERVER, "-n", "-t", "0", "-q", "8"]).first == 0


def test_a_mapped_client_goes_with_an_ipv4_server() -> None:
    assert parse([*HOST, *SERVER, "-c", "::ffff:10.0.1.1"]).client == "::ffff:10.0.1.1"
