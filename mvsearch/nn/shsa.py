"""The block of SHViT (arXiv 2401.16456, section 3), attention of one head on a part of the channels: `shsa`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mvsearch.arch.blocks.shsa import MERGING
from mvsearch.nn._activation import activation
from mvsearch.nn._fused import fuse_conv
from mvsearch.nn._layer import BlockLayer, Channels, ChannelTable, Dimension
from mvsearch.nn._squeeze import SqueezeExcite
from mvsearch.nn.conv import Conv


class SingleHeadAttention(nn.Module):
    """Attention among pixels of the first `dim` of `width` channels, then a 1x1 over all: (B, C, H, W) → the same."""

    def __init__(self, width: int, dim: int, qk: int, norm: str, act: str) -> None:
        super().__init__()
        self.sizes, self.rest = (qk, qk, dim), width - dim
        self.norm: nn.Module = nn.GroupNorm(1, dim) if norm == "layer" else nn.BatchNorm2d(dim)
        self.qkv = Conv(dim, 2 * qk + dim, kernel=1, act="none")
        self.act = activation(act)
        self.project = Conv(width, width, kernel=1, act="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        part, rest = x.split((self.sizes[2], self.rest), dim=1)
        q_BKN, k_BKN, v_BDN = self.qkv(self.norm(part)).flatten(2).split(self.sizes, dim=1)
        scores_BNN = (q_BKN.transpose(1, 2) @ k_BKN) * self.sizes[0] ** -0.5
        attended = (v_BDN @ scores_BNN.softmax(-1).transpose(1, 2)).view(part.shape)
        return self.project(self.act(torch.cat((attended, rest), dim=1)))


class FeedForward(nn.Module):
    """Two 1x1 convolutions with an activation between them: (B, C, H, W) → the same."""

    def __init__(self, width: int, expand: int, act: str) -> None:
        super().__init__()
        self.widen = Conv(width, expand * width, kernel=1, act=act)
        self.narrow = Conv(expand * width, width, kernel=1, act="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        return self.narrow(self.widen(x))


class Residual(nn.Sequential):
    """Modules one after the other, whose output is added to the input."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return x + y


class SingleHead(nn.Module):
    """Downsampling where shapes change; depthwise 3x3, attention if `dim`, feed-forward, each with a residual."""

    def __init__(
        self,
        in_channels: int,
        out: int,
        *,
        dim: int = 0,
        qk: int = 16,
        expand: int = 2,
        norm: str = "layer",
        act: str = "relu",
        stride: int = 1,
    ) -> None:
        super().__init__()
        down = stride != 1 or in_channels != out
        self.before: nn.Module = nn.Identity()
        self.down: nn.Module = nn.Identity()
        if down:
            hidden = MERGING * in_channels
            self.before = nn.Sequential(
                Residual(Conv(in_channels, in_channels, groups=in_channels, act="none")),
                Residual(FeedForward(in_channels, expand, act)),
            )
            self.down = nn.Sequential(
                Conv(in_channels, hidden, kernel=1, act=act),
                Conv(hidden, hidden, stride=stride, groups=hidden, act=act),
                SqueezeExcite(hidden),
                Conv(hidden, out, kernel=1, act="none"),
            )
        self.local = Residual(Conv(out, out, groups=out, act="none"))
        self.attention = Residual(SingleHeadAttention(out, dim, qk, norm, act)) if dim else nn.Identity()
        self.ffn = Residual(FeedForward(out, expand, act))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H/stride, W/stride)."""
        return self.ffn(self.attention(self.local(self.down(self.before(x)))))


def fuse_single_head(block: Any) -> nn.Module:
    """The block with norms inside convolutions."""
    return nn.Sequential(*(_fuse(part) for part in block.children() if not isinstance(part, nn.Identity)))


def _fuse(part: Any) -> nn.Module:
    """A part with its norms inside its convolutions; that before attention too where it is a batch norm."""
    kind = type(part).__name__
    if kind == "Conv":
        return fuse_conv(part)
    if kind == "SingleHeadAttention":
        return FusedSingleHeadAttention(part)
    if kind == "FeedForward":
        return nn.Sequential(fuse_conv(part.widen), fuse_conv(part.narrow))
    if kind == "Residual":
        return FusedResidual(*(_fuse(child) for child in part))
    return nn.Sequential(*(_fuse(child) for child in part)) if kind == "Sequential" else part


class FusedResidual(nn.Sequential):
    """Modules one after the other; the input is added in place."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return y.add_(x)


class FusedSingleHeadAttention(nn.Module):
    """The attention with norms inside convolutions: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.sizes, self.rest = attention.sizes, attention.rest
        self.norm, self.act = attention.norm, attention.act
        self.qkv, self.project = fuse_conv(attention.qkv), fuse_conv(attention.project)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        part, rest = x.split((self.sizes[2], self.rest), dim=1)
        q_BKN, k_BKN, v_BDN = self.qkv(self.norm(part)).flatten(2).split(self.sizes, dim=1)
        scores_BNN = (q_BKN.transpose(1, 2) @ k_BKN).mul_(self.sizes[0] ** -0.5)
        attended = (v_BDN @ scores_BNN.softmax(-1).transpose(1, 2)).view(part.shape)
        return self.project(self.act(torch.cat((attended, rest), dim=1)))


def _residual_norms(block: Any) -> Sequence[nn.Module]:
    """Those of the branches, where the block keeps the shape of its input."""
    if not isinstance(block.down, nn.Identity):
        return ()
    attention = () if isinstance(block.attention, nn.Identity) else (block.attention[0].project.norm,)
    return (block.local[0].norm, *attention, block.ffn[0].narrow.norm)


def channels(block: Any) -> ChannelTable:
    """The residual stream, which keeps its order where a part of it attends; what is inside each part.

    The channels that attend become the values, at their own places.
    """
    width = block.local[0].conv.out_channels
    read, out = (Channels("in", width),), (Channels("in", width, "out"),)
    table: dict[str, tuple[Dimension, Dimension]] = {}
    if not isinstance(block.down, nn.Identity):
        first = block.down[0].conv
        read, out = (Channels("in", first.in_channels),), (Channels("out", width),)
        merging, squeezed = (Channels("merging", first.out_channels),), block.down[2].reduce.out_channels
        se = (Channels("se", squeezed),)
        table |= {"before.0.0": (read, ()), **_feed_forward("before.1.0", block.before[1][0], read)}
        table |= {"down.0": (merging, read), "down.1": (merging, ()), "down.3": (out, merging)}
        table |= {"down.2.reduce": (se, merging), "down.2.restore": (merging, se)}
    table |= {"local.0": (out, ()), **_feed_forward("ffn.0", block.ffn[0], out)}
    if not isinstance(block.attention, nn.Identity):
        qk, _, dim = block.attention[0].sizes
        query, key = (Channels("qk", qk, name) for name in ("query", "key"))
        table |= {
            "attention.0.qkv": ((query, key, Channels("value", dim, fixed=True)), ()),
            "attention.0.project": ((replace(out[0], fixed=True),), ()),
        }
    return table


def _feed_forward(name: str, part: Any, stream: Dimension) -> dict[str, tuple[Dimension, Dimension]]:
    hidden = (Channels(name, part.widen.conv.out_channels, name),)
    return {f"{name}.widen": (hidden, stream), f"{name}.narrow": (stream, hidden)}


LAYER = BlockLayer(
    module=SingleHead,
    fuse=fuse_single_head,
    parts=frozenset({"before", "down", "local", "attention", "ffn"}),
    residual_norms=_residual_norms,
    branch_ends=("project.norm.weight", "project.norm.bias"),
    channels=channels,
)
