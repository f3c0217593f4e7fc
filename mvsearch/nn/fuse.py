"""A built network made fast for inference: the same outputs up to rounding, from fewer and cheaper operators.

* Batch norms become part of the convolutions before them; scale and shift of norms over tokens, of the layers after.
* Maps are stored channels last, so that pixels are rows of a matrix. Patches are gathered by one copy and put back by
  another; separable attention works on the pixels in place.
* Activations and sums overwrite tensors that nothing else reads. Two maps joined and projected are two projections
  summed.
* A single token attends to itself alone, whatever its score: its value is the result.
* On a CPU, 1x1 convolutions and linear layers are the same oneDNN product, and a batch runs in groups of images whose
  maps stay in the cache.
"""

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from mvsearch.nn._layer import BlockLayer, layers

GROUP_PIXELS = 4 * 256 * 256
"""The pixels of a batch that go through a CPU at once; docs/benchmarks/inference.md compares other numbers."""


def fuse(model: nn.Module) -> "Fused":
    """A copy for inference: in eval mode, without gradients, channels last. The model itself is not changed.

    Blocks are replaced wherever they are inside the model, also where an exported file has its own copy of their
    classes; other modules are kept. Inputs and outputs are the same.
    """
    layout: dict[str, Any] = {"memory_format": torch.channels_last}
    return Fused(_replace(copy.deepcopy(model).eval().requires_grad_(False)).to(**layout))


class Fused(nn.Module):
    """A fused network: on a CPU, the images of a batch run in groups."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        """(B, 3, H, W) → the network's output: a tensor, or tensors in a list, a tuple or a dict."""
        x = x.contiguous(memory_format=torch.channels_last)
        group = max(1, GROUP_PIXELS // (x.shape[2] * x.shape[3]))
        if x.device.type != "cpu" or len(x) <= group:
            return self.network(x)
        return _concatenate([self.network(part) for part in x.split(group)])


def _concatenate(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {key: _concatenate([part[key] for part in parts]) for key in first}
    if isinstance(first, list | tuple):
        return type(first)(_concatenate(list(group)) for group in zip(*parts, strict=True))
    return torch.cat(parts)


def _replace(module: nn.Module) -> nn.Module:
    layer = _fusable().get(_signature(module))
    if layer is not None and layer.fuse is not None:
        return layer.fuse(module)
    for name, child in module.named_children():
        setattr(module, name, _replace(child))
    return module


def _signature(module: nn.Module) -> tuple[str, frozenset[str]]:
    """Name and child modules, which the classes of an exported file share with ours."""
    return type(module).__name__, frozenset(name for name, _ in module.named_children()) - {"act", "fuse"}


@cache
def _fusable() -> dict[tuple[str, frozenset[str]], BlockLayer]:
    return {(layer.module.__name__, layer.parts): layer for layer in layers().values() if layer.fuse is not None}
