"""The row of samples.csv: what one rank measured in one iteration, and what each column means.

In: nothing. Out: a record that crosses processes (Ray pickles it) and ends in samples.csv. Owns the file's
columns: behind each type stand its unit and its meaning, of which docs/reference/columns.md is made.
"""

from __future__ import annotations

from typing import Annotated

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """One row of samples.csv: one iteration of one rank. Its fields are the columns, in order.

    DRAM, device, PCIe and fabric bytes are modelled by the ledger; what the endpoint counted of them is in
    the row of one rank of the host (workloads.experiment.host_share). Seconds are measured, and so are
    context switches, of all threads of the process. A stream's goodput is the receiving rank's: a sender's
    `time_s` may end before its last byte is received.
    """

    path: Annotated[str, "", "`devmem`, `bounce` or `kernel`"]
    workload: Annotated[str, "", "as `--workload`"]
    size_bytes: Annotated[
        int, "B", "bytes of the array; of a stream, what this rank received, or sent if it only sends"
    ]
    count_elements: Annotated[int, "elements", "size_bytes / bytes of an element"]
    type: Annotated[str, "", "`float`, `half`, `bfloat16`, `int32` or `byte`"]
    redop: Annotated[str, "", "`sum`, `prod`, `min`, `max`, `avg`, or `none` where nothing is reduced"]
    root: Annotated[str, "", "rank of the root, `-1` where a collective has none, or `none` of a stream"]
    in_place: Annotated[int, "0 or 1", "1: the result replaced the input"]
    repetition: Annotated[int, "", "number of the repetition, from 0"]
    iteration: Annotated[int, "", "number of the iteration in its trial, from 0, warm-up included"]
    warmup: Annotated[int, "0 or 1", "1: a warm-up iteration, which no time is taken from"]
    rank: Annotated[int, "", "number of the rank, from 0"]
    host: Annotated[str, "", "name of the rank's host"]
    nic: Annotated[
        str, "",
        "the NIC on the PCIe switch of the rank's accelerator; with `--flows` it may use others as well",
    ]
    nranks: Annotated[int, "ranks", "how many ranks take part"]
    time_s: Annotated[
        float, "s",
        "measured: from the barrier until the rank has its whole result; at a stream's receiver until the "
        "last byte arrived",
    ]
    compute_s: Annotated[
        float | None, "s", "measured: how long the rank's accelerator computed, of a pattern that computes"
    ]
    overlapped_s: Annotated[
        float | None, "s",
        "measured: that part of `compute_s` in which communication of the rank was under way, its wait for "
        "a peer included. Empty where the workload does not say when that was, as your own function",
    ]
    setup_s: Annotated[
        float | None, "s",
        "measured: from the start until the first batch of training data was on the rank's accelerator. "
        "Empty where its computations are fed with none",
    ]
    stalled_s: Annotated[
        float | None, "s",
        "measured: how long the later training steps waited for their batches, when all else that they "
        "wait for had ended. Likewise empty",
    ]
    operations: Annotated[
        int | None, "", "calls, or reads and writes, that the rank made, of a pattern that has them"
    ]
    latency_p50_us: Annotated[float | None, "us", "measured: median of their latencies"]
    latency_p95_us: Annotated[float | None, "us", "95th percentile"]
    latency_p99_us: Annotated[float | None, "us", "99th percentile"]
    token_return_p50_us: Annotated[
        float | None, "us",
        "measured: for how long the rank held a token, from the recvmsg that handed it out until the rank "
        "had sent its SO_DEVMEM_DONTNEED; the least time within which half of the iteration's tokens were "
        "back, to within 0.8 %. Empty for a path without tokens",
    ]
    token_return_p95_us: Annotated[float | None, "us", "likewise 95 % of them"]
    token_return_p99_us: Annotated[float | None, "us", "likewise 99 % of them"]
    token_return_max_us: Annotated[float | None, "us", "the longest"]
    wrong_elements: Annotated[int | None, "elements", "compared elements that differ from the exact result"]
    checked_bytes: Annotated[
        int, "B",
        "bytes that were compared: all of a collective's result and of a pattern's messages, a sample of a "
        "stream",
    ]
    payload_sent_bytes: Annotated[int, "B", "payload that this rank sent, retransmissions not counted"]
    payload_received_bytes: Annotated[int, "B", "payload that this rank received"]
    payload_staged_bytes: Annotated[
        int, "B",
        "those of the sent and received bytes that this path must stage: by definition of the path, not by "
        "count",
    ]
    payload_local_bytes: Annotated[
        int, "B", "those of the sent and received bytes that stayed in the host, between accelerators"
    ]
    payload_far_bytes: Annotated[
        int, "B",
        "those of the sent and received bytes that went straight between the accelerator and a NIC on "
        "another PCIe switch",
    ]
    payload_staged_received_bytes: Annotated[int, "B", "those of `payload_staged_bytes` that were received"]
    host_dram_read_bytes: Annotated[int, "B", "reads of host DRAM by NIC, CPU and accelerator"]
    host_dram_write_bytes: Annotated[int, "B", "writes of host DRAM by the same"]
    host_dram_derived_bytes: Annotated[
        int, "B", "reads and writes among these that were derived in closed form"
    ]
    device_read_bytes: Annotated[int, "B", "reads of memory of the accelerator, or of the SSD's controller"]
    device_write_bytes: Annotated[int, "B", "writes of it"]
    pcie_switch_bytes: Annotated[
        int, "B", "bytes that a NIC, an accelerator or an SSD moved through the PCIe switch"
    ]
    pcie_root_bytes: Annotated[
        int, "B", "those among them that crossed the root port, to or from host memory"
    ]
    fabric_bytes: Annotated[
        int, "B",
        "bytes that the rank's accelerator read from another one of its host, over the accelerators' fabric",
    ]
    header_host_dram_bytes: Annotated[
        int, "B", "the headers' part of host DRAM reads and writes, one header a super-packet, as moved"
    ]
    header_host_dram_uncoalesced_bytes: Annotated[
        int, "B", "the same with one header a wire packet, as a NIC without coalescing would move"
    ]
    nic_host_write_bytes: Annotated[
        int, "B", "what NICs wrote to host memory, payload and headers: a part of `host_dram_write_bytes`"
    ]
    cpu_host_write_bytes: Annotated[int, "B", "what the CPU wrote to host memory, likewise"]
    rx_packets: Annotated[
        int | None, "packets", "super-packets received; empty for `kernel`, since Linux does not tell"
    ]
    tx_packets: Annotated[int | None, "packets", "super-packets sent; empty for `kernel`"]
    rx_wire_packets: Annotated[int | None, "packets", "wire packets received"]
    tx_wire_packets: Annotated[int | None, "packets", "wire packets sent"]
    rx_alloc_fail: Annotated[
        int | None, "times",
        "how often a receive queue's page pool had no buffer to post; without one the NIC drops packets. "
        "Empty for `kernel`",
    ]
    rx_hw_drops: Annotated[
        int | None, "packets",
        "frames that a NIC of the host took and dropped, as netdev's rx-hw-drops: overruns, wrong "
        "checksums, what it could not split, what a rule discarded. Empty for `kernel`",
    ]
    rx_hw_drop_overruns: Annotated[
        int | None, "packets",
        "those among them that found no buffer posted, or the NIC's FIFO full, as netdev's rx-hw-drop- "
        "overruns. Empty for `kernel`",
    ]
    rx_pool_peak_share: Annotated[
        float | None, "0 to 1",
        "the page pools' occupancy: the highest share of an rx queue's memory (net_iovs of its binding, or "
        "host pages) that packets in the stack and tokens of the application held at once, of all queues of "
        "the host. Buffers that are posted or rest in the pool are not in use. Empty for `kernel` and for "
        "ranks that are not the host's first",
    ]
    tcp_retrans_segs: Annotated[int | None, "segments", "TCP segments sent again"]
    app_cpu_s: Annotated[float, "s", "measured: CPU time of the rank in the timed part"]
    app_system_cpu_s: Annotated[
        float, "s",
        "measured: the part of it that Linux's kernel ran on the rank's behalf, in system calls mostly",
    ]
    endpoint_cpu_s: Annotated[
        float, "s",
        "measured: CPU time of the rank's endpoint, from before the first barrier until after the second",
    ]
    app_voluntary_switches: Annotated[
        int, "", "measured: how often a thread of the rank gave the CPU up to wait, in the timed part"
    ]
    app_involuntary_switches: Annotated[int, "", "measured: how often the scheduler took the CPU from one"]
    endpoint_voluntary_switches: Annotated[
        int, "", "likewise, of the rank's endpoint, from before the first barrier until after the second"
    ]
    endpoint_involuntary_switches: Annotated[int, "", "likewise"]
    machine_steal_s: Annotated[
        float, "s", "measured: CPU time that a hypervisor gave to others meanwhile, all CPUs together"
    ]
    machine_softirq_s: Annotated[
        float, "s",
        "measured: CPU time of Linux's softirq meanwhile, all CPUs together: every rank of an iteration "
        "reads the same counter",
    ]
    start_s: Annotated[float, "s", "when the timed part began, Unix time"]
    end_s: Annotated[float, "s", "when it ended"]
