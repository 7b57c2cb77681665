"""Who may reach the hosts' channels: the options --mode and --group of `up`.

In: words of a command line; the directory of a run's channels. Out: its permissions and its group. Owns
nothing. A channel is what stands for system calls: a user who reaches it may open sockets and bind for
sending. What needs CAP_NET_ADMIN stays refused (nodes/endpoint/credentials.py).
"""

from __future__ import annotations

import grp
import os
from pathlib import Path
from typing import Annotated

import msgspec

from commands.usage import UsageError
from nodes.option import Option, OptionError
from topologies.mininet.user_namespace import is_inside

_OWNER_BITS = 0o700  # the user who built the network reaches it


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777 or mode & _OWNER_BITS != _OWNER_BITS:
        raise OptionError(
            f"{text!r} is no mode that leaves the owner in; give 0700, 0750 (with --group) or 0755"
        )
    return mode


def _group(text: str) -> str:
    try:
        grp.getgrnam(text)
    except KeyError:
        raise OptionError(f"there is no group {text!r}; give one of /etc/group") from None
    return text


class ChannelAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Of all hosts of a run."""

    mode: Annotated[
        int,
        Option(
            "Permissions of the channels' directory: 0755 lets every user in, 0750 those of --group.",
            parse=_mode, metavar="OCTAL", default="0700, with --group 0750",
        ),
    ] = 0  # fmt: skip
    group: Annotated[
        str | None, Option("Group of the channels and of their directory.", parse=_group, metavar="NAME")
    ] = None

    def check(self) -> None:
        """Raises UsageError for a group to which files cannot be given."""
        if self.group is not None and is_inside():
            raise UsageError(
                f"--group {self.group} needs root: a user namespace knows no group but the user's own; give "
                "--mode 0755, or run it with sudo"
            )

    def grant(self, directory: Path) -> None:
        """A user who may enter `directory` may connect to the channels in it, which exist already."""
        mode = self.mode or (0o750 if self.group else 0o700)
        gid = -1 if self.group is None else grp.getgrnam(self.group).gr_gid
        classes = mode & 0o111
        for channel in directory.glob("*.sock"):
            os.chown(channel, -1, gid)
            os.chmod(channel, classes * 6)
        os.chown(directory, -1, gid)
        os.chmod(directory, mode)


OWNER_ALONE = ChannelAccess()
