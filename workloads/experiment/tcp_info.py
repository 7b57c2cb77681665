"""TCP_INFO of a rank's connections while its trial runs: rows of tcp_info.csv.

In: the connections by which the rank sends, a period. Out: rows. Owns a thread between `with` and its end. A
sample is one system call a connection, which holds up neither the stack nor a call that is under way; a
sample that comes late does not make the next ones late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Annotated, Any

import msgspec

from nodes.client.runtime import Runtime
from workloads.experiment.records import Trial
from workloads.transports.rails import Flow
from workloads.transports.tcp_info import tcp_info


class TcpInfoSample(msgspec.Struct, frozen=True, kw_only=True):
    """One row of tcp_info.csv: a connection by which `rank` sends to `peer`, at `time_s` (Unix time). Its
    fields are the columns, in order; those behind `time_s` are workloads.transports.tcp_info's."""

    path: Annotated[str, "", "as in samples.csv"]
    size_bytes: Annotated[int, "B", "the trial's size; of a stream that of a message"]
    repetition: Annotated[int, "", "as in samples.csv"]
    rank: Annotated[int, "", "the rank that sends"]
    peer: Annotated[int, "", "the rank that it sends to"]
    flow: Annotated[int, "", "which of the connections between them, from 0"]
    time_s: Annotated[float, "s", "when, Unix time, as `start_s` in samples.csv"]
    ca_state: Annotated[
        int, "", "congestion control: 0 open, 1 disorder, 2 window reduced, 3 recovery, 4 loss"
    ]
    snd_mss_bytes: Annotated[int, "B", "of a segment"]
    cwnd_segs: Annotated[int, "segments", "the congestion window"]
    ssthresh_segs: Annotated[int | None, "segments", "the slow start threshold; empty before the first loss"]
    srtt_us: Annotated[int | None, "us", "the smoothed round-trip time; empty before the first measurement"]
    rttvar_us: Annotated[int | None, "us", "its mean deviation"]
    rto_us: Annotated[int, "us", "the retransmission timeout"]
    unacked_segs: Annotated[int, "segments", "sent and not acknowledged"]
    lost_segs: Annotated[int, "segments", "those among them that are taken for lost"]
    retrans_segs: Annotated[int, "segments", "sent again and not acknowledged"]
    total_retrans_segs: Annotated[int, "segments", "sent again since the connection began"]
    bytes_acked: Annotated[int, "B", "acknowledged since the connection began"]


class TcpInfoSampler:
    """One sample at once, one every `period_s`, one at the end. `time`: as Surroundings'. A
    connection that cannot be asked any more ends the sampling: what broke it is told by the rank."""

    def __init__(
        self,
        runtime: Runtime,
        period_s: float,
        trial: Trial,
        rank: int,
        sent_by: Sequence[tuple[Flow, Any]],
        time: Callable[[], float],
    ) -> None:
        self._runtime = runtime
        self._time = time
        self._period_s = period_s
        self._trial = trial
        self._rank = rank
        self._connections = sent_by
        self._changed = runtime.condition()
        self._ended = False
        self.rows: list[TcpInfoSample] = []

    def __enter__(self) -> TcpInfoSampler:
        began_s = self._runtime.monotonic()
        with suppress(OSError):
            self._sample()  # not in the thread, which may begin when what is sampled is under way
        self._thread = self._runtime.spawn(lambda: self._sample_on(began_s), f"tcp-info-{self._rank}")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def _sample_on(self, next_s: float) -> None:
        ended = False
        with suppress(OSError):
            while not ended:
                now = self._runtime.monotonic()
                next_s += self._period_s * max(1, -(-(now - next_s) // self._period_s))
                with self._changed:
                    ended = bool(self._changed.wait_for(lambda: self._ended, next_s - now))
                self._sample()

    def _sample(self) -> None:
        self.rows += [self._row(flow, sock) for flow, sock in self._connections]

    def _row(self, flow: Flow, sock: Any) -> TcpInfoSample:
        info = msgspec.structs.asdict(tcp_info(sock))
        trial = self._trial
        return TcpInfoSample(
            path=trial.path,
            size_bytes=trial.size_bytes,
            repetition=trial.repetition,
            rank=self._rank,
            peer=flow.peer,
            flow=flow.number,
            time_s=self._time(),
            **info,
        )
