"""Fused attention, which tools pass over on a CPU: its calls, and its products at the shapes a forward pass sees."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mvsearch.profiling.counters import Missed

NAME = "scaled_dot_product_attention"


def attention(network: nn.Module, images: Tensor) -> dict[str, Missed]:
    """What is left out where `scaled_dot_product_attention` is; empty for a network that calls none."""
    with _Watch() as watch, torch.no_grad():
        network(images)
    return {NAME: Missed(len(watch.macs), sum(watch.macs))} if watch.macs else {}


class _Watch(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.macs: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            self.macs.append(_products(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def _products(query: Tensor, key: Tensor, value: Tensor, *_: Any, **_options: Any) -> int:
    # query times key: (N, d) x (d, M); weights times value: (N, M) x (M, e).
    *batch, n, d = query.shape
    m, e = value.shape[-2:]
    return math.prod(batch) * n * m * (d + e)
