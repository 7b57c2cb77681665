"""What a topology file says: its records, of which `docs/topology.schema.json` is made.

In: what was read. Out: frozen records, their JSON schema. Owns the file's format. `python -m
topologies.file.schema` prints the schema.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from topologies.host import Role
from topologies.link_options import LinkOptions
from topologies.switch import Kind
from topologies.traffic.entry import TrafficEntry


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class NicEntry(_Entry, frozen=True):
    """A NIC. What is left out the address plan fills in; of a segment, all addresses are given or none."""

    kernel_address: Annotated[str, Meta(description="Of Linux's own stack, as 192.168.1.1/24.")] = ""
    endpoint_address: Annotated[str, Meta(description="Of the emulated stack, in the same prefix.")] = ""
    kernel_address6: Annotated[str, Meta(description="IPv6, as fd02::1/64.")] = ""
    endpoint_address6: Annotated[str, Meta(description="IPv6, in the same prefix.")] = ""
    kernel_mac: Annotated[str, Meta(description="As 02:00:00:00:00:01.")] = ""
    endpoint_mac: Annotated[str, Meta(description="Likewise.")] = ""


class AcceleratorEntry(_Entry, frozen=True):
    """An accelerator, on the PCIe switch of a NIC."""

    nic: Annotated[str, Meta(description="The interface it sits beside, as h1-eth0.")]
    memory: Annotated[str, Meta(description="As 16G; no limit if left out.")] = ""


class HostEntry(_Entry, frozen=True):
    """A host. NICs that are not listed come with its links, as h1-eth0, h1-eth1, ..."""

    role: Role = "compute"
    nics: Annotated[dict[str, NicEntry | None], Meta(description="By interface.")] = {}
    accelerators: Annotated[
        int | dict[str, AcceleratorEntry],
        Meta(description="How many, spread over the NICs; or each by name."),
    ] = 1
    host_mem_bw: Annotated[str, Meta(description="Ceiling of host memory, as 20GB/s.")] = ""
    pcie_bw: Annotated[str, Meta(description="Ceiling of each PCIe switch and direction, as 16GB/s.")] = ""


class SwitchEntry(_Entry, frozen=True):
    """A learning bridge, or a router, which is the gateway of the hosts that are linked to it."""

    kind: Kind = "bridge"
    address: Annotated[str, Meta(description="Of a router as gateway, where its hosts' are given.")] = ""
    address6: Annotated[str, Meta(description="Likewise, IPv6.")] = ""


class LinkEntry(LinkOptions, frozen=True, forbid_unknown_fields=True):
    """A link, and what is asked of it over `defaults`."""

    endpoints: Annotated[
        tuple[str, str], Meta(description="Two nodes; behind a colon an interface, as h1:h1-eth1.")
    ]


class TopologyFile(_Entry, frozen=True):
    """A network of the devmem testbed."""

    hosts: Annotated[dict[str, HostEntry | None], Meta(description="By name.")]
    links: Annotated[tuple[LinkEntry, ...], Meta(description="Each connects two nodes.")]
    name: Annotated[str, Meta(description="The network's name; the file's if left out.")] = ""
    switches: Annotated[dict[str, SwitchEntry | None], Meta(description="By name.")] = {}
    defaults: Annotated[LinkOptions, Meta(description="Of every link that does not say otherwise.")] = (
        LinkOptions()
    )
    traffic: Annotated[tuple[TrafficEntry, ...], Meta(description="Between Linux stacks of hosts.")] = ()


def json_schema() -> dict[str, Any]:
    """JSON Schema, for editors and other programs."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(TopologyFile)}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))  # a default may be a tuple
    return plain


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(json_schema())) + b"\n")
