"""Softmax attention written as two matrix products and a softmax.

Torch's fused attention is exported with a guard against rows that hold only minus infinity. The guard's operators are
not delegated and run on slow kernels. There is no mask here, so the guard is not needed.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from mvsearch.nn.mobilevit import SelfAttention


class PlainAttention(SelfAttention):
    """The same attention as two matrix products and a softmax, with heads and images in one axis."""

    def forward(self, x_BND: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        dim = x_BND.shape[-1]
        qkv = self.qkv(x_BND)
        # Slices, not chunk or unflatten: these are delegated.
        q, k, v = (self._heads(qkv[..., i * dim : (i + 1) * dim]) for i in range(3))
        scores = torch.bmm(q * (dim // self.heads) ** -0.5, k.transpose(1, 2))
        y_BHNd = torch.bmm(scores.softmax(-1), v).unflatten(0, (-1, self.heads))
        return self.out(y_BHNd.transpose(1, 2).flatten(2))

    def _heads(self, x_BND: Tensor) -> Tensor:
        """(B, N, D) → (B*heads, N, D/heads)."""
        return x_BND.unflatten(-1, (self.heads, -1)).transpose(1, 2).flatten(0, 1)


def with_plain_attention(model: nn.Module) -> nn.Module:
    """A copy of the model in which softmax attention is not fused."""
    copy = deepcopy(model)
    for module in copy.modules():
        if type(module) is SelfAttention:
            module.__class__ = PlainAttention
    return copy
