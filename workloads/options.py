"""The root of every workload's own record of options.

In: values from the command line. Out: frozen records that cross processes and end in manifest.json. Owns
nothing. A workload derives its record and annotates the fields with nodes.option.Option, which is what the
command line is built from.
"""

from __future__ import annotations

import msgspec

DAY_S = 86400.0  # the longest duration that an option takes


class WorkloadOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one workload alone can be asked for."""
