"""Softmax attention among pixels, fused with convolution: the block `mobilevit` (MobileViTv1, v3 and between)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.nn._activation import activation
from mvsearch.nn._folded_norms import fold_batch_norms
from mvsearch.nn._fused import (
    eps_of,
    feed_forward_activation,
    fuse_conv,
    join,
    own_activation,
    pointwise,
    resize,
    to_map,
    to_pixels,
)
from mvsearch.nn._layer import BlockLayer, Channels, ChannelTable, Dimension
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
            # A single row attends to itself: queries and keys have no effect. Eval mode computes all, for counters.
            value = slice(-x_BND.shape[2], None)
            return self.out(F.linear(x_BND, self.qkv.weight[value], self.qkv.bias[value]))
        q, k, v = self.qkv(x_BND).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y_BHNd = F.scaled_dot_product_attention(q, k, v)
        return self.out(y_BHNd.transpose(1, 2).flatten(2))


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch norm of the channels of tokens: (B, N, D) → the same."""

    def forward(self, x_BND: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        return super().forward(x_BND.flatten(0, 1)).view_as(x_BND)


def token_norm(dim: int, norm: str, *, merged: bool) -> nn.Module:
    """A norm of tokens; nothing for a batch norm that is part of the layer after it."""
    if norm == "layer":
        return nn.LayerNorm(dim)
    return nn.Identity() if merged else TokenBatchNorm(dim)


class TransformerLayer(nn.Module):
    """Pre-norm attention and feed-forward, each added to its input."""

    def __init__(self, dim: int, ffn: int, heads: int, dropout: float, *, act: str, norm: str, merged: bool) -> None:
        super().__init__()
        self.norm1 = token_norm(dim, norm, merged=merged)
        self.attention = SelfAttention(dim, heads)
        self.norm2 = token_norm(dim, norm, merged=merged)
        self.ffn_in = nn.Linear(dim, ffn)
        self.act = activation(act)
        self.ffn_out = nn.Linear(ffn, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.ffn_out(self.act(self.ffn_in(self.norm2(x)))))


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
        act: str = "silu",
        norm: str = "layer",
        merged: bool = False,
    ) -> None:
        super().__init__()
        self.patch, self.concat, self.add_input = patch, concat, add_input
        self.local = Conv(in_channels, in_channels, groups=in_channels if local == "depthwise" else 1, act=act)
        self.reduce = nn.Conv2d(in_channels, dim, 1, bias=False)
        self.layers = nn.Sequential(
            *(TransformerLayer(dim, ffn, heads, dropout, act=act, norm=norm, merged=merged) for _ in range(depth))
        )
        self.norm = token_norm(dim, norm, merged=merged)
        self.project = Conv(dim, out, kernel=1, act=act)
        beside = dim if concat == "local" else in_channels
        self.fuse = Conv(beside + out, out, kernel=fusion, act=act) if fusion else None

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


class FusedLayer(nn.Module):
    """A transformer layer: (B, N, D) → (B, N, D)."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        attention = layer.attention
        self.heads, self.eps = attention.heads, (eps_of(layer.norm1), eps_of(layer.norm2))
        self.qkv = pointwise(attention.qkv, norm=layer.norm1)
        self.out = pointwise(attention.out)
        self.ffn_in = pointwise(layer.ffn_in, norm=layer.norm2, act=feed_forward_activation(layer))
        self.ffn_out = pointwise(layer.ffn_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        x = self.out(self._attention(self.qkv(_normalise(x, self.eps[0])))).add_(x)
        return self.ffn_out(self.ffn_in(_normalise(x, self.eps[1]))).add_(x)

    def _attention(self, qkv: Tensor) -> Tensor:
        if qkv.shape[1] == 1:
            return qkv.chunk(3, dim=-1)[2]
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def _normalise(x: Tensor, eps: float | None) -> Tensor:
    """A norm of every pixel, without scale and shift; None leaves it as it is."""
    return x if eps is None else F.layer_norm(x, x.shape[-1:], eps=eps)


class FusedMobileViT(nn.Module):
    """The block `mobilevit`: (B, C, H, W) → (B, C, H, W). Axes as in `nn/mobilevit.py`."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.patch, self.concat, self.add_input = block.patch, block.concat, block.add_input
        self.local, self.reduce = fuse_conv(block.local), pointwise(block.reduce)
        self.layers = nn.Sequential(*(FusedLayer(layer) for layer in block.layers))
        self.eps = eps_of(block.norm)
        project = nn.utils.fuse_conv_bn_eval(block.project.conv, block.project.norm)
        self.project = pointwise(project, norm=block.norm, act=own_activation(block.project))
        self.fuse = None
        if block.fuse is not None:
            self.fuse = join(block.fuse, block.fuse.conv.in_channels - project.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        local = self.reduce(to_pixels(self.local(x)))
        y = self.project(self._attend(local))
        if self.fuse is not None:
            y = self.fuse(local if self.concat == "local" else to_pixels(x), y)
        return to_map(y).add_(x) if self.add_input else to_map(y)

    def _attend(self, x_BHWD: Tensor) -> Tensor:
        b, height, width, d = x_BHWD.shape
        p = self.patch
        h, w = -(-height // p), -(-width // p)
        x_BHWD = resize(x_BHWD, (h * p, w * p))
        x_BhpwpD = x_BHWD.reshape(b, h, p, w, p, d)
        y_BND = self.layers(x_BhpwpD.permute(0, 2, 4, 1, 3, 5).reshape(b * p * p, h * w, d))
        y_BppND = _normalise(y_BND, self.eps).reshape(b, p, p, h, w, d)
        y_BHWD = y_BppND.permute(0, 3, 1, 4, 2, 5).reshape(b, h * p, w * p, d)
        return resize(y_BHWD, (height, width))


def _residual_norms(block: Any) -> Sequence[nn.Module]:
    return ((block.fuse or block.project).norm,) if block.add_input else ()


def channels(block: MobileViT) -> ChannelTable:
    """Queries, keys and values head by head; the residual stream of the transformer; the two maps of the fusion."""
    x, dim = block.reduce.in_channels, block.reduce.out_channels
    read, stream = (Channels("in", x),), (Channels("dim", dim),)
    fused = block.fuse is not None
    projected = (Channels("projected" if fused else "out", block.project.conv.out_channels, "projected"),)
    table: dict[str, tuple[Dimension, Dimension]] = {
        "local": (read, read),
        "reduce": (stream, read),
        "norm": (stream, ()),
        "project": (projected, stream),
    }
    if block.fuse is not None:
        beside = Channels("dim", dim, "local") if block.concat == "local" else Channels("in", x, "input")
        table["fuse"] = ((Channels("out", block.fuse.conv.out_channels),), (beside, *projected))
    for i, layer in enumerate(block.layers):
        table |= {f"layers.{i}.{name}": pair for name, pair in _layer_channels(layer, f"layers.{i}", stream).items()}
    return table


def _layer_channels(layer: Any, prefix: str, stream: Dimension) -> ChannelTable:
    dim, heads = stream[0].size, layer.attention.heads
    query, key = (Channels(f"{prefix}.attention.qk", dim, name, heads) for name in ("query", "key"))
    value = Channels(f"{prefix}.attention.v", dim, "value", heads)
    ffn = (Channels(f"{prefix}.ffn", layer.ffn_in.out_features, "ffn"),)
    return {
        "norm1": (stream, ()),
        "attention.qkv": ((query, key, value), stream),
        "attention.out": (stream, (value,)),
        "norm2": (stream, ()),
        "ffn_in": (ffn, stream),
        "ffn_out": (stream, ffn),
    }


LAYER = BlockLayer(
    module=MobileViT,
    fuse=FusedMobileViT,
    parts=frozenset({"local", "reduce", "layers", "norm", "project"}),
    residual_norms=_residual_norms,
    branch_ends=("attention.out.weight", "attention.out.bias", "ffn_out.weight", "ffn_out.bias"),
    channels=channels,
    regrouped=frozenset({"local.conv.weight"}),
    stack="layers",
    merge=fold_batch_norms,
    merged_parts="norms",
)
