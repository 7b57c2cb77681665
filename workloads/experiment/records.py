"""The records of an experiment: what was asked for, which ranks take part, what each rank measured.

In: options, and what ranks find. Out: records that cross processes (Ray pickles them) and end in
manifest.json and samples.csv. Owns nothing. Units are in the names; None means "not known here" and becomes
an empty cell.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from nodes.host_config import HostOptions
from nodes.machine.accelerator import Slot
from nodes.option import Option
from nodes.quantity import parse_duration, parse_size
from workloads.experiment.sample import Sample as Sample  # the longest of the records, in a file of its own
from workloads.options import DAY_S, WorkloadOptions
from workloads.sizes import parse_sizes

CLOCKS = (_, SIMULATED) = ("machine", "simulated")
PAYLOADS = (_, COUNTED) = ("carried", "counted")
SEED_MAX = (1 << 63) - 1  # a number that any reader of manifest.json holds

O = TypeVar("O", bound=WorkloadOptions)  # noqa: E741  options


class ExperimentError(RuntimeError):
    """Ray or one of its processes failed; str() is one sentence."""


class RankFailure(RuntimeError):
    """A rank could not go on; str() is one sentence naming rank, host, path and phase."""


class SamplesError(ExperimentError):
    """samples.csv or usage.csv could not be written on; str() is one sentence. The trials before are kept."""


class NetworkConfig(HostOptions, frozen=True, kw_only=True):
    """What a network's links and hosts are like. `pcap` and `trace`: every host writes a file."""

    mtu: Annotated[int, Option("Bytes of an IP packet on the wire.")] = 1500
    link: Annotated[
        str, Option("Of every link, as 1Gbit,50us or 1Mbit/16Mbit,loss=1%.", default="none asked")
    ] = ""
    bottleneck: Annotated[
        str, Option("Rate and delay of the shape's bottleneck, likewise.", default="as the other links")
    ] = ""
    routers: Annotated[bool, Option("Switches of FILE.py,NAME, a Mininet Topo, become routers.")] = False
    allow_uncalibrated: Annotated[
        bool, Option("Go on when a link is further than 5 % off from what was asked.")
    ] = False
    fault: Annotated[
        tuple[str, ...],
        Option("Hurt something on purpose: KIND:TARGET,at=TIME,for=TIME. May be repeated.", many=True),
    ] = ()
    faults: Annotated[str, Option("FILE.yaml with more of them.", default="no schedule")] = ""
    traffic: Annotated[
        tuple[str, ...],
        Option("Background traffic: KIND:load=0.3,from=HOST,to=HOST. May be repeated.", many=True),
    ] = ()
    pcap: Annotated[bool, Option("Write HOST.pcapng into the run's directory.")] = False
    trace: Annotated[bool, Option("Write HOST.trace.jsonl: the page pools' events.")] = False


def sizes(text: str) -> tuple[int, ...]:
    """Bytes of a list of sizes and ranges. Raises QuantityError."""
    return tuple(parse_sizes(text))


def names(text: str) -> tuple[str, ...]:
    """Comma-separated names, each once, in the order given."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


class ExperimentConfig(NetworkConfig, frozen=True):
    """What was asked for, with all defaults resolved: manifest.json's `config`. `options` are the
    workload's own; `ranks`: how many there are on all hosts, 0: one a host. `hosts_of_ranks`: the host of
    each, by number, () for one a host."""

    topology: Annotated[
        str,
        Option(
            "A shape, as leaf_spine:leaves=4 (see `list`), FILE.yaml or FILE.py,NAME.",
            alias="custom",
            default="star",
        ),
    ]
    hosts: Annotated[int, Option("How many hosts.", default="the shape's, of star 4")]
    workload: Annotated[str, Option("What the ranks do: see `list`, or FILE.py:NAME.", default="all_reduce")]
    sizes_bytes: Annotated[
        tuple[int, ...],
        Option(
            "Bytes: 1M, 8K,64K, 1M:16M:x4, 1M:4M:+1M.",
            flag="size",
            parse=sizes,
            default="1M:16M:x4, stream: 1M messages",
        ),
    ]
    paths: Annotated[
        tuple[str, ...],
        Option(
            "Data paths, comma-separated; see `list`.",
            flag="path",
            parse=names,
            default="devmem,bounce,kernel; with --impair without kernel",
        ),
    ]
    options: WorkloadOptions
    ranks_per_host: Annotated[
        int | None,
        Option(
            "Ranks of each host, every one on an accelerator of its own.", metavar="N", min=1, max=64,
            default="one an accelerator",
        ),
    ] = None  # fmt: skip
    ranks: int = 0
    hosts_of_ranks: tuple[int, ...] = ()
    repeat: Annotated[int, Option("Repetitions, each with fresh connections.", min=1)] = 5
    niov_bytes: Annotated[
        int,
        Option(
            "Bytes of a net_iov, 4K to 64K.",
            flag="niov-size",
            parse=parse_size,
            default="the kernel's largest, 64K or 4K",
        ),
    ] = 65536
    timeout_s: Annotated[
        float,
        Option(
            "Seconds without any progress after which a rank gives up.",
            flag="timeout",
            min=0.1,
            max=DAY_S,
            default="10, more on a bad wire",
        ),
    ] = 10.0
    clock: Annotated[
        Literal["machine", "simulated"],
        Option("Whose seconds: this machine's, or simulated ones (docs/simulation.md).", choices=CLOCKS),
    ] = "machine"
    machine: Annotated[
        str, Option("What each host is like, with --clock simulated: see `list`.", metavar="NAME")
    ] = "infinite"
    payload: Annotated[
        Literal["carried", "counted"],
        Option(
            "With --clock simulated: every byte is carried and checked, or its length alone is.",
            choices=PAYLOADS,
        ),
    ] = "carried"
    wire_packets: Annotated[
        bool,
        Option("With --clock simulated: carry each wire packet by itself, to see what super-packets hide."),
    ] = False
    seed: Annotated[
        int, Option("Of data, the order of trials, the times of faults, traffic.", min=0, max=SEED_MAX)
    ] = 1
    clean_kernel_wire: Annotated[
        bool, Option("With --impair, which path kernel does not pass, run path kernel without it.")
    ] = False
    tcp_info_s: Annotated[
        float | None,
        Option(
            "Sample TCP_INFO of every sending connection so often, as 20ms: writes tcp_info.csv.",
            flag="tcp-info",
            parse=parse_duration,
            metavar="TIME",
            min=0.001,
            max=60.0,
            default="not at all",
        ),
    ] = None
    require_faithful: Annotated[
        bool, Option("End with status 3 if a row's verdict is not `faithful`: see docs/fidelity.md.")
    ] = False

    def options_as(self, record: type[O]) -> O:
        """`options`, known to be of that workload's record. Raises TypeError if they are another's."""
        if not isinstance(self.options, record):
            found = type(self.options).__name__
            raise TypeError(f"workload {self.workload} has {found}, not {record.__name__}")
        return self.options


class NicPlace(msgspec.Struct, frozen=True):
    """A NIC of a host. `kernel_address`: of Linux's own stack, "" for the one that the host tells. NICs with
    the same number of `network` reach each other without passing a host. `rail`: its number in the host."""

    interface: str
    kernel_address: str = ""
    network: int = 0
    rail: int = 0


class LocalRank(msgspec.Struct, frozen=True):
    """A rank of a host, and the interface that its accelerator shares a PCIe switch with."""

    rank: int
    nic: str


class RankPlace(msgspec.Struct, frozen=True):
    """Where a rank is: its host, by the AF_UNIX path of that host's system-call channel, and there the slot
    of its accelerator, which says which NIC is its own ("": the first). `nics`: all of the host, in order.
    `local`: all ranks of the host, in order; () for this one alone. `pace`: the file that says how slow its
    accelerator is made (nodes.machine.pace); "" for none. `machines`: where the experiment is on several, the
    address of every rank's machine, in order."""

    rank: int
    host: str
    channel: str
    slot: Slot = Slot()
    nics: tuple[NicPlace, ...] = ()
    local: tuple[LocalRank, ...] = ()
    pace: str = ""
    machines: tuple[str, ...] = ()

    @property
    def nic(self) -> NicPlace:
        """The rank's own: the one on its accelerator's PCIe switch."""
        own = (nic for nic in self.nics if nic.interface == self.slot.nic)
        return next(own, NicPlace(self.slot.nic))

    def nic_to(self, network: int) -> NicPlace:
        """The NIC by which a NIC of that network is reached: the rank's own, or the first of the host."""
        reaching = (nic for nic in (self.nic, *self.nics) if nic.network == network)
        return next(reaching, self.nic)

    def nics_for(self, flows: int) -> tuple[NicPlace, ...]:
        """Those that so many connections to a peer take in turns: the rank's own, and its share of the NICs
        that are no rank's own, which the host's ranks are dealt in turns."""
        ranks = [each.rank for each in self.local] or [self.rank]
        owned = {each.nic for each in self.local} | {self.nic.interface}
        free = [nic for nic in self.nics if nic.interface not in owned]
        return (self.nic, *free[ranks.index(self.rank) :: len(ranks)])[:flows]

    def sharing(self, nic: NicPlace) -> tuple[int, ...]:
        """The ranks that use it, which this one does too, in order: one that is no rank's own has one."""
        return self.on_nic if nic == self.nic else (self.rank,)

    @property
    def on_nic(self) -> tuple[int, ...]:
        """The ranks whose own NIC is this one's, in order."""
        return tuple(each.rank for each in self.local if each.nic == self.slot.nic) or (self.rank,)

    @property
    def leads_nic(self) -> bool:
        """Whether the rank is its NIC's first: it alone changes what all of them share."""
        return self.on_nic[0] == self.rank

    @property
    def leads_host(self) -> bool:
        return not self.local or self.local[0].rank == self.rank

    def is_local(self, rank: int) -> bool:
        """Whether that rank is another one of this host."""
        return rank != self.rank and any(each.rank == rank for each in self.local)


class Trial(msgspec.Struct, frozen=True):
    """One measured unit: fresh connections over one path, for one size, in one repetition."""

    path: str
    size_bytes: int
    repetition: int


class Address(msgspec.Struct, frozen=True):
    """Where a rank listens for one flow of a peer. `network`, `rail`: see NicPlace."""

    host: str
    port: int
    network: int = 0
    rail: int = 0


class RankAddresses(msgspec.Struct, frozen=True):
    """Where ranks listen: for payload, by rank, and for a barrier's connection (see Barrier).

    What a rank returns from `listen` has its own addresses, by the peer that is to connect there. What it
    takes in `connect` has those where its peers listen for it, by peer, and the next rank's barrier.
    """

    payload: dict[int, tuple[Address, ...]]
    barrier: bytes


class Operation(msgspec.Struct, frozen=True):
    """One row of operations.csv: a node of a trace as one rank did it in one measured iteration. Seconds are
    of the machine's monotonic clock; in the file they begin with the iteration's first node of any rank."""

    path: Annotated[str, "", "as in samples.csv"]
    size_bytes: Annotated[int, "B", "likewise"]
    repetition: Annotated[int, "", "likewise"]
    iteration: Annotated[int, "", "likewise"]
    rank: Annotated[int, "", "likewise"]
    node: Annotated[int, "", "the node's number in the rank's trace"]
    name: Annotated[str, "", "its name"]
    kind: Annotated[str, "", "`compute`, `collective`, `send` or `receive`"]
    bytes: Annotated[int, "B", "of the message, or of the collective's whole array"]
    begin_s: Annotated[
        float, "s",
        "when it began, after the iteration's first node of any rank; what it waited for is not in it",
    ]
    end_s: Annotated[float, "s", "when it ended; a send ends when the stack has accepted it"]
