"""A count of the packet path that repeats on every machine: Python's instructions a 64 KiB packet.

In: nothing. Out: instructions of nodes/ a packet, of both ends together, by folder. Owns opcodes.json, the
counts that are held against it. `python -m tests.bench.opcodes` counts, `--store` also writes what was found.

The interpreter itself says each instruction that it runs (sys.settrace), so neither the machine, its load
nor the seed of hashes changes the count. Another minor version of Python has other instructions, and a count
of its own. What a call of C does inside (struct, slices, sums of bytes) is one instruction:
tests.bench.packet_path measures its time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from tests.bench.packet_path import NODES, PACKET_BYTES, PacketPath

COUNTS = Path(__file__).with_suffix(".json")
LIMIT = 0.05
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SIZES = (65536, 4096)  # bytes of a net_iov
_WARM_BYTES, _COUNTED_BYTES = 16 << 20, 16 << 20

Counts = dict[str, float]  # by folder of nodes/, or file where it lies in none


def count(niov_bytes: int) -> Counts:
    """Of this process, which must run nodes/ as pure Python."""
    found: Counter[str] = Counter()

    def step(frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            found[frame.f_code.co_filename] += 1
        return step

    def enter(frame: FrameType, _event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(NODES):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return step

    path = PacketPath(niov_bytes)
    path.run(_WARM_BYTES)  # the congestion window has grown, every net_iov was used
    former = sys.gettrace()
    sys.settrace(enter)
    try:
        path.run(_COUNTED_BYTES)
    finally:
        sys.settrace(former)
        path.close()
    packets, parts = _COUNTED_BYTES / PACKET_BYTES, Counter[str]()
    for file, times in found.items():
        parts[file.removeprefix(NODES).partition("/")[0]] += times
    return {name: round(times / packets, 1) for name, times in sorted(parts.items())}


def counted(hash_seed: str = "0") -> dict[str, Counts]:
    """By bytes of a net_iov, in a process of its own that runs the sources."""
    code = (
        "import json; from tests.bench.opcodes import SIZES, count\n"
        "print(json.dumps({str(size): count(size) for size in SIZES}))"
    )
    environment = {**os.environ, "DEVMEM_PURE": "1", "PYTHONHASHSEED": hash_seed}
    argv, root = [sys.executable, "-c", code], Path(__file__).parents[2]
    ended = subprocess.run(argv, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Counts] = json.loads(ended.stdout)
    return found


def stored() -> dict[str, Counts] | None:
    """Those of this minor version of Python, None: there are none."""
    found: dict[str, dict[str, Counts]] = json.loads(COUNTS.read_text())
    return found.get(PYTHON)


def store(found: dict[str, Counts]) -> None:
    every = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    COUNTS.write_text(json.dumps({**every, PYTHON: found}, indent=1, sort_keys=True) + "\n")


def differences(found: Mapping[str, Counts], kept: Mapping[str, Counts]) -> list[str]:
    """A sentence for each size whose count is further than LIMIT from the stored one."""
    said = []
    for size, parts in kept.items():
        now, before = sum(found[size].values()), sum(parts.values())
        if abs(now / before - 1) > LIMIT:
            names = sorted({*found[size], *parts})
            change = {name: found[size].get(name, 0) - parts.get(name, 0) for name in names}
            most = max(names, key=lambda name: abs(change[name]))
            said.append(
                f"a 64 KiB packet in net_iovs of {size} B takes {now:.0f} instructions of Python, stored is "
                f"{before:.0f} ({now / before - 1:+.1%}, most in nodes/{most}: {change[most]:+.0f}); if that "
                "is meant, store it: .venv/bin/python -m tests.bench.opcodes --store"
            )
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", action="store_true", help=f"write the counts into {COUNTS.name}")
    options = parser.parse_args()
    found = counted()
    for size, parts in found.items():
        each = ", ".join(f"{name} {times:.0f}" for name, times in parts.items())
        print(f"net_iovs of {size} B: {sum(parts.values()):.0f} instructions a 64 KiB packet ({each})")
    if options.store:
        store(found)
        return 0
    kept = stored()
    if kept is None:
        print(f"Python {PYTHON} has no stored count; store one with --store")
        return 0
    said = differences(found, kept)
    for sentence in said:
        print(sentence, file=sys.stderr)
    return bool(said)


if __name__ == "__main__":
    sys.exit(main())
