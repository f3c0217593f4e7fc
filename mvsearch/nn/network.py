"""From rows to a torch network: `calls` lists the calls, `build` makes them, exported files print them."""

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
    """A module to make: `cls(*args, **kwargs)`, without arguments that have their default."""

    cls: type[nn.Module]
    args: tuple[int | tuple[int, ...] | None, ...]
    kwargs: dict[str, Any]

    def make(self) -> nn.Module:
        """The module."""
        return self.cls(*self.args, **self.kwargs)

    def arguments(self) -> list[str]:
        """The arguments as source text."""
        named = [f"{name}={value!r}".replace("'", '"') for name, value in self.kwargs.items()]
        return [repr(arg) for arg in self.args] + named

    def __str__(self) -> str:
        return f"{self.cls.__name__}({', '.join(self.arguments())})"


def calls(arch: Architecture) -> dict[str, list[Call]]:
    """The calls of every row, the head last. Raises ArchitectureError if a row's name cannot be an attribute."""
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
    # These two settings are part of other calls: the number of classes, and the rows' strides.
    settings = {name: value for name, value in arch.head.settings().items() if name not in ("linear", "output_stride")}
    return Call(cls, (channels[0] if arch.head.pools_last_map else channels, classes), _without_defaults(cls, settings))


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
    """The network of an architecture with the paper's initialisation: (B, 3, H, W) → the outputs of its task.

    classification: logits (B, classes). segmentation: logits (B, classes, H, W); a pair of them in training of a head
    with `aux`. detection: logits (B, A, classes), offsets (B, A, 4) and anchors (B, A, 4), see `mvsearch.nn.boxes`.

    With a seed the weights are the same every time, and the state of torch's own generator is restored.
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        network = instantiate(arch).apply(initialise)
        if head_initialises_itself(arch):
            head: Any = network.get_submodule("head")
            head.initialise_weights()
        return network


def head_initialises_itself(arch: Architecture) -> bool:
    """Whether the head's `initialise_weights` follows the initialisation of the network."""
    return load_head(arch.head.kind()).initialises_itself


def instantiate(arch: Architecture) -> nn.Sequential:
    """The network with the default weights of its layers, for uses where weights do not matter."""
    stages = OrderedDict((name, _stage(row)) for name, row in calls(arch).items())
    return nn.Sequential(stages) if arch.head.pools_last_map else MultiMapNetwork(stages, read_names(arch))


def read_names(arch: Architecture) -> tuple[str, ...]:
    """The rows whose maps the head reads, in its order."""
    return tuple(arch.blocks[i].name for i in arch.head_inputs())


class MultiMapNetwork(nn.Sequential):
    """Rows, then a head that reads the maps of several rows and the size of the images."""

    def __init__(self, rows: "OrderedDict[str, nn.Module]", read: tuple[str, ...]) -> None:
        super().__init__(rows)
        self.read = read

    def forward(self, images: Tensor) -> Any:
        """(B, 3, H, W) → the output of the head."""
        x, maps = images, {}
        for name, row in list(self.named_children())[:-1]:
            x = row(x)
            if name in self.read:
                maps[name] = x
        return self.get_submodule("head")([maps[name] for name in self.read], images.shape[2:])


def _stage(row: list[Call]) -> nn.Module:
    return row[0].make() if len(row) == 1 else nn.Sequential(*(call.make() for call in row))
