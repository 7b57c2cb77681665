"""A stream from rank 0 to rank 1 for some seconds, or both ways at once, timed where it arrives.

In: a seed. Out: what was timed, and how many bytes are wrong. Owns nothing but the order of things.
A message of the given size is sent again and again, so nothing has to be computed while the clock runs. A
sample of what arrives is compared with it on the way (stream_check); all other bytes are counted only.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from workloads import expected
from workloads.experiment.records import Checked, ExperimentConfig, Timed
from workloads.machine import Machine
from workloads.stream_check import StreamCheck
from workloads.transports.transport import Transport


class PointToPoint:
    """`phase` says at any time what is being done, for error messages."""

    description: ClassVar[str] = "rank 0 sends to rank 1 for --duration seconds, with --bidir also back"
    type: ClassVar[str] = "byte"
    redop: ClassVar[str] = "none"
    root: ClassVar[str] = "none"
    element_bytes: ClassVar[int] = 1

    def __init__(self, machine: Machine, transport: Transport[Any], size_bytes: int) -> None:
        self._machine = machine
        self._transport = transport
        self._size = size_bytes
        self._rank = machine.place.rank
        self._sends = self._rank == 0 or machine.config.bidir
        self._receives = self._rank == 1 or machine.config.bidir
        self.phase = ""

    @staticmethod
    def ranks(config: ExperimentConfig) -> int:  # noqa: ARG004  as every workload's
        """The first two hosts take part."""
        return 2

    @staticmethod
    def iterations(config: ExperimentConfig) -> tuple[int, int]:  # noqa: ARG004
        """(warm-up, measured): the seconds of one connection, slow start included."""
        return 0, 1

    def fill(self, seed: int) -> None:
        self._machine.accelerator.fill(self._machine.data, 0, self._message(seed, self._rank))
        self._check = StreamCheck(self._message(seed, 1 - self._rank))

    def run(self) -> Timed:
        config = self._machine.config
        cpu_s, start_s = time.process_time(), time.monotonic()
        self.phase = "streaming"
        ticket = self._transport.send_stream(self._size, config.duration_s if self._sends else 0.0)
        arrived = self._transport.receive_stream(self._size, self._size, self._check)
        self._transport.wait_reusable(ticket, config.duration_s + config.timeout_s)
        end_s = arrived.last_at_s if self._receives else time.monotonic()
        self.phase = "confirming the stream's end"
        self._transport.confirm_stream()
        sent = self._transport.stream_sent_bytes
        return Timed(
            size_bytes=arrived.bytes if self._receives else sent,
            time_s=end_s - start_s,
            app_cpu_s=time.process_time() - cpu_s,
            sent_bytes=sent,
            received_bytes=arrived.bytes,
        )

    def check(self, seed: int) -> Checked:  # noqa: ARG002  it was done on the way
        return Checked(self._check.checked_bytes, self._check.wrong_bytes)

    def _message(self, seed: int, sender: int) -> expected.Bytes:
        return expected.message(seed ^ sender, self._size)
