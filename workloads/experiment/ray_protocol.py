"""The messages between run.py and the process that Ray lives in, pickled, over its stdin and stdout.

In: requests of `workloads.experiment.ray_session`. Out: replies and events of
`workloads.experiment.ray_server`. Owns their shapes and the two ends. A request is answered by one reply;
events come at any time.
"""

from __future__ import annotations

import threading
from multiprocessing.connection import Connection

import msgspec

from workloads.experiment.ledger_series import LedgerReading
from workloads.experiment.records import ExperimentConfig, Operation, RankPlace, Sample, Trial
from workloads.experiment.tcp_info import TcpInfoSample


class Start(msgspec.Struct, frozen=True):
    """The first request: Ray in `directory`, and a rank at each place."""

    directory: str
    config: ExperimentConfig
    places: tuple[RankPlace, ...]


class Run(msgspec.Struct, frozen=True):
    """One trial on all ranks."""

    trial: Trial


class Close(msgspec.Struct, frozen=True):
    """The last request: ranks give back what they hold."""


class Started(msgspec.Struct, frozen=True):
    """All ranks are there. `pids`: theirs, in Ray's pid namespace."""

    pids: tuple[int, ...]


class Rows(msgspec.Struct, frozen=True):
    """What a trial's ranks measured; what they did, and how their connections did, if that is kept; and each
    rank's readings of ledgers."""

    samples: tuple[Sample, ...]
    operations: tuple[Operation, ...] = ()
    tcp_info: tuple[TcpInfoSample, ...] = ()
    readings: tuple[tuple[LedgerReading, ...], ...] = ()


class Closed(msgspec.Struct, frozen=True):
    """All ranks have closed."""


class Alive(msgspec.Struct, frozen=True):
    """An event: work goes on."""


class Failed(msgspec.Struct, frozen=True):
    """An event, and the last message: `reason` is one sentence for the user; `of_rank`: a rank's own, not
    Ray's."""

    reason: str
    of_rank: bool


Request = Start | Run | Close
Reply = Started | Rows | Closed
Message = Reply | Alive | Failed


class Outlet:
    """The end that requests or messages go into; any thread may send."""

    def __init__(self, descriptor: int) -> None:
        self._pipe = Connection(descriptor, readable=False)
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Raises OSError when the other process has ended."""
        with self._lock:
            self._pipe.send(message)

    def close(self) -> None:
        self._pipe.close()


def inlet(descriptor: int) -> Connection:
    """The end that they come out of, by recv: EOFError when the other process has ended."""
    return Connection(descriptor, writable=False)
