"""From rows to a torch network. `build` makes the calls that `calls` lists; the exporter prints them."""

import inspect
import keyword
from collections import OrderedDict
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from mvsearch.arch.architecture import Architecture, Layer
from mvsearch.errors import ArchitectureError
from mvsearch.nn._layer import load_head, load_layer
from mvsearch.nn.classification import initialise


@dataclass(frozen=True)
class Call:
    """A module to make: `cls(*args, **kwargs)`, arguments at their default left out."""

    cls: type[nn.Module]
    args: tuple[int | tuple[int, ...] | None, ...]
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
    return {**rows, "head": [_head_call(arch)]}


def _head_call(arch: Architecture) -> Call:
    cls = load_head(arch.head.kind()).module
    classes = arch.num_classes if arch.head.classifies else None
    channels = tuple(arch.blocks[i].out for i in arch.head_inputs())
    # Whether there are classes, and what the rows stride, stands elsewhere in the calls.
    settings = {name: value for name, value in arch.head.settings().items() if name not in ("linear", "output_stride")}
    alone = arch.head.pools_last_map
    return Call(cls, (channels[0] if alone else channels, classes), _without_defaults(cls, settings))


def _check_attribute(row: str) -> None:
    # Python mangles `__x` inside a class and normalises letters beyond ASCII: the weights' names would differ.
    if keyword.iskeyword(row) or hasattr(nn.Sequential(), row) or row.startswith("__") or not row.isascii():
        raise ArchitectureError(f"a row named {row!r} cannot be an attribute of a torch module; rename the row.")


def _call(layer: Layer) -> Call:
    cls = load_layer(layer.block).module
    settings = {name: value for name, value in layer.settings.items() if name != "out"}
    if layer.stride != 1:
        settings["stride"] = layer.stride
    if layer.dilation != 1:
        settings["dilation"] = layer.dilation
    return Call(cls, (layer.in_channels, layer.settings["out"]), _without_defaults(cls, settings))


def _without_defaults(cls: type[nn.Module], settings: dict[str, Any]) -> dict[str, Any]:
    defaults = inspect.signature(cls.__init__).parameters
    return {name: value for name, value in settings.items() if defaults[name].default != value}


def build(arch: Architecture, *, seed: int | None = None) -> nn.Sequential:
    """The network of an architecture, initialised as the paper does: (B, 3, H, W) → what its task asks for.

    classification: logits (B, classes). segmentation: logits (B, classes, H, W); a pair of such while training a head
    with `aux`. detection: logits (B, A, classes), offsets (B, A, 4) and anchors (B, A, 4), see `mvsearch.nn.boxes`.

    With a seed the weights are the same every time, and torch's own generator is left where it was.
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        return instantiate(arch).apply(initialise)


def instantiate(arch: Architecture) -> nn.Sequential:
    """The network with whatever weights its layers begin with, where these do not matter."""
    stages = OrderedDict((name, _stage(row)) for name, row in calls(arch).items())
    return nn.Sequential(stages) if arch.head.pools_last_map else MultiMapNetwork(stages, read_names(arch))


def read_names(arch: Architecture) -> tuple[str, ...]:
    """The rows whose maps the head reads, in its order."""
    return tuple(arch.blocks[i].name for i in arch.head_inputs())


class MultiMapNetwork(nn.Sequential):
    """Rows, then a head that reads the maps of several of them and the size of the images."""

    def __init__(self, rows: "OrderedDict[str, nn.Module]", read: tuple[str, ...]) -> None:
        super().__init__(rows)
        self.read = read

    def forward(self, images: Tensor) -> Any:
        """(B, 3, H, W) → what the head gives."""
        x, maps = images, {}
        for name, row in list(self.named_children())[:-1]:
            x = row(x)
            if name in self.read:
                maps[name] = x
        return self.get_submodule("head")([maps[name] for name in self.read], images.shape[2:])


def _stage(row: list[Call]) -> nn.Module:
    return row[0].make() if len(row) == 1 else nn.Sequential(*(call.make() for call in row))
