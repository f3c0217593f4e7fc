"""Convolution, batch norm, activation: the block `conv`, which the other blocks are made of."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.nn._activation import activation
from mvsearch.nn._fused import fuse_conv
from mvsearch.nn._layer import BlockLayer, Channels, ChannelTable


class Conv(nn.Sequential):
    """Convolution, batch norm and, unless `act` is "none", an activation: (B, C, H, W) → (B, out, H/s, W/s).

    In training on a CPU, small maps are computed by other operators with the same products, which is faster. Hooks on
    `conv` are not called then; in eval mode, where costs are counted, they always are.
    """

    def __init__(
        self,
        in_channels: int,
        out: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        act: str = "silu",
        bias: bool = False,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        padding = kernel // 2 * dilation
        self.conv = nn.Conv2d(in_channels, out, kernel, stride, padding, dilation, groups, bias)
        self.norm = nn.BatchNorm2d(out)
        if act != "none":
            self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H/s, W/s)."""
        return self.activate(self.convolve(x))

    def convolve(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H/s, W/s): the convolution alone."""
        return _small(self.conv, x) if self.training and x.is_cpu and max(x.shape[2:]) <= 4 else self.conv(x)

    def activate(self, x: Tensor) -> Tensor:
        """Batch norm and activation: (B, out, H, W) → the same."""
        for module in list(self)[1:]:
            x = module(x)
        return x


def _small(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """The output of `conv` for at most 4x4 pixels, without oneDNN's set-up and reference kernels where possible.

    With gradients, oneDNN takes 1.1 to 3 times as long for dense convolutions, 4 to 80 times for depthwise ones.
    """
    side, kernel, stride = max(x.shape[2:]), conv.kernel_size[0], conv.stride[0]
    if conv.groups == 1 and (side == 1 or kernel == stride == 1):
        weight = conv.weight[:, :, kernel // 2, kernel // 2]
        return F.linear(x.permute(0, 2, 3, 1), weight, conv.bias).permute(0, 3, 1, 2)
    depthwise = conv.groups == conv.in_channels == conv.out_channels and conv.bias is None
    if depthwise and kernel == 3 and conv.dilation == (1, 1) and side <= 2:
        return _depthwise(x, conv.weight, stride)
    return conv(x)


def _depthwise(x_BCHW: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A 3x3 convolution of at most 2x2 pixels, padded by 1: one weight connects each input and output pixel."""
    b, c, height, width = x_BCHW.shape
    rows, columns = (
        torch.arange(side) - stride * torch.arange(-(-side // stride))[:, None] + 1 for side in (height, width)
    )
    index = 3 * rows[:, None, :, None] + columns[None, :, None, :]
    weight_OIC = weight.flatten(1).T[index.flatten(2).flatten(0, 1)]
    y_BOC = (x_BCHW.permute(0, 2, 3, 1).reshape(b, 1, height * width, c) * weight_OIC).sum(2)
    return y_BOC.view(b, len(rows), len(columns), c).permute(0, 3, 1, 2)


def channels(block: Conv) -> ChannelTable:
    """The block's input and output."""
    read, out = (Channels("in", block.conv.in_channels),), (Channels("out", block.conv.out_channels),)
    return {"conv": (out, read), "norm": (out, ())}


LAYER = BlockLayer(module=Conv, fuse=fuse_conv, parts=frozenset({"conv", "norm"}), channels=channels)
