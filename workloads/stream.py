"""A stream from rank 0 to rank 1 for some seconds, or both ways at once, timed by the receiver.

In: a seed. Out: what was moved in which time, and how many bytes are wrong. Owns the order of sending and
receiving. A message of the given size is sent again and again, so nothing has to be computed while the clock
runs. A sample of what is received is compared with it on the way (stream_check); all other bytes are counted
only.
"""

from __future__ import annotations

from typing import Annotated, Any

from nodes.option import Option
from workloads import expected
from workloads.experiment.records import ExperimentConfig
from workloads.machine import Machine
from workloads.measure import Measure
from workloads.options import DAY_S, WorkloadOptions
from workloads.stream_check import StreamCheck
from workloads.transports.transport import Transport
from workloads.workload import CheckResult, Iteration, IterationResult, Words, WorkloadError, WorkloadType

_RANKS = 2


class StreamOptions(WorkloadOptions, frozen=True):
    """How long a stream lasts, and whether rank 1 sends too."""

    duration_s: Annotated[float, Option("Seconds of a stream.", flag="duration", min=0.1, max=DAY_S)] = 2.0
    bidir: Annotated[bool, Option("Stream both ways at once.")] = False


class Stream:
    """As workload.Workload. Both ranks have a connection to the other, also where one of them sends nothing:
    the end of the empty stream confirms that everything was received."""

    def __init__(self, machine: Machine, transport: Transport[Any], size_bytes: int) -> None:
        self._machine = machine
        self._transport = transport
        self._size = size_bytes
        self._options = machine.config.options_as(StreamOptions)
        self._rank = machine.place.rank
        self._peer = 1 - self._rank
        self._sends = self._rank == 0 or self._options.bidir
        self._receives = self._rank == 1 or self._options.bidir
        self.send_to: tuple[int, ...] = (self._peer,)
        self.receive_from: tuple[int, ...] = (self._peer,)
        self.phase = ""

    def fill(self, iteration: Iteration) -> None:
        self._machine.accelerator.fill(self._machine.data, 0, self._message(iteration.seed, self._rank))
        self._check = StreamCheck(self._message(iteration.seed, self._peer))

    def run(self, iteration: Iteration) -> IterationResult:  # noqa: ARG002  the data is there
        runtime, transport, peer = self._machine.runtime, self._transport, self._peer
        duration_s = self._options.duration_s
        began, start_s = runtime.cpu(), runtime.monotonic()
        self.phase = "streaming"
        ticket = transport.send_stream(peer, self._size, duration_s if self._sends else 0.0)
        received = transport.receive_stream(peer, self._size, self._size, self._check)
        transport.wait_reusable(ticket)
        end_s = received.last_at_s if self._receives else runtime.monotonic()
        self.phase = "confirming the stream's end"
        transport.confirm_stream(peer)
        sent, used = transport.stream_sent_bytes(peer), runtime.cpu().since(began)
        return IterationResult(
            size_bytes=received.bytes if self._receives else sent,
            time_s=end_s - start_s,
            app_cpu_s=used.total_s,
            app_system_cpu_s=used.system_s,
            sent_bytes=sent,
            received_bytes=received.bytes,
        )

    def check(self, iteration: Iteration) -> CheckResult:  # noqa: ARG002  it was done on the way
        return CheckResult(self._check.checked_bytes, self._check.wrong_bytes)

    def _message(self, seed: int, sender: int) -> expected.Bytes:
        return expected.message(seed ^ sender, self._size)


def _ranks(config: ExperimentConfig) -> int:  # noqa: ARG001  as every workload's
    """The first two, of two hosts unless a host is asked to have several."""
    return _RANKS


def _data_bytes(config: ExperimentConfig) -> int:
    """A message to send, and one that is received at the same time."""
    return 2 * max(config.sizes_bytes)


def _check(config: ExperimentConfig) -> None:
    if not min(config.sizes_bytes):
        raise WorkloadError("a stream of messages of 0 bytes sends nothing; choose a --size above 0")


def _measure(config: ExperimentConfig) -> Measure:  # noqa: ARG001
    # An element is a byte, so the count is the size; algbw and busbw are goodput in other units.
    return Measure(
        columns=(
            "size", "type", "path", "time", "goodput", "both_ways", "goodput_interval", "retransmits",
            "wrong", "dram", "verdict",
        ),
        size_is_key=False,
        timed="receivers",
        rate="goodput",
        bandwidth_factor=1.0,
        ranks=_RANKS,
        checked="sample",
        headline="As a stream",
        figure_title="Goodput of a single stream, by data path",
    )  # fmt: skip


STREAM = WorkloadType(
    name="stream",
    description="rank 0 sends to rank 1 for --duration seconds, with --bidir also back",
    options=StreamOptions,
    default_sizes="1M",
    ranks=_ranks,
    words=lambda _: Words("byte", "none", "none", 1),
    check=_check,
    data_bytes=_data_bytes,
    iterations=lambda _: [(False, False)],  # the seconds of one connection, slow start included
    flows=lambda _: 1,
    measure=_measure,
    start=Stream,
    ranks_per_host=1,
)
