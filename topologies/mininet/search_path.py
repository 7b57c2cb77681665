"""Where commands of the system lie: an ordinary user's PATH, and so sudo -E's, may lack the sbin directories.

In: $PATH. Out: $PATH with them behind it. Owns nothing.
"""

from __future__ import annotations

import os

SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def extend_path() -> None:
    """For this process and what it starts. What $PATH names already stays first."""
    named = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*named, *(d for d in SYSTEM_DIRECTORIES if d not in named)])
