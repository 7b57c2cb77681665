"""The messages between a fabric's client and its builder: JSON lines over the builder's stdin and stdout.

In: requests of `topologies.mininet.fabric`. Out: replies and events of `topologies.mininet.builder`. Owns
their shapes. A reply carries its request's `id`, so several requests may wait for replies. Pids are those of
the client's pid namespace.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from topologies.calibration import LinkCalibration
from topologies.mininet.probing import Probes, Rate, Stamps, Train
from topologies.part import Part


class Build(msgspec.Struct, frozen=True, tag=True):
    """The first request: make this part of a network."""

    id: int
    part: Part


class Spawn(msgspec.Struct, frozen=True, tag=True):
    """Start a process in a host; it belongs to the fabric until it is terminated or the fabric closes."""

    id: int
    host: str
    argv: tuple[str, ...]
    log_path: str


class Run(msgspec.Struct, frozen=True, tag=True):
    """Run a command in a host to its end, or kill it after `timeout_s` seconds."""

    id: int
    host: str
    argv: tuple[str, ...]
    timeout_s: float


class Terminate(msgspec.Struct, frozen=True, tag=True):
    """End a spawned process: SIGTERM, then SIGKILL."""

    id: int
    pid: int


class Describe(msgspec.Struct, frozen=True, tag=True):
    """Ask for the limits of every interface of the network."""

    id: int


class Calibrate(msgspec.Struct, frozen=True, tag=True):
    """Measure the links that something is asked of; nothing else may use them meanwhile."""

    id: int


class Probe(msgspec.Struct, frozen=True, tag=True):
    """At one end of a link to another machine, in the direction from the interface `sender`: open the end,
    send or receive probes or a train, rest until the link is, close it. `sent`: by the other end, where
    this one receives."""

    id: int
    sender: str
    action: Literal["open", "probes", "train", "rest", "close"]
    sent: Probes | Train | None = None


class SetLinks(msgspec.Struct, frozen=True, tag=True):
    """Take these links down, by name, and all others up; give those of `rates` that rate, in bits a second,
    and all others their own."""

    id: int
    down: tuple[str, ...]
    rates: dict[str, int]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The network is built. `builder_pid`: process 1 of its namespaces; `shell_pids`: those of `nodes`."""

    id: int
    builder_pid: int
    nodes: tuple[str, ...]
    shell_pids: tuple[int, ...]


class Spawned(msgspec.Struct, frozen=True, tag=True):
    id: int
    pid: int


class Completed(msgspec.Struct, frozen=True, tag=True):
    """How a command ended: `status` as waitpid's exit code, negative for a signal; text decoded as UTF-8."""

    id: int
    status: int
    stdout: str
    stderr: str
    timed_out: bool = False


class Terminated(msgspec.Struct, frozen=True, tag=True):
    id: int
    status: int


class Interface(msgspec.Struct, frozen=True):
    """One interface as the kernel reports it; bytes, None where this kernel has no such attribute."""

    node: str
    name: str
    ifindex: int
    mtu: int
    gso_max_bytes: int
    gro_max_bytes: int | None
    gso_ipv4_max_bytes: int | None
    gro_ipv4_max_bytes: int | None


class Described(msgspec.Struct, frozen=True, tag=True):
    id: int
    interfaces: tuple[Interface, ...]


class Calibrated(msgspec.Struct, frozen=True, tag=True):
    id: int
    links: tuple[LinkCalibration, ...]


class Probed(msgspec.Struct, frozen=True, tag=True):
    """What an end sent, or received; None where it did neither."""

    id: int
    found: Probes | Stamps | Train | Rate | None


class LinksSet(msgspec.Struct, frozen=True, tag=True):
    """`time_s`: Unix time when the links were so; routes follow at once."""

    id: int
    time_s: float


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The request could not be met; `reason` is one sentence for the user."""

    id: int
    reason: str


class ChildExited(msgspec.Struct, frozen=True, tag=True):
    """An event: a spawned process, or a node's own shell, ended without being asked to. `status` as in
    Completed."""

    host: str
    pid: int
    status: int
    argv: tuple[str, ...]


Request = Build | Spawn | Run | Terminate | Describe | Calibrate | Probe | SetLinks
Reply = Ready | Spawned | Completed | Terminated | Described | Calibrated | Probed | LinksSet | Refused
requests = msgspec.json.Decoder(Request)
answers: msgspec.json.Decoder[Reply | ChildExited] = msgspec.json.Decoder(Reply | ChildExited)
encoder = msgspec.json.Encoder()
