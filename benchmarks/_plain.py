"""The network in the style of the authors' code, operator by operator: what one writes first, with the same weights.

Patches are unfolded by a chain of reshapes, attention is separate operators, and maps are stored channel by channel.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.nn.conv import Conv
from mvsearch.nn.mobilevit import MobileViT, SelfAttention


class PlainAttention(SelfAttention):
    """Softmax attention, an operator a line."""

    def forward(self, x_BND: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        b, n, _ = x_BND.shape
        qkv = self.qkv(x_BND).reshape(b, n, 3, self.heads, -1).transpose(1, 3).contiguous()
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2)).softmax(dim=-1)
        return self.out(torch.matmul(scores, v).transpose(1, 2).reshape(b, n, -1))


class PlainConv(Conv):
    """Convolution, norm and activation, one after the other, whatever the size of the map."""

    forward = nn.Sequential.forward


class PlainMobileViT(MobileViT):
    """Patches by reshapes and transpositions, each of which copies."""

    def _attend(self, x_BDHW: Tensor) -> Tensor:
        p, size = self.patch, x_BDHW.shape[2:]
        h, w = (-(-side // p) for side in size)
        if size != (h * p, w * p):
            x_BDHW = F.interpolate(x_BDHW, (h * p, w * p), mode="bilinear", align_corners=False)
        b, d = x_BDHW.shape[:2]
        patches = x_BDHW.reshape(b * d * h, p, w, p).transpose(1, 2).reshape(b, d, h * w, p * p)
        y = self.norm(self.layers(patches.transpose(1, 3).reshape(b * p * p, h * w, d)))
        y = y.contiguous().view(b, p * p, h * w, d).transpose(1, 3).reshape(b * d * h, w, p, p)
        y = y.transpose(1, 2).reshape(b, d, h * p, w * p)
        return y if size == y.shape[2:] else F.interpolate(y, size, mode="bilinear", align_corners=False)


PLAIN = {Conv: PlainConv, SelfAttention: PlainAttention, MobileViT: PlainMobileViT}


def plain(model: nn.Module) -> nn.Module:
    """The same weights in plain blocks."""
    made = copy.deepcopy(model)
    for module in made.modules():
        module.__class__ = PLAIN.get(type(module), type(module))
    return made
