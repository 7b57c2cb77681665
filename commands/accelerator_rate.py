"""What rate a training workload's accelerators have, where --mfu asks for a share of it.

In: the configuration, whether --tflops was given. Out: the workload's options with the rate. Owns nothing.
Without --mfu, or with --tflops, nothing is to be found: the options say it.
"""

from __future__ import annotations

import msgspec

from commands.usage import UsageError
from workloads.experiment.records import SIMULATED, ExperimentConfig
from workloads.options import WorkloadOptions
from workloads.patterns.training import TrainingOptions

_16_BITS = ("bfloat16", "float16")


def with_machines_rate(config: ExperimentConfig, is_given: bool) -> WorkloadOptions:
    """`is_given`: whether --tflops was. Raises UsageError where the machine has no rate."""
    options = config.options
    if not isinstance(options, TrainingOptions) or options.mfu is None or is_given:
        return options
    words = f"--mfu {options.mfu:g} is a share of the accelerator's rate, which"
    if config.clock != SIMULATED:
        raise UsageError(
            f"{words} is known of simulated machines alone; add --tflops, or run it with --clock simulated "
            "and --machine"
        )
    from nodes.simulation.machines import MACHINES  # the stack takes its time

    known = [name for name, each in MACHINES.items() if each.device_operations_per_second]
    if config.machine not in known:
        raise UsageError(
            f"{words} --machine {config.machine} does not have; add --tflops, or choose {' or '.join(known)}"
        )
    if options.element not in _16_BITS:
        raise UsageError(
            f"{words} is known for {' and '.join(_16_BITS)} alone, and not for --element {options.element}; "
            "add --tflops"
        )
    rate = MACHINES[config.machine].device_operations_per_second
    return msgspec.structs.replace(options, tflops=rate / 1e12)
