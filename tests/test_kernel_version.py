"""Every version has the changes that its release has, by the releases that each change names."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import pytest

from nodes.kernel_version import CHANGES, DEFAULT, VERSIONS, Change, KernelVersion


def number(release: str) -> tuple[int, ...]:
    """6.18.0 is 6.18; a release candidate has what the release will have; v17 came before 6.12."""
    words = "6.11" if release == "v17" else release.removesuffix("-rc").removesuffix(".0")
    return tuple(int(word) for word in words.split("."))


def has(version: str, change: Change) -> bool:
    own = number(version)
    if own[:2] >= number(change.since):
        return True
    return any(own[:2] == number(each)[:2] and own >= number(each) for each in change.stable)


@pytest.mark.parametrize("name", VERSIONS)
def test_a_version_has_the_changes_of_its_release_and_no_others(name: str) -> None:
    wanted = {change.field: change.value for change in CHANGES if has(name, change)}
    found = VERSIONS[name]
    old = KernelVersion("v17")
    assert found.name == name
    for each in fields(KernelVersion)[1:]:
        assert getattr(found, each.name) == wanted.get(each.name, getattr(old, each.name)), each.name


def test_versions_and_changes_are_in_the_order_of_their_releases() -> None:
    released = [number(change.since) for change in CHANGES]
    assert released == sorted(released)
    mainline = [number(name) for name in VERSIONS]
    assert mainline == sorted(mainline)


def test_neighbours_differ_and_every_field_changes_somewhere() -> None:
    for before, after in pairwise(VERSIONS.values()):
        assert [getattr(before, f.name) for f in fields(before)[1:]] != [
            getattr(after, f.name) for f in fields(after)[1:]
        ], (before.name, after.name)
    assert {change.field for change in CHANGES} == {each.name for each in fields(KernelVersion)[1:]}


def test_the_default_is_the_newest_release() -> None:
    assert DEFAULT is [version for name, version in VERSIONS.items() if not name.endswith("-rc")][-1]
