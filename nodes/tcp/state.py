"""The states of a connection as a table: (state, event) in, the next state out. Pure; owns nothing.

RFC 9293 section 3.3.2, figure 5; the numbers are the kernel's (include/net/tcp_states.h). LISTEN belongs to
the socket that listens: a connection begins in SYN_SENT or SYN_RECEIVED. Guards are in `input`, `timer` and
`connection`, actions in `tcb`. A pair that is not in the table cannot happen; `next_state` raises for it.
README.md beside this file draws the table.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class State(IntEnum):
    """The RFC's names with the kernel's numbers."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    FIN_WAIT_1 = 4
    FIN_WAIT_2 = 5
    TIME_WAIT = 6
    CLOSED = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    CLOSING = 11


class Event(Enum):
    """What moves a connection from one state to another."""

    SYN = "a SYN was received that does not acknowledge our SYN"
    SYN_ACK = "a SYN was received that acknowledges our SYN"
    ACK_OF_SYN = "our SYN was acknowledged"
    FIN = "a FIN was received, and all data before it"
    ACK_OF_FIN = "our FIN was acknowledged"
    CLOSE = "the application sends no more: a FIN follows what is queued"
    END = "reset, abort, timeout, or TIME_WAIT is over"


_S, _E = State, Event

TRANSITIONS: dict[tuple[State, Event], State] = {
    (_S.SYN_SENT, _E.SYN): _S.SYN_RECEIVED,
    (_S.SYN_SENT, _E.SYN_ACK): _S.ESTABLISHED,
    (_S.SYN_RECEIVED, _E.ACK_OF_SYN): _S.ESTABLISHED,
    (_S.ESTABLISHED, _E.CLOSE): _S.FIN_WAIT_1,
    (_S.ESTABLISHED, _E.FIN): _S.CLOSE_WAIT,
    (_S.FIN_WAIT_1, _E.ACK_OF_FIN): _S.FIN_WAIT_2,
    (_S.FIN_WAIT_1, _E.FIN): _S.CLOSING,
    (_S.FIN_WAIT_2, _E.FIN): _S.TIME_WAIT,
    (_S.CLOSING, _E.ACK_OF_FIN): _S.TIME_WAIT,
    (_S.CLOSE_WAIT, _E.CLOSE): _S.LAST_ACK,
    (_S.LAST_ACK, _E.ACK_OF_FIN): _S.CLOSED,
    **{(state, _E.END): _S.CLOSED for state in State if state is not _S.CLOSED},
}

SYNCHRONIZED = frozenset(State) - {State.SYN_SENT, State.SYN_RECEIVED, State.CLOSED}
HANDSHAKE = (State.SYN_SENT, State.SYN_RECEIVED)
FIN_WAIT = (State.FIN_WAIT_1, State.FIN_WAIT_2)  # our stream has ended, the peer's has not
CURR_ESTAB = frozenset({State.ESTABLISHED, State.CLOSE_WAIT})  # what TcpCurrEstab counts
# States in which ABORT sends a RST to the peer (RFC 9293 section 3.10.5).
RESET_ON_ABORT = frozenset(
    {State.SYN_RECEIVED, State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSE_WAIT}
)


class ImpossibleTransition(Exception):
    """An event came in a state that has no transition for it: a broken invariant, not the peer's fault."""


def next_state(state: State, event: Event) -> State:
    """The state after `event`. Raises ImpossibleTransition for a pair that is not in the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ImpossibleTransition(
            f"TCP state {state.name} cannot see {event.name} ({event.value}): check the guard in input"
        ) from None
