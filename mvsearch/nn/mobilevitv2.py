"""Separable attention, linear in the number of pixels: the block `mobilevitv2` (MobileViTv2 and the v3 built on it)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.nn._activation import activation
from mvsearch.nn._folded_norms import fold_batch_norms
from mvsearch.nn._fused import eps_of, feed_forward_activation, fuse_conv, join, pointwise, resize, to_map, to_pixels
from mvsearch.nn._layer import BlockLayer, Channels, ChannelTable, Dimension
from mvsearch.nn.conv import Conv


class SeparableAttention(nn.Module):
    """One score per token, one context vector for all (arXiv 2206.02680, section 3.2). Projections are 1x1."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.qkv = nn.Conv2d(dim, 1 + 2 * dim, 1)
        self.out = nn.Conv2d(dim, dim, 1)

    def forward(self, x_BDPN: Tensor) -> Tensor:
        """(B, D, P, N) → (B, D, P, N): P places in a patch, N patches."""
        q_B1PN, k_BDPN, v_BDPN = self.qkv(x_BDPN).split((1, self.dim, self.dim), dim=1)
        context_BDP1 = (k_BDPN * q_B1PN.softmax(dim=-1)).sum(dim=-1, keepdim=True)
        return self.out(F.relu(v_BDPN) * context_BDP1)


def map_norm(dim: int, norm: str, *, merged: bool) -> nn.Module:
    """A norm of maps, over all of an image or batch norm; nothing for one that is part of the layer after it."""
    if norm == "layer":
        return nn.GroupNorm(1, dim)
    return nn.Identity() if merged else nn.BatchNorm2d(dim)


class SeparableLayer(nn.Module):
    """Pre-norm separable attention and feed-forward, each added to its input."""

    def __init__(self, dim: int, ffn: int, *, act: str, norm: str, merged: bool) -> None:
        super().__init__()
        self.norm1 = map_norm(dim, norm, merged=merged)
        self.attention = SeparableAttention(dim)
        self.norm2 = map_norm(dim, norm, merged=merged)
        self.ffn_in = nn.Conv2d(dim, ffn, 1)
        self.act = activation(act)
        self.ffn_out = nn.Conv2d(ffn, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, P, N) → (B, D, P, N)."""
        x = x + self.attention(self.norm1(x))
        return x + self.ffn_out(self.act(self.ffn_in(self.norm2(x))))


class MobileViTv2(nn.Module):
    """MobileViTv3-0.5 ... 1.0 (arXiv 2209.15159) by default; v2 (arXiv 2206.02680) has fusion 0 and adds nothing.

    Axes: B images, D transformer width, h x w patches of p x p pixels. A map that the patch does not divide is resized
    on entry, and what comes out keeps the new size.
    """

    def __init__(
        self,
        in_channels: int,
        out: int,
        *,
        dim: int,
        depth: int,
        ffn: int,
        patch: int = 2,
        fusion: int = 1,
        add_input: bool = True,
        act: str = "silu",
        norm: str = "layer",
        merged: bool = False,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.patch, self.fusion, self.add_input = patch, fusion, add_input
        self.local = Conv(in_channels, in_channels, groups=in_channels, act=act, dilation=dilation)
        self.reduce = nn.Conv2d(in_channels, dim, 1, bias=False)
        self.layers = nn.Sequential(
            *(SeparableLayer(dim, ffn, act=act, norm=norm, merged=merged) for _ in range(depth))
        )
        self.norm = map_norm(dim, norm, merged=merged)
        self.project = Conv(2 * dim if fusion else dim, out, kernel=1, act="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H', W'), the next multiples of the patch."""
        p = self.patch
        h, w = -(-x.shape[2] // p), -(-x.shape[3] // p)
        if (h * p, w * p) != x.shape[2:]:
            x = F.interpolate(x, (h * p, w * p), mode="bilinear", align_corners=True)
        local = self.reduce(self.local(x))
        y = self._attend(local, h, w)
        y = self.project(torch.cat((y, local), dim=1) if self.fusion else y)
        return x + y if self.add_input else y

    def _attend(self, x_BDHW: Tensor, h: int, w: int) -> Tensor:
        b, d = x_BDHW.shape[:2]
        p = self.patch
        x_BDPN = x_BDHW.reshape(b, d, h, p, w, p).permute(0, 1, 3, 5, 2, 4).reshape(b, d, p * p, h * w)
        y_BDPN = self.norm(self.layers(x_BDPN))
        return y_BDPN.reshape(b, d, p, p, h, w).permute(0, 1, 4, 2, 5, 3).reshape(b, d, h * p, w * p)


class FusedSeparableLayer(nn.Module):
    """A layer of separable attention: (B, h, p, w, p, D) → the same; norms are over all of an image."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.dim, self.eps = layer.attention.dim, (eps_of(layer.norm1), eps_of(layer.norm2))
        self.qkv = pointwise(layer.attention.qkv, norm=layer.norm1)
        self.out = pointwise(layer.attention.out)
        self.ffn_in = pointwise(layer.ffn_in, norm=layer.norm2, act=feed_forward_activation(layer))
        self.ffn_out = pointwise(layer.ffn_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, p, w, p, D) → (B, h, p, w, p, D)."""
        q, k, v = self.qkv(normalise(x, self.eps[0])).split((1, self.dim, self.dim), dim=-1)
        scores = (q - q.amax((1, 3), keepdim=True)).exp_()
        context = (k * scores.div_(scores.sum((1, 3), keepdim=True))).sum((1, 3), keepdim=True)
        x = self.out(F.relu(v).mul_(context)).add_(x)
        return self.ffn_out(self.ffn_in(normalise(x, self.eps[1]))).add_(x)


def normalise(x: Tensor, eps: float | None) -> Tensor:
    """A norm over all of an image, without scale and shift; None leaves it as it is."""
    return x if eps is None else F.layer_norm(x, x.shape[1:], eps=eps)


class FusedMobileViTv2(nn.Module):
    """The block `mobilevitv2`: (B, C, H, W) → (B, C, H', W')."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.patch, self.add_input, self.eps = block.patch, block.add_input, eps_of(block.norm)
        self.local, self.reduce = fuse_conv(block.local), pointwise(block.reduce)
        self.layers = nn.Sequential(*(FusedSeparableLayer(layer) for layer in block.layers))
        self.fusion = block.fusion
        if self.fusion:
            self.project = join(block.project, block.reduce.out_channels, norm=block.norm)
        else:
            project = nn.utils.fuse_conv_bn_eval(block.project.conv, block.project.norm)
            self.project = pointwise(project, norm=block.norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H', W'), the next multiples of the patch."""
        p = self.patch
        h, w = -(-x.shape[2] // p), -(-x.shape[3] // p)
        x = to_map(resize(to_pixels(x), (h * p, w * p), align_corners=True))
        local = self.reduce(to_pixels(self.local(x)))
        y = normalise(self.layers(local.reshape(len(x), h, p, w, p, -1)), self.eps).reshape(local.shape)
        y = self.project(y, local) if self.fusion else self.project(y)
        return to_map(y).add_(x) if self.add_input else to_map(y)


def _residual_norms(block: Any) -> Sequence[nn.Module]:
    return (block.project.norm,) if block.add_input else ()


def channels(block: MobileViTv2) -> ChannelTable:
    """The residual stream of the transformer; query, keys and values; the two maps that the projection reads."""
    x, dim = block.reduce.in_channels, block.reduce.out_channels
    read, stream = (Channels("in", x),), (Channels("dim", dim),)
    joined = [Channels("dim", dim, name) for name in ("attended", "local")[: 2 if block.fusion else 1]]
    table: dict[str, tuple[Dimension, Dimension]] = {
        "local": (read, ()),
        "reduce": (stream, read),
        "norm": (stream, ()),
        "project": ((Channels("out", block.project.conv.out_channels),), tuple(joined)),
    }
    for i, layer in enumerate(block.layers):
        table |= {f"layers.{i}.{name}": pair for name, pair in _layer_channels(layer, f"layers.{i}", stream).items()}
    return table


def _layer_channels(layer: Any, prefix: str, stream: Dimension) -> ChannelTable:
    dim = stream[0].size
    # Keys are summed into one vector, which values are multiplied by: both have one order.
    key, value = (Channels(f"{prefix}.values", dim, name) for name in ("key", "value"))
    ffn = (Channels(f"{prefix}.ffn", layer.ffn_in.out_channels, "ffn"),)
    return {
        "norm1": (stream, ()),
        "attention.qkv": ((Channels(f"{prefix}.query", 1, "query"), key, value), stream),
        "attention.out": (stream, (value,)),
        "norm2": (stream, ()),
        "ffn_in": (ffn, stream),
        "ffn_out": (stream, ffn),
    }


LAYER = BlockLayer(
    module=MobileViTv2,
    fuse=FusedMobileViTv2,
    parts=frozenset({"local", "reduce", "layers", "norm", "project"}),
    residual_norms=_residual_norms,
    branch_ends=("attention.out.weight", "attention.out.bias", "ffn_out.weight", "ffn_out.bias"),
    channels=channels,
    regrouped=frozenset({"local.conv.weight"}),
    stack="layers",
    merge=fold_batch_norms,
    merged_parts="norms",
)
