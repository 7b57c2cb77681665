"""What a shape is: a function that draws on a `Net`, whose parameters say what it takes.

In: a function. Out: a `Shape`. Owns nothing.

    @shape("hosts around one switch")
    def star(net: Net, hosts: Annotated[int, Parameter("hosts", 2, 254)] = 4) -> None:
        middle = net.switch()
        for _ in range(hosts):
            net.link(net.host(), middle)

Every shape has the parameter `hosts`. A default of 0 stands for what follows from the other parameters.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from topologies.topology_error import TopologyError

_Draw = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a number means, in a few words, and its bounds."""

    help: str
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Declared:
    """A parameter as its function declares it."""

    name: str
    kind: type
    default: float
    parameter: Parameter

    @property
    def bounds(self) -> str:
        fewest, most = self.parameter.min, self.parameter.max
        return f"{fewest:g} to {most:g}" if fewest < most else f"{fewest:g}"

    def parse(self, shape: str, text: str) -> float:
        """The value of a text. Raises TopologyError."""
        try:
            return self.check(shape, self.kind(text))
        except ValueError:
            raise self._refusal(shape, text) from None

    def check(self, shape: str, value: float) -> float:
        """Raises TopologyError unless `value` is within the bounds."""
        if not self.parameter.min <= value <= self.parameter.max:
            raise self._refusal(shape, f"{value:g}")
        return value

    def _refusal(self, shape: str, said: str) -> TopologyError:
        what = f"{said} hosts" if self.name == "hosts" else f"{self.name}={said}"
        return TopologyError(f"topology {shape} cannot have {what}; choose {self.bounds}")


@dataclass(frozen=True, slots=True)
class Shape:
    """A named way to connect hosts. `description`: a line."""

    name: str
    description: str
    draw: _Draw
    parameters: Mapping[str, Declared] = field(default_factory=dict)

    @property
    def hosts(self) -> Parameter:
        return self.parameters["hosts"].parameter


def shape(description: str) -> Callable[[_Draw], Shape]:
    """Decorates a function that draws a shape; the shape has its name."""

    def decorate(draw: _Draw) -> Shape:
        hints = typing.get_type_hints(draw, include_extras=True)
        parameters = {}
        for name, each in inspect.signature(draw).parameters.items():
            for extra in getattr(hints[name], "__metadata__", ()):
                if isinstance(extra, Parameter):
                    parameters[name] = Declared(name, hints[name].__origin__, each.default, extra)
        return Shape(draw.__name__, description, draw, parameters)

    return decorate
