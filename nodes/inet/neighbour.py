"""Neighbours: the MAC of each address of a link, and whether it still reaches the neighbour.

In: what ARP and neighbour discovery heard (`learn`), skbs for an address, `now`. Out: a MAC, questions
(through `ask`), skbs whose MAC became known. Owns the cache and, for each address in question, the skbs that
wait: both are bounded. Neighbour unreachability detection: an entry is REACHABLE after an answer to a
question of ours, and for as long as TCP makes progress (dst_confirm); then it is STALE. A packet makes a
STALE entry DELAY; without progress the neighbour is asked (PROBE), and forgotten if it does not answer.
Source: net/core/neighbour.c (neigh_update, neigh_timer_handler, __neigh_event_send), RFC 4861 section 7.3.
Linux believes each MAC that ARP claims, a second after the last change. Here a claim that answers no question
of ours never replaces the MAC of an entry in use: a REACHABLE entry becomes STALE and keeps its MAC, as in
Linux without NEIGH_UPDATE_F_OVERRIDE.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

from nodes.skb import Skb

SOLICIT_S = 1.0  # retrans_time
SOLICITATIONS = 3  # mcast_solicit, and ucast_solicit
BASE_REACHABLE_S = 30.0  # base_reachable_time: the time itself is 0.5 to 1.5 of it
RANDOMISE_S = 300.0  # how often the time is chosen anew
DELAY_PROBE_S = 5.0  # delay_first_probe_time
LOCK_S = 1.0  # locktime: so long after a change no other MAC is believed
QUEUE_MAX = 101  # skbs waiting for one address (unres_qlen's default)
CACHE_MAX = 1024  # addresses known (gc_thresh3), as many asked for, and as many in NUD_FAILED
FAILED_S = 60.0  # gc_stale_time: so long a late answer is still taken


class Nud(Enum):
    """The states of an address whose MAC is known. NUD_INCOMPLETE has a class of its own; of an entry in
    NUD_FAILED only the time is kept."""

    REACHABLE = auto()
    STALE = auto()
    DELAY = auto()
    PROBE = auto()


@dataclass(slots=True)
class Entry:
    """`due`: when the state is over; `updated`: when state or MAC last changed, `moved`: when the MAC did."""

    mac: bytes
    state: Nud
    updated: float
    moved: float
    due: float = inf
    probes: int = 0


@dataclass(slots=True)
class _Incomplete:
    """An address that was asked for and has not answered (NUD_INCOMPLETE)."""

    retry_at: float
    asked: int = 1
    waiting: deque[Skb] = field(default_factory=deque)

    def drop(self) -> None:
        for skb in self.waiting:
            skb.release()


@dataclass(frozen=True, slots=True)
class Confirmation:
    """`progress_at(address)`: when TCP last made progress through that next hop, -inf for never.
    `chance` chooses how long an entry is REACHABLE."""

    progress_at: Callable[[int], float]
    chance: random.Random


class Neighbours:
    """`ask(address, mac)` sends a question, to `mac` or (None) to all; `send_skb(skb, mac)` sends an skb.
    `unreachable(skb, now)` is told of each skb for which no answer came, before the skb is released."""

    def __init__(
        self,
        ask: Callable[[int, bytes | None], None],
        send_skb: Callable[[Skb, bytes], None],
        unreachable: Callable[[Skb, float], None],
        confirmation: Confirmation,
    ) -> None:
        self._ask = ask
        self._send_skb = send_skb
        self._unreachable = unreachable
        self._progress_at = confirmation.progress_at
        self._chance = confirmation.chance
        self._reachable_s, self._chosen_at = 0.0, -inf
        self._usable: dict[int, bytes] = {}  # of the entries that are not STALE
        self._entries: dict[int, Entry] = {}  # the least recently used first
        self._incomplete: dict[int, _Incomplete] = {}
        self._failed: dict[int, float] = {}  # since when an address has not answered, the oldest first
        self._due = inf  # no later than the first timer

    def mac_of(self, address: int) -> bytes | None:
        """The MAC of `address` if a packet may be sent without more ado: None for a STALE entry, too."""
        return self._usable.get(address)

    def entry(self, address: int) -> Entry | None:
        """What is known of `address`."""
        return self._entries.get(address)

    def concerns(self, address: int) -> bool:
        """Whether `address` is known, or was asked for, though it may have answered too late."""
        return address in self._entries or address in self._incomplete or address in self._failed

    def resolve(self, address: int, skb: Skb, now: float) -> None:
        """Send `skb` to a STALE neighbour, whose MAC is to be confirmed from now on, or keep it until
        `address` answers; the first such skb sends the question."""
        known = self._entries.get(address)
        if known is not None:
            self._set_state(address, known, Nud.DELAY, now)
            self._send_skb(skb, known.mac)
            return
        self.solicit(address, now)
        entry = self._incomplete[address]
        if len(entry.waiting) >= QUEUE_MAX:
            entry.waiting.popleft().release()
        entry.waiting.append(skb)

    def solicit(self, address: int, now: float) -> None:
        """Ask for an address that is not known, unless it was asked for."""
        if address in self._incomplete:
            return
        if len(self._incomplete) >= CACHE_MAX:
            self._incomplete.pop(next(iter(self._incomplete))).drop()
        entry = self._incomplete[address] = _Incomplete(now + SOLICIT_S)
        self._due = min(self._due, entry.retry_at)
        self._ask(address, None)

    def learn(
        self, address: int, mac: bytes, now: float, answer: bool = False, override: bool = True
    ) -> None:
        """A message says that `address` is at `mac`: the skbs that waited for it are sent. `answer`: it may
        answer a question of ours; `override`: it may replace a MAC."""
        asked = self._incomplete.pop(address, None)
        entry = self._entries.get(address)
        if entry is None:
            entry = self._insert(address, mac, now)
            is_late = now < self._failed.pop(address, -inf) + FAILED_S
            if asked is None and is_late and answer:
                self._set_state(address, entry, Nud.REACHABLE, now)
            if asked is not None:
                self._set_state(address, entry, Nud.REACHABLE if answer else Nud.DELAY, now)
                self._arm()
                for skb in asked.waiting:
                    self._send_skb(skb, mac)
        elif answer and entry.state is Nud.PROBE and (override or mac == entry.mac):
            self._move(entry, mac, now)
            self._set_state(address, entry, Nud.REACHABLE, now)
        elif mac != entry.mac and now >= entry.updated + LOCK_S:
            if entry.state is Nud.REACHABLE:
                self._set_state(address, entry, Nud.STALE, now)
            elif entry.state is Nud.STALE and override:
                self._move(entry, mac, now)

    def _insert(self, address: int, mac: bytes, now: float) -> Entry:
        """A new STALE entry. At the limit a STALE one goes, the least recently used first."""
        entries = self._entries
        if len(entries) >= CACHE_MAX:
            stale = (each for each, entry in entries.items() if entry.state is Nud.STALE)
            victim = next(stale, next(iter(entries)))
            del entries[victim]
            self._usable.pop(victim, None)
        entry = entries[address] = Entry(mac, Nud.STALE, updated=now, moved=now)
        return entry

    def _move(self, entry: Entry, mac: bytes, now: float) -> None:
        if mac != entry.mac:
            entry.mac, entry.moved, entry.updated = mac, now, now

    def _set_state(self, address: int, entry: Entry, state: Nud, now: float, since: float = -inf) -> None:
        """`since`: when a neighbour that becomes REACHABLE was last known to be so, if not just now."""
        if entry.state is not state:
            entry.updated = now
        entry.state, entry.probes, entry.due = state, 0, inf
        if state is Nud.STALE:
            self._usable.pop(address, None)
            return
        self._usable[address] = entry.mac
        self._entries[address] = self._entries.pop(address)  # the most recently used
        if state is Nud.REACHABLE:
            entry.due = (now if since == -inf else since) + self._reachable_time(now)
        elif state is Nud.DELAY:
            entry.due = now + DELAY_PROBE_S
        self._due = min(self._due, entry.due)

    def _reachable_time(self, now: float) -> float:
        """neigh_rand_reach_time: chosen anew every five minutes."""
        if now >= self._chosen_at + RANDOMISE_S:
            self._reachable_s = BASE_REACHABLE_S * self._chance.uniform(0.5, 1.5)
            self._chosen_at = now
        return self._reachable_s

    def flush(self) -> None:
        """The link went down: nothing is known of it, and packets that wait for an answer are lost without a
        word (neigh_ifdown, neigh_carrier_down)."""
        for asked in self._incomplete.values():
            asked.drop()
        for known in (self._usable, self._entries, self._incomplete, self._failed):
            known.clear()
        self._due = inf

    # --- time

    def next_timeout(self) -> float | None:
        return None if self._due == inf else self._due

    def handle_timeout(self, now: float) -> None:
        """States that are over end, and questions are asked again."""
        if now < self._due:
            return
        for address, entry in [*self._entries.items()]:
            if entry.due <= now:
                self._expire(address, entry, now)
        for address, asked in [*self._incomplete.items()]:
            if asked.retry_at <= now:
                self._ask_again(address, asked, now)
        self._arm()

    def _arm(self) -> None:
        due = min((entry.due for entry in self._entries.values()), default=inf)
        self._due = min((asked.retry_at for asked in self._incomplete.values()), default=due)
        self._due = min(self._due, due)

    def _expire(self, address: int, entry: Entry, now: float) -> None:
        """neigh_timer_handler."""
        if entry.state is not Nud.PROBE:
            progress = self._progress_at(address)
            held = self._reachable_time(now) if entry.state is Nud.REACHABLE else DELAY_PROBE_S
            if progress > entry.moved and now < progress + held:
                self._set_state(address, entry, Nud.REACHABLE, now, since=progress)
                return
            if entry.state is Nud.REACHABLE:
                self._set_state(address, entry, Nud.STALE, now)
                return
            self._set_state(address, entry, Nud.PROBE, now)
        if entry.probes >= SOLICITATIONS:
            del self._entries[address], self._usable[address]
            self._fail(address, now)
            return
        entry.probes += 1
        entry.due = now + SOLICIT_S
        self._ask(address, entry.mac)

    def _fail(self, address: int, now: float) -> None:
        """NUD_FAILED. Entries that are too old go, and the oldest ones at the limit."""
        failed = self._failed
        failed.pop(address, None)
        failed[address] = now
        while now >= (oldest := next(iter(failed.values()))) + FAILED_S or len(failed) > CACHE_MAX:
            del failed[next(each for each, since in failed.items() if since == oldest)]

    def _ask_again(self, address: int, asked: _Incomplete, now: float) -> None:
        """Ask again; after the last question the skbs that waited are lost."""
        if asked.asked >= SOLICITATIONS:
            del self._incomplete[address]
            self._fail(address, now)
            for skb in asked.waiting:
                self._unreachable(skb, now)
            asked.drop()
            return
        asked.asked += 1
        asked.retry_at = now + SOLICIT_S
        self._ask(address, None)
