"""Fused attention, which tools do not count on a CPU: its calls, and its products at the shapes of a forward pass."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mvsearch.profiling.counters import Missed

NAME = "scaled_dot_product_attention"


def missed_attention(network: nn.Module, images: Tensor) -> dict[str, Missed]:
    """The calls of `scaled_dot_product_attention` and their products; empty for a network that does not call it."""
    with _AttentionCalls() as attention, torch.no_grad():
        network(images)
    return {NAME: Missed(len(attention.macs), sum(attention.macs))} if attention.macs else {}


class _AttentionCalls(TorchFunctionMode):
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
