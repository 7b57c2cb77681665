"""Tokens that go back without an answer of the endpoint."""

from __future__ import annotations

import pytest

from nodes.supervisor.tokens import Tokens
from nodes.uapi.socket import DMABUF_CMSG, DMABUF_TOKEN


def holding(*tokens: int) -> Tokens:
    made = Tokens()
    made.received([(1, 79, DMABUF_CMSG.pack(0, 4096, token, 1, 0)) for token in tokens])
    made.received([(1, 78, DMABUF_CMSG.pack(0, 4096, 0, 0, 0))])  # SCM_DEVMEM_LINEAR has no token
    return made


def value(*pairs: tuple[int, int]) -> bytes:
    return b"".join(DMABUF_TOKEN.pack(*pair) for pair in pairs)


def test_held_tokens_are_counted_at_once_and_sent_together() -> None:
    tokens, sent = holding(*range(1, 301)), list[bytes]()
    for token in range(1, 301):
        assert tokens.give_back(value((token, 1))) == 1
    tokens.flush(sent.append)
    assert b"".join(sent) == value(*((token, 1) for token in range(1, 301)))
    assert [len(each) for each in sent] == [1024, 1024, 352]
    tokens.flush(sent.append)
    assert len(sent) == 3


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"1234567",
        value((3, 1)),  # never received
        value((1, 1), (1, 1)),
        value((1, 2)),
        value((0, 1)),
        value(*((1, 1) for _ in range(129))),
    ],
)
def test_every_other_call_is_the_endpoints(given: bytes) -> None:
    tokens = holding(1, 2)
    assert tokens.give_back(given) is None
    assert not tokens.pending
    assert tokens.give_back(value((2, 1), (1, 1))) == 2


def test_a_token_is_given_back_once() -> None:
    tokens = holding(1, 2, 3, 4)
    assert tokens.give_back(value((1, 1))) == 1
    assert tokens.give_back(value((1, 1))) is None
    tokens.forget(value((2, 2)) + b"rest")
    assert tokens.give_back(value((3, 1))) is None
    assert tokens.give_back(value((4, 1))) == 1
