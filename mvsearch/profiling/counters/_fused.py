"""Products that tools do not count, at the shapes of a forward pass: fused attention on a CPU, and products of maps."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mvsearch.profiling.counters import Missed

ATTENTION, MATMUL = "scaled_dot_product_attention", "matmul"


def missed_attention(network: nn.Module, images: Tensor) -> dict[str, Missed]:
    """The calls of `scaled_dot_product_attention` and their products; empty for a network that does not call it."""
    return _missed(network, images, ATTENTION, _attention)


def missed_matmul(network: nn.Module, images: Tensor) -> dict[str, Missed]:
    """The products of two maps by `@`; empty for a network that has none."""
    return _missed(network, images, MATMUL, _matmul)


def _missed(network: nn.Module, images: Tensor, name: str, macs: Callable[..., int]) -> dict[str, Missed]:
    with _Calls(name, macs) as calls, torch.no_grad():
        network(images)
    return {name: Missed(len(calls.macs), sum(calls.macs))} if calls.macs else {}


class _Calls(TorchFunctionMode):
    def __init__(self, name: str, count: Callable[..., int]) -> None:
        super().__init__()
        self.name, self.count = name, count
        self.macs: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "").strip("_") == self.name:
            self.macs.append(self.count(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **_options: Any) -> int:
    # query times key: (N, d) x (d, M); weights times value: (N, M) x (M, e).
    *batch, n, d = query.shape
    m, e = value.shape[-2:]
    return math.prod(batch) * n * m * (d + e)


def _matmul(one: Tensor, other: Tensor) -> int:
    *batch, n, d = one.shape
    return math.prod(batch) * n * d * other.shape[-1]
