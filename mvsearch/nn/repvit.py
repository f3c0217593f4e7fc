"""The block of RepViT (arXiv 2307.09283, section 3), whose branches become one convolution: the block `repvit`."""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.nn._fused import FusedConv, fuse_conv
from mvsearch.nn._layer import BlockLayer, Channels, ChannelTable, Dimension
from mvsearch.nn._squeeze import SqueezeExcite
from mvsearch.nn.conv import Conv


class TokenMixer(nn.Module):
    """Batch norm of the sum of a depthwise 3x3 with norm, a depthwise 1x1 and the input: (B, C, H, W) → the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide = Conv(width, width, groups=width, act="none")
        self.point = nn.Conv2d(width, width, 1, groups=width)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        return self.norm(self.wide(x) + self.point(x) + x)


class ChannelMixer(nn.Module):
    """Two 1x1 convolutions with an activation between them, added to their input: (B, C, H, W) → the same."""

    def __init__(self, width: int, expand: int, act: str) -> None:
        super().__init__()
        self.widen = Conv(width, expand * width, kernel=1, act=act)
        self.narrow = Conv(expand * width, width, kernel=1, act="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        return x + self.narrow(self.widen(x))


class RepViT(nn.Module):
    """Token mixer, squeeze-and-excitation if `se`, channel mixer; a downsampling where it strides or changes the width.

    With `merged` the token mixer is one depthwise convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out: int,
        *,
        expand: int = 2,
        se: int = 0,
        act: str = "gelu",
        merged: bool = False,
        stride: int = 1,
    ) -> None:
        super().__init__()
        down = stride != 1 or in_channels != out
        self.mixer = (
            Conv(in_channels, in_channels, groups=in_channels, act="none") if merged else TokenMixer(in_channels)
        )
        self.se = SqueezeExcite(out) if se and not down else nn.Identity()
        self.before = ChannelMixer(in_channels, expand, act) if down else nn.Identity()
        self.down: nn.Module = nn.Identity()
        if down:
            self.down = nn.Sequential(
                Conv(in_channels, in_channels, stride=stride, groups=in_channels, act="none"),
                Conv(in_channels, out, kernel=1, act="none"),
            )
        self.channel = ChannelMixer(out, expand, act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H/stride, W/stride)."""
        return self.channel(self.down(self.before(self.se(self.mixer(x)))))


class FusedChannelMixer(nn.Module):
    """Two 1x1 convolutions, added to their input: (B, C, H, W) → the same."""

    def __init__(self, mixer: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(fuse_conv(mixer.widen), fuse_conv(mixer.narrow))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        y: Tensor = self.layers(x)
        return y.add_(x)


def fuse_repvit(block: Any) -> nn.Module:
    """The block from convolutions without norms, the token mixer as one."""
    parts = [_fuse_mixer(block.mixer)]
    if not isinstance(block.se, nn.Identity):
        parts.append(block.se)
    if not isinstance(block.before, nn.Identity):
        parts += [FusedChannelMixer(block.before), *(fuse_conv(conv) for conv in block.down)]
    return nn.Sequential(*parts, FusedChannelMixer(block.channel))


def _fuse_mixer(mixer: Any) -> nn.Module:
    if not hasattr(mixer, "point"):
        return FusedConv(mixer)
    channels = mixer.norm.num_features
    merged = Conv(channels, channels, groups=channels, act="none").eval().to(mixer.point.weight)
    merged.load_state_dict(merge_branches(mixer.state_dict(), mixer.wide.norm.eps))
    return FusedConv(merged)


def merge_branches(state: Mapping[str, Tensor], eps: float = 1e-5) -> dict[str, Tensor]:
    """The state of a convolution with norm, from that of a token mixer: the norm's mean takes the branches' shifts."""
    part, dtype = {name: tensor.double() for name, tensor in state.items()}, state["point.weight"].dtype
    scale = part["wide.norm.weight"] / (part["wide.norm.running_var"] + eps).sqrt()
    weight = part["wide.conv.weight"] * scale[:, None, None, None] + F.pad(part["point.weight"] + 1, (1, 1, 1, 1))
    shift = part["wide.norm.bias"] - part["wide.norm.running_mean"] * scale + part["point.bias"]
    merged = {"conv.weight": weight, "norm.running_mean": part["norm.running_mean"] - shift}
    norm = {name: tensor for name, tensor in state.items() if name.startswith("norm.")}
    return norm | {name: tensor.to(dtype) for name, tensor in merged.items()}


def merge(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a block with merged branches, from that of a block with branches."""
    mixer = {name.removeprefix("mixer."): value for name, value in state.items() if name.startswith("mixer.")}
    if not _is_token_mixer(mixer):
        return dict(state)
    others = {name: value for name, value in state.items() if not name.startswith("mixer.")}
    return others | {f"mixer.{name}": value for name, value in merge_branches(mixer).items()}


def _is_token_mixer(state: Mapping[str, Tensor]) -> bool:
    """Whether a state has all parts of a token mixer, in shapes that fit."""
    norms = [f"{norm}.{part}" for norm in ("wide.norm", "norm") for part in ("weight", "bias", "running_mean")]
    channels = len(state.get("norm.weight", ()))
    shapes = {"wide.conv.weight": (channels, 1, 3, 3), "point.weight": (channels, 1, 1, 1), "point.bias": (channels,)}
    shapes |= dict.fromkeys((*norms, "wide.norm.running_var", "norm.running_var"), (channels,))
    return all(name in state and tuple(state[name].shape) == shape for name, shape in shapes.items())


def channels(block: Any) -> ChannelTable:
    """Without downsampling, the input's channels throughout; the hidden channels of each pair of 1x1."""
    width = block.channel.widen.conv.in_channels
    read, out = (Channels("in", width),), (Channels("in", width, "out"),)
    if isinstance(block.down, nn.Sequential):
        read, out = (Channels("in", block.before.widen.conv.in_channels),), (Channels("out", width),)
    table: dict[str, tuple[Dimension, Dimension]] = {"mixer": (read, ())}
    if isinstance(block.se, SqueezeExcite):
        hidden = (Channels("se", block.se.reduce.out_channels),)
        table |= {"se.reduce": (hidden, read), "se.restore": (read, hidden)}
    if isinstance(block.down, nn.Sequential):
        table |= _channel_mixer("before", block.before, read)
        table |= {"down.0": (read, ()), "down.1": (out, read)}
    return table | _channel_mixer("channel", block.channel, out)


def _channel_mixer(name: str, mixer: Any, stream: Dimension) -> dict[str, tuple[Dimension, Dimension]]:
    hidden = (Channels(name, mixer.widen.conv.out_channels, name),)
    return {f"{name}.widen": (hidden, stream), f"{name}.narrow": (stream, hidden)}


def _keeps_channels(block: RepViT) -> bool:
    return isinstance(block.down, nn.Identity)


LAYER = BlockLayer(
    module=RepViT,
    fuse=fuse_repvit,
    parts=frozenset({"mixer", "se", "before", "down", "channel"}),
    channels=channels,
    keeps_channels=_keeps_channels,
    merge=merge,
)
