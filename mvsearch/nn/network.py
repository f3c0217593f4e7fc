"""From rows to a torch network. `build` makes the calls that `calls` lists; the exporter prints them."""

import inspect
import keyword
from collections import OrderedDict
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn

from mvsearch import plugins
from mvsearch.architecture import Architecture, Layer
from mvsearch.errors import ArchitectureError
from mvsearch.nn.head import Head, initialise


@dataclass(frozen=True)
class Call:
    """A module to make: `cls(*args, **kwargs)`, arguments at their default left out."""

    cls: type[nn.Module]
    args: tuple[int | None, ...]
    kwargs: dict[str, Any]

    def make(self) -> nn.Module:
        """The module."""
        return self.cls(*self.args, **self.kwargs)

    def words(self) -> list[str]:
        """The arguments as one writes them."""
        named = [f"{name}={value!r}".replace("'", '"') for name, value in self.kwargs.items()]
        return [repr(arg) for arg in self.args] + named

    def __str__(self) -> str:
        return f"{self.cls.__name__}({', '.join(self.words())})"


def calls(arch: Architecture) -> dict[str, list[Call]]:
    """Row name to its modules, in order, the head last; ArchitectureError if a row's name is no attribute."""
    for row in arch.blocks:
        _check_attribute(row.name)
    rows = {
        name: [_call(layer) for layer in layers] for name, layers in groupby(arch.layers(), lambda layer: layer.name)
    }
    classes = arch.num_classes if arch.head.linear else None
    options = _without_defaults(Head, {"pool": arch.head.pool, "dropout": arch.head.dropout})
    return {**rows, "head": [Call(Head, (arch.features, classes), options)]}


def _check_attribute(row: str) -> None:
    # Python mangles `__x` inside a class and normalises letters beyond ASCII: the weights' names would differ.
    if keyword.iskeyword(row) or hasattr(nn.Sequential(), row) or row.startswith("__") or not row.isascii():
        raise ArchitectureError(f"a row named {row!r} cannot be an attribute of a torch module; rename the row.")


def _call(layer: Layer) -> Call:
    cls = plugins.load("nn", layer.block).LAYER
    settings = {name: value for name, value in layer.settings.items() if name != "out"}
    if layer.stride != 1:
        settings["stride"] = layer.stride
    return Call(cls, (layer.in_channels, layer.settings["out"]), _without_defaults(cls, settings))


def _without_defaults(cls: type[nn.Module], settings: dict[str, Any]) -> dict[str, Any]:
    defaults = inspect.signature(cls.__init__).parameters
    return {name: value for name, value in settings.items() if defaults[name].default != value}


def build(arch: Architecture, *, seed: int | None = None) -> nn.Sequential:
    """The network of an architecture, initialised as the paper does. (B, 3, H, W) → (B, classes).

    With a seed the weights are the same every time, and torch's own generator is left where it was.
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        return assembled(arch).apply(initialise)


def assembled(arch: Architecture) -> nn.Sequential:
    """The network with whatever weights its layers begin with, where these do not matter."""
    return nn.Sequential(OrderedDict((name, _stage(row)) for name, row in calls(arch).items()))


def _stage(row: list[Call]) -> nn.Module:
    return row[0].make() if len(row) == 1 else nn.Sequential(*(call.make() for call in row))
