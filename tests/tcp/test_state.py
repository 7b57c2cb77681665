"""The state table is complete, and an impossible pair of state and event raises."""

from __future__ import annotations

from itertools import product

import pytest

from nodes.tcp.state import TRANSITIONS, Event, ImpossibleTransition, State, next_state

# Pairs that the guards in `input`, `connection` and `timer` exclude.
IMPOSSIBLE = {
    State.ESTABLISHED: {Event.SYN, Event.SYN_ACK, Event.ACK_OF_SYN, Event.ACK_OF_FIN},
    State.SYN_SENT: {Event.ACK_OF_SYN, Event.FIN, Event.ACK_OF_FIN, Event.CLOSE},
    State.SYN_RECEIVED: {Event.SYN, Event.SYN_ACK, Event.FIN, Event.ACK_OF_FIN, Event.CLOSE},
    State.FIN_WAIT_1: {Event.SYN, Event.SYN_ACK, Event.ACK_OF_SYN, Event.CLOSE},
    State.FIN_WAIT_2: {Event.SYN, Event.SYN_ACK, Event.ACK_OF_SYN, Event.ACK_OF_FIN, Event.CLOSE},
    State.TIME_WAIT: set(Event) - {Event.END},
    State.CLOSED: set(Event),
    State.CLOSE_WAIT: {Event.SYN, Event.SYN_ACK, Event.ACK_OF_SYN, Event.FIN, Event.ACK_OF_FIN},
    State.LAST_ACK: {Event.SYN, Event.SYN_ACK, Event.ACK_OF_SYN, Event.FIN, Event.CLOSE},
    State.CLOSING: {Event.SYN, Event.SYN_ACK, Event.ACK_OF_SYN, Event.FIN, Event.CLOSE},
}


def test_every_pair_is_a_transition_or_known_to_be_impossible() -> None:
    for state, event in product(State, Event):
        assert ((state, event) in TRANSITIONS) != (event in IMPOSSIBLE[state]), (state, event)


def test_every_state_is_reached_and_every_state_can_end() -> None:
    reached = {State.SYN_SENT}
    while more := {new for (old, _), new in TRANSITIONS.items() if old in reached} - reached:
        reached |= more
    assert reached == set(State)


def test_an_impossible_pair_is_named() -> None:
    with pytest.raises(ImpossibleTransition, match="CLOSED cannot see FIN"):
        next_state(State.CLOSED, Event.FIN)


def test_values_are_the_kernels() -> None:
    assert [State.ESTABLISHED, State.SYN_SENT, State.TIME_WAIT, State.CLOSED] == [1, 2, 6, 7]
