"""The row of summary.csv: one path and size, in place or not, and what each column means.

In: nothing. Out: the record. Owns the file's columns: behind each type stand its unit and its meaning, of
which docs/reference/columns.md is made.
"""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One path at one size, in place or not; None where something was not recorded.

    Bandwidths are per direction. ci_low and ci_high bound the 95 % interval of the median. Bytes per payload
    byte are modelled, by the model that `rfo` and `ddio_share` tell; seconds, context switches and
    `measured_dram_bytes_per_payload_byte` are measured. A ratio is this row's busbw over the named path's at
    the same size and place.
    """

    workload: Annotated[str, "", "as in samples.csv"]
    size_bytes: Annotated[int, "B", "as in samples.csv; of a stream the median"]
    count_elements: Annotated[int, "elements", "as in samples.csv; of a stream the median"]
    type: Annotated[str, "", "as in samples.csv"]
    redop: Annotated[str, "", "as in samples.csv"]
    root: Annotated[str, "", "as in samples.csv"]
    in_place: Annotated[bool, "", "whether the result replaced the input: True or False"]
    path: Annotated[str, "", "as in samples.csv"]
    mark: Annotated[
        str, "", "what the tables say beside the path's name; the manifest's `notes` have the sentence"
    ]
    nranks: Annotated[int, "ranks", "how many ranks took part"]
    repetitions: Annotated[int, "", "how many repetitions have a value"]
    iterations: Annotated[int, "", "how many iterations have a value, all repetitions together"]
    time_us: Annotated[
        float, "us",
        "median; an iteration's time is the mean over ranks; a pattern's is from the first rank's start to "
        "the last one's end",
    ]
    predicted_us: Annotated[
        float | None, "us",
        "modelled: an iteration's time if the calibrated links were the only limit; empty where no "
        "prediction is made",
    ]
    compute_us: Annotated[float | None, "us", "median over iterations of the mean over ranks that compute"]
    exposed_us: Annotated[
        float | None, "us",
        "likewise, of the time in which the accelerator did not compute: communication that nothing hides",
    ]
    operations_per_s: Annotated[float | None, "1/s", "operations of all ranks over time: IOPS, or calls"]
    latency_p50_us: Annotated[
        float | None, "us", "median over iterations of the mean over ranks that have operations"
    ]
    latency_p95_us: Annotated[float | None, "us", "likewise"]
    latency_p99_us: Annotated[float | None, "us", "likewise"]
    time_min_us: Annotated[float, "us", "the fastest iteration"]
    time_max_us: Annotated[float, "us", "the slowest iteration"]
    algbw_GB_per_s: Annotated[float, "GB/s", "size_bytes / time"]
    busbw_GB_per_s: Annotated[
        float, "GB/s", "algbw times nccl-tests' factor of the workload (a stream's is 1)"
    ]
    busbw_ci_low_GB_per_s: Annotated[
        float | None, "GB/s", "lower end of the 95 % bootstrap interval of the median"
    ]
    busbw_ci_high_GB_per_s: Annotated[float | None, "GB/s", "upper end"]
    goodput_gbit_per_s: Annotated[
        float | None, "Gbit/s", "of a stream: payload that arrived, in one direction"
    ]
    both_ways_gbit_per_s: Annotated[
        float | None, "Gbit/s", "of a stream: goodput times the number of directions"
    ]
    wrong_elements: Annotated[
        int | None, "elements", "over all ranks, repetitions and iterations, warm-up included"
    ]
    checked_share: Annotated[float | None, "0 to 1", "of a stream: bytes compared / bytes received"]
    host_dram_bytes_per_payload_byte: Annotated[
        float | None, "B/B", "modelled: reads and writes of host DRAM"
    ]
    host_dram_read_bytes_per_payload_byte: Annotated[float | None, "B/B", "reads"]
    host_dram_write_bytes_per_payload_byte: Annotated[float | None, "B/B", "writes"]
    host_dram_derived_share: Annotated[
        float | None, "0 to 1", "which part of reads and writes was derived, not recorded"
    ]
    host_dram_expected_bytes_per_payload_byte: Annotated[
        float | None, "B/B", "the closed form: 4 for a staged byte, and 132 bytes a super-packet"
    ]
    host_dram_deviation_percent: Annotated[
        float | None, "%", "how far the modelled value lies above the closed form"
    ]
    rfo: Annotated[bool, "", "whether the columns before suppose read-for-ownership: True or False"]
    ddio_share: Annotated[float, "0 to 1", "which share of NICs' writes they suppose to stay in the cache"]
    header_bytes_per_payload_byte: Annotated[
        float | None, "B/B", "the headers' part, one header a super-packet"
    ]
    header_uncoalesced_bytes_per_payload_byte: Annotated[
        float | None, "B/B", "the same with one header a wire packet"
    ]
    header_dram_bytes_per_wire_packet: Annotated[
        float | None, "B/packet", "DRAM bytes of a wire packet's header: written once and read once"
    ]
    pcie_root_bytes_per_payload_byte: Annotated[float | None, "B/B", "bytes across the PCIe root port"]
    busiest_host_payload_bytes: Annotated[
        float | None, "B", "payload sent and received by the rank that moved most, mean over iterations"
    ]
    cpu_s_per_GB: Annotated[
        float | None, "s/GB", "CPU time of ranks and endpoints for a GB of payload sent or received"
    ]
    app_cpu_s_per_GB: Annotated[float | None, "s/GB", "the ranks' part"]
    endpoint_cpu_s_per_GB: Annotated[float | None, "s/GB", "the endpoints' part"]
    app_voluntary_switches_per_GB: Annotated[
        float | None, "1/GB",
        "measured: context switches of ranks that waited, for a GB of payload sent or received",
    ]
    app_involuntary_switches_per_GB: Annotated[
        float | None, "1/GB", "of ranks from which the scheduler took the CPU"
    ]
    endpoint_voluntary_switches_per_GB: Annotated[float | None, "1/GB", "likewise, of endpoints"]
    endpoint_involuntary_switches_per_GB: Annotated[float | None, "1/GB", "likewise"]
    measured_dram_bytes_per_payload_byte: Annotated[
        float | None, "B/B", "measured: what this machine's own memory moved; empty where it does not tell"
    ]
    steal_fraction_max: Annotated[
        float | None, "0 to 1",
        "stolen CPU time / all CPU time, in the worst repetition; above 0.02 the table warns",
    ]
    tcp_retrans_segs: Annotated[int | None, "segments", "sum over all measured rows"]
    rx_alloc_fail: Annotated[int | None, "times", "sum over all measured rows"]
    verdict: Annotated[str, "", "the worst of the row's repetitions: docs/fidelity.md"]
    verdict_reason: Annotated[str, "", "why, in a clause"]
    stability: Annotated[
        str, "",
        "why the row's times are not steady, a clause for each reason; empty if they are "
        "(docs/results.md#steady-times)",
    ] = ""
    busbw_ratio_to_bounce: Annotated[
        float | None, "", "busbw / busbw of `bounce` at the same size; the other columns likewise"
    ] = None
    busbw_ratio_to_bounce_ci_low: Annotated[float | None, "", "lower end of its 95 % interval"] = None
    busbw_ratio_to_bounce_ci_high: Annotated[float | None, "", "upper end"] = None
    busbw_ratio_to_kernel: Annotated[float | None, "", "busbw / busbw of `kernel` at the same size"] = None
    busbw_ratio_to_kernel_ci_low: Annotated[float | None, "", "lower end of its 95 % interval"] = None
    busbw_ratio_to_kernel_ci_high: Annotated[float | None, "", "upper end"] = None
    rank_time_p50_us: Annotated[
        float | None, "us",
        "across ranks: median of `time_s` of every rank (of a stream, of every receiver) in every measured "
        "iteration",
    ] = None
    rank_time_p95_us: Annotated[float | None, "us", "95th percentile"] = None
    rank_time_p99_us: Annotated[float | None, "us", "99th percentile"] = None
    straggler_spread_p50_us: Annotated[
        float | None, "us",
        "the last rank's time less the first rank's in an iteration: median over the iterations. Empty "
        "where one rank is timed",
    ] = None
    straggler_spread_p95_us: Annotated[float | None, "us", "95th percentile"] = None
    overlapped_us: Annotated[
        float | None, "us",
        "computing while communication was under way: mean over the ranks that compute, median over the "
        "iterations. Beside `exposed_us`, in which the accelerator did not compute",
    ] = None
    token_return_p50_us: Annotated[
        float | None, "us",
        "how long ranks held tokens: mean over ranks of each percentile, median over the iterations",
    ] = None
    token_return_p95_us: Annotated[float | None, "us", "95th percentile"] = None
    token_return_p99_us: Annotated[float | None, "us", "99th percentile"] = None
    token_return_max_us: Annotated[float | None, "us", "the longest of all"] = None
    rx_pool_peak_share: Annotated[
        float | None, "0 to 1", "the highest occupancy of a page pool in any host and iteration"
    ] = None
    rx_hw_drops: Annotated[int | None, "packets", "sum over all measured rows"] = None
    rx_hw_drop_overruns: Annotated[int | None, "packets", "sum over all measured rows"] = None
    link_drops: Annotated[
        int | None, "packets",
        "dropped by the queues of all links, in the row's trials: of both places together, warm-up included",
    ] = None
    app_user_cpu_s_per_GB: Annotated[float | None, "s/GB", "the ranks' user time"] = None
    app_system_cpu_s_per_GB: Annotated[float | None, "s/GB", "the ranks' system time"] = None
    softirq_cpu_s_per_GB: Annotated[
        float | None, "s/GB",
        "softirq of the whole machine: links and switches, and the receiving half of Linux's TCP",
    ] = None
    application_cpu_s_per_GB: Annotated[
        float | None, "s/GB",
        "the application's CPU time: all of the ranks', on path `kernel` their user time",
    ] = None
    network_cpu_s_per_GB: Annotated[
        float | None, "s/GB",
        "the network stack's CPU time: the endpoints', on path `kernel` the ranks' system time",
    ] = None
    network_cpu_of: Annotated[str, "", "whose CPU time that is, or why it is unknown"] = ""
    setup_us: Annotated[
        float | None, "us",
        "until the first batch of training data was on the accelerator: mean over the ranks that are fed, "
        "median over the iterations",
    ] = None
    stall_share: Annotated[
        float | None, "0 to 1",
        "of the training loop's time, `time_s - setup_s` of these ranks, in which their steps waited for "
        "data: median over the iterations",
    ] = None

    @property
    def label(self) -> str:
        """The path with its mark."""
        return f"{self.path} ({self.mark})" if self.mark else self.path

    @property
    def word(self) -> str:
        """The same as one word, so that a line of a table has as many words whatever the mark."""
        return f"{self.path}({'-'.join(self.mark.split())})" if self.mark else self.path

    @property
    def derived(self) -> bool:
        """Whether part of the host DRAM figure was derived in closed form and not recorded."""
        return bool(self.host_dram_derived_share)
