"""Softmax attention among pixels, fused with convolution: the block `mobilevit` (MobileViTv1, v3 and between)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.nn.conv import Conv


class SelfAttention(nn.Module):
    """Multi-head softmax attention among the rows of (B, N, D)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x_BND: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        if self.training and x_BND.shape[1] == 1:
            # One row attends to itself alone: queries and keys change nothing. What is counted and exported is whole.
            value = slice(-x_BND.shape[2], None)
            return self.out(F.linear(x_BND, self.qkv.weight[value], self.qkv.bias[value]))
        q, k, v = self.qkv(x_BND).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y_BHNd = F.scaled_dot_product_attention(q, k, v)
        return self.out(y_BHNd.transpose(1, 2).flatten(2))


class TransformerLayer(nn.Module):
    """Pre-norm attention and feed-forward, each added to what came in."""

    def __init__(self, dim: int, ffn: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.ffn_in = nn.Linear(dim, ffn)
        self.ffn_out = nn.Linear(ffn, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.ffn_out(F.silu(self.ffn_in(self.norm2(x)))))


class MobileViT(nn.Module):
    """MobileViTv3 (arXiv 2209.15159) by default; v1 (arXiv 2110.02178) is dense, fusion 3, concat input, nothing added.

    Axes: B images, D transformer width, h x w patches of p x p pixels, H x W pixels. Attention joins the pixels that
    hold the same place in every patch. A map that the patch does not divide is resized before, and back after.
    """

    def __init__(
        self,
        in_channels: int,
        out: int,
        *,
        dim: int,
        depth: int,
        ffn: int,
        heads: int = 4,
        patch: int = 2,
        dropout: float = 0.1,
        local: str = "depthwise",
        fusion: int = 1,
        concat: str = "local",
        add_input: bool = True,
    ) -> None:
        super().__init__()
        self.patch, self.concat, self.add_input = patch, concat, add_input
        self.local = Conv(in_channels, in_channels, groups=in_channels if local == "depthwise" else 1)
        self.reduce = nn.Conv2d(in_channels, dim, 1, bias=False)
        self.layers = nn.Sequential(*(TransformerLayer(dim, ffn, heads, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.project = Conv(dim, out, kernel=1)
        beside = dim if concat == "local" else in_channels
        self.fuse = Conv(beside + out, out, kernel=fusion) if fusion else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        local = self.reduce(self.local(x))
        y = self.project(self._attend(local))
        if self.fuse is not None:
            y = self.fuse(torch.cat((local if self.concat == "local" else x, y), dim=1))
        return x + y if self.add_input else y

    def _attend(self, x_BDHW: Tensor) -> Tensor:
        b, d, height, width = x_BDHW.shape
        p = self.patch
        h, w = -(-height // p), -(-width // p)
        resized = (h * p, w * p) != (height, width)
        if resized:
            x_BDHW = F.interpolate(x_BDHW, (h * p, w * p), mode="bilinear", align_corners=False)
        x_BppND = x_BDHW.reshape(b, d, h, p, w, p).permute(0, 3, 5, 2, 4, 1)
        y_BND = self.norm(self.layers(x_BppND.reshape(b * p * p, h * w, d)))
        y_BhpwpD = y_BND.reshape(b, p, p, h, w, d).permute(0, 3, 1, 4, 2, 5)
        y_BDHW = y_BhpwpD.reshape(b, h * p, w * p, d).permute(0, 3, 1, 2)
        if resized:
            y_BDHW = F.interpolate(y_BDHW, (height, width), mode="bilinear", align_corners=False)
        return y_BDHW


LAYER = MobileViT
