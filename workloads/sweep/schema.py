"""What a sweep file says: its record, of which `docs/sweep.schema.json` is made.

In: what was read. Out: a frozen record, its JSON schema. Owns the file's format. `python -m
workloads.sweep.schema` prints the schema.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from workloads.sweep.cell import run_options

Value = str | None | tuple[str | None, ...]


class SweepFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A sweep of the devmem testbed: one run for each combination of the grid's values."""

    grid: Annotated[
        dict[str, Value], Meta(description="Options of run.py without dashes, each with a list of values.")
    ]
    base: Annotated[dict[str, Value], Meta(description="Options that all runs have.")] = {}
    name: Annotated[str, Meta(description="The sweep's name; the file's if left out.")] = ""
    seed: Annotated[int, Meta(description="Of the order of the runs.", ge=0)] = 1


def json_schema() -> dict[str, Any]:
    """JSON Schema, for editors and other programs: it names every option of a run."""
    schema = msgspec.json.schema(SweepFile)
    definitions = schema["$defs"]
    single = {"type": ["string", "number", "boolean", "null"]}
    definitions["Value"] = {"anyOf": [single, {"type": "array", "items": single, "minItems": 1}]}
    definitions["Options"] = {
        "type": "object",
        "properties": {
            name: {"description": each.option.help, "$ref": "#/$defs/Value"}
            for name, each in run_options().items()
        },
        "additionalProperties": False,
    }
    for name in ("grid", "base"):
        field = definitions["SweepFile"]["properties"][name]
        del field["type"], field["additionalProperties"]
        field["$ref"] = "#/$defs/Options"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(json_schema())) + b"\n")
