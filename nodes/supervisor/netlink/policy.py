"""nlctrl's getpolicy: which attributes a request of each operation may have, and of what type and range.

In: a family, one of its operations or none for all; the records of nodes/uapi/netlink.py and the tables of
families.py, which together are the policies. Out: attributes of the replies. Owns nothing. ynl asks for it
with --policy. What Linux's policy has for an attribute that no request here may have is absent.
Source: ctrl_dumppolicy (net/netlink/genetlink.c), net/netlink/policy.c, the policies of net/ethtool and of
net/core/netdev-genl-gen.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from nodes.supervisor.netlink.attributes import (
    FLAG,
    STRING,
    UINT,
    Array,
    Attribute,
    Enum,
    Flags,
    Integer,
    Kind,
    Nest,
    Values,
)
from nodes.supervisor.netlink.families import Family, Operation
from nodes.uapi import netlink

# enum netlink_attribute_type
_FLAG, _U8, _BINARY, _NUL_STRING, _NESTED, _NESTED_ARRAY, _UINT = 1, 2, 10, 12, 13, 14, 17
_NUMBERS = {1: _U8, 2: 3, 4: 4, 8: 5}  # by bytes
# What requests have besides the fields of their records
_RSS_MORE = ("hfunc", "input-xfrm")
_MORE: dict[str, tuple[str, ...]] = {
    "getfamily": ("family-id", "family-name"),
    "getpolicy": ("family-id", "family-name", "op"),
    "strset-get": ("header", "stringsets", "counts-only"),
    "rings-set": ("rx-mini", "rx-jumbo", "cqe-size", "tx-push", "rx-push", "tx-push-buf-len"),
    "rss-set": _RSS_MORE,
    "rss-create-act": _RSS_MORE,
}
_LIMITS: dict[str, Values] = {
    "cqe-size": {"min-value-u": 1},
    "tx-push": {"max-value-u": 1},
    "rx-push": {"max-value-u": 1},
    "hfunc": {"min-value-u": 1},
    "input-xfrm": {"max-value-u": 2},
    "family-name": {"max-length": 15},  # GENL_NAMSIZ - 1
}
_MODES = ("do", "dump")
_HEADER_FLAGS = {"mask": 3, "type": 4}  # ETHTOOL_FLAGS_BASIC


class Rule(NamedTuple):
    """Of an attribute: what is told of it, and the policy of the nest that it is."""

    told: Values
    nest: Policy | None = None


Policy = Mapping[int, Rule]  # by the attribute's number


@dataclass
class _Numbering:
    """Policies in the order in which they are met, each followed by its nests."""

    policies: list[Policy] = field(default_factory=list)

    def add(self, policy: Policy) -> None:
        at = len(self.policies)
        if policy not in self.policies:
            self.policies.append(policy)
        while at < len(self.policies):
            nests = (rule.nest for rule in self.policies[at].values() if rule.nest)
            self.policies += [each for each in nests if each not in self.policies]
            at += 1


def replies(family: Family, operations: list[Operation]) -> list[Values]:
    """Of getpolicy: which operation has which policies, by numbers, and then these; none where no operation
    has one."""
    numbering, found = _Numbering(), [(each, _policies(family, each)) for each in operations]
    for _, policies in found:
        for policy in policies.values():
            numbering.add(policy)
    told: list[Values] = [
        {"op-policy": {each.command: {mode: numbering.policies.index(of) for mode, of in policies.items()}}}
        for each, policies in found
        if policies
    ]
    told += [
        {"policy": {at: {number: _numbered(rule, numbering.policies)}}}
        for at, policy in enumerate(numbering.policies)
        for number, rule in policy.items()
    ]
    return [{"family-id": family.id, **each} for each in told]


def _numbered(rule: Rule, policies: list[Policy]) -> Values:
    if rule.nest is None:
        return rule.told
    return {"policy-idx": policies.index(rule.nest), "policy-maxtype": max(rule.nest)} | rule.told


def _policies(family: Family, operation: Operation) -> dict[str, Policy]:
    """By mode. A question to ethtool has one policy for both."""
    found: dict[str, Policy] = {}
    for mode in _MODES:
        records = [
            record
            for (of, name, each), record in netlink.OPERATIONS.items()
            if (of, name) == (family.name, operation.name) and (each == mode or of == "ethtool")
        ]
        if mode in operation.modes and (policy := _policy(operation, records)):
            found[mode] = policy
    return found


def _policy(operation: Operation, records: list[type[netlink.Attributes]]) -> Policy:
    types = {name: kind for record in records for name, kind in _fields(record)}
    names = {*types, *_MORE.get(operation.name, ())}
    return {
        attribute.number: _rule(name, attribute, types.get(name))
        for name, attribute in sorted(operation.attributes.items(), key=lambda each: each[1].number)
        if name in names
    }


def _fields(record: type[msgspec.Struct]) -> Iterator[tuple[str, msgspec.inspect.Type]]:
    kind = msgspec.inspect.type_info(record)
    assert isinstance(kind, msgspec.inspect.StructType)
    for each in kind.fields:
        yield each.encode_name, each.type


def _rule(name: str, attribute: Attribute, of: msgspec.inspect.Type | None) -> Rule:
    kind = attribute.kind
    if isinstance(kind, Nest):
        records = [each.cls for each in _parts(of) if isinstance(each, msgspec.inspect.StructType)]
        if name == "header":
            records = [netlink.Header]
        return Rule({"type": _NESTED}, _nest(kind, records[0]) if records else None)
    told: Values = {}
    for each in _parts(of):
        if isinstance(each, msgspec.inspect.IntType) and (isinstance(kind, Integer) or kind is UINT):
            told |= {"min-value-u": each.ge, "max-value-u": each.le}
        if isinstance(each, msgspec.inspect.StrType) and each.max_length is not None:
            told["max-length"] = each.max_length
    return Rule(_defaults(kind) | told | _LIMITS.get(name, {}) | {"type": _type(kind)})


def _nest(kind: Nest, record: Any) -> Policy:
    fields = ((kind.attributes[name], name, of) for name, of in _fields(record))
    policy = {attribute.number: _rule(name, attribute, of) for attribute, name, of in fields}
    if record is netlink.Header:
        policy[kind.attributes["flags"].number] = Rule(_HEADER_FLAGS)
    return dict(sorted(policy.items()))


def _parts(of: msgspec.inspect.Type | None) -> Iterator[msgspec.inspect.Type]:
    """A type, those of a union, and the type of an array's items."""
    if isinstance(of, msgspec.inspect.UnionType):
        for each in of.types:
            yield from _parts(each)
    elif isinstance(of, msgspec.inspect.VarTupleType):
        yield from _parts(of.item_type)
    elif isinstance(of, msgspec.inspect.Metadata):
        yield from _parts(of.type)
    elif of is not None:
        yield of


def _defaults(kind: Kind) -> Values:
    """What Linux tells of every attribute of the kind."""
    if isinstance(kind, Flags):
        return {"mask": (1 << len(kind.names)) - 1}
    if isinstance(kind, Enum):
        return {"min-value-u": 0, "max-value-u": len(kind.names) - 1}
    if isinstance(kind, Integer):
        return {"min-value-u": 0, "max-value-u": (1 << 8 * kind.length) - 1}
    return {"min-value-u": 0, "max-value-u": (1 << 64) - 1} if kind is UINT else {}


def _type(kind: Kind) -> int:
    if isinstance(kind, Enum | Flags):
        return _type(kind.number)
    if isinstance(kind, Integer):
        return _NUMBERS[kind.length]
    if isinstance(kind, Array):
        return _NESTED_ARRAY
    return _UINT if kind is UINT else _NUL_STRING if kind is STRING else _FLAG if kind is FLAG else _BINARY
