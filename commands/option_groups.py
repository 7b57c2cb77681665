"""The groups under which help and docs/reference/commands.md show the many options of a run.

In: flags. Out: the title of each flag's group, in the order in which a person needs them; help in which every
group is a section. Owns which option is in which group.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer import core

GROUPS = {
    "Network": (
        "--topology", "--hosts", "--link", "--bottleneck", "--mtu", "--routers", "--allow-uncalibrated",
    ),
    "Workload": (
        "--workload", "--size", "--ranks-per-host", "--flows", "--iters", "--warmup", "--warmup-time",
        "--pause", "--no-check",
    ),
    "Transport and NIC": (
        "--path", "--kernel", "--nic", "--header-buffer", "--niov-size", "--queues", "--rx-buf-len",
        "--gso-max", "--tcp-ecn", "--tcp-rmem", "--tcp-wmem",
    ),
    "Measuring": (
        "--repeat", "--timeout", "--seed", "--tcp-info", "--operations", "--pcap", "--trace",
        "--require-faithful",
    ),
    "Output": ("--results", "--run-id", "--json", "--columns", "--parquet"),
    "Impairments, faults and background traffic": (
        "--impair", "--clean-kernel-wire", "--fault", "--faults", "--traffic", "--respawn",
    ),
    "Machine and simulation": (
        "--host-mem-bw", "--pcie-bw", "--clock", "--machine", "--payload", "--wire-packets", "--across",
        "--on", "--ray-address", "--tunnel-port", "--rootless", "--mode", "--group",
    ),
    "Collectives": ("--dtype", "--op", "--root", "--algorithm", "--place", "--chunk"),
    "Training workloads": (
        "--model", "--layers", "--tokens", "--tflops", "--mfu", "--element", "--bucket", "--prefetch",
        "--microbatches", "--top-k", "--asynchronous",
    ),
    "Storage workloads": (
        "--storage-hosts", "--storage-us", "--steps", "--compute-ms", "--depth", "--ios", "--iodepth",
        "--rwmixread", "--initiator-memory", "--target-memory", "--block",
    ),
    "Messages, streams and traces": (
        "--duration", "--bidir", "--messages", "--window", "--calls", "--answer", "--trace-dir",
        "--time-scale",
    ),
}  # fmt: skip
_REST = "Options"  # a command's that has no groups, and --help

_TITLES = {flag: title for title, flags in GROUPS.items() for flag in flags}
_ORDER = {flag: number for number, flag in enumerate(_TITLES)}


def title(flag: str) -> str:
    """Of the option's group."""
    return _TITLES[flag]


def place(flag: str) -> int:
    """Of the option among all that have a group."""
    return _ORDER[flag]


def sections(parameters: Iterable[Any]) -> dict[str, list[Any]]:
    """typer's options by the titles of their groups, those without a group last."""
    found: dict[str, list[Any]] = {}
    for each in parameters:
        found.setdefault(each.rich_help_panel or _REST, []).append(each)
    rest = found.pop(_REST, [])
    return found | ({_REST: rest} if rest else {})


def _write(command: Any, context: Any, formatter: Any) -> None:
    """A section a group, which typer itself writes only as boxes, whose frames would be among what `grep`
    finds and whose markup takes words in brackets away."""
    parameters = command.get_params(context)
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    options = [each for each in parameters if each.param_type_name == "option"]
    for name, members in ({"Arguments": arguments} | sections(options)).items():
        records = [each.get_help_record(context) for each in members]
        shown = [each for each in records if each is not None]
        if shown:
            with formatter.section(name):
                formatter.write_dl(shown)


class GroupedCommand(core.TyperCommand):
    """Its help has a section for each group of options."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write(self, ctx, formatter)


class GroupedRun(core.TyperGroup):
    """Likewise, and the other commands behind."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write(self, ctx, formatter)
        self.format_commands(ctx, formatter)
