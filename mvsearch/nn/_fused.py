"""The parts of fused networks: convolutions with their norms inside, products of pixels, joined maps."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.nn._activation import in_place


class Pointwise(nn.Module):
    """A linear layer or 1x1 convolution, and an activation, on the channels of pixels: (..., C) → (..., out)."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, act: nn.Module | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight[..., None, None].contiguous(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.act = in_place(act)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) → (..., out)."""
        y = self._onednn(x) if _by_onednn(x) else F.linear(x, self.weight.flatten(1), self.bias)
        return y if self.act is None else self.act(y)

    def _onednn(self, x: Tensor) -> Tensor:
        # All pixels as those of one image. F.conv2d uses a slower implementation for one image on one thread.
        rows = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
        y = torch.mkldnn_convolution(rows, self.weight, self.bias, (0, 0), (1, 1), (1, 1), 1)
        return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def _by_onednn(x: Tensor) -> bool:
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    return bool(torch.backends.mkldnn.is_available())


def pointwise(layer: Any, *, norm: Any = None, act: nn.Module | None = None) -> Pointwise:
    """A linear layer or 1x1 convolution; with `norm`, the scale and shift of the norm before it are part of it."""
    weight, bias = fold_norm(norm, layer.weight.flatten(1), layer.bias)
    return Pointwise(weight, bias, act=act)


def fold_norm(norm: Any, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Weights that include the scale and shift of the norm before them."""
    if norm is None or isinstance(norm, nn.Identity):
        return weight, bias
    scale, offset = norm.weight, norm.bias
    if hasattr(norm, "running_mean"):  # a batch norm, which is nothing else at inference
        scale = scale / (norm.running_var + norm.eps).sqrt()
        offset = offset - norm.running_mean * scale
    shift = weight @ offset
    return weight * scale, shift if bias is None else bias + shift


def eps_of(norm: Any) -> float | None:
    """The epsilon of a norm over an image or its pixels; None for what is folded whole, or nothing."""
    return None if isinstance(norm, nn.Identity) or hasattr(norm, "running_mean") else norm.eps


def feed_forward_activation(layer: Any) -> nn.Module:
    """The activation of a transformer layer; files that were exported before it could be chosen have SiLU."""
    return getattr(layer, "act", None) or nn.SiLU()


class FusedConv(nn.Module):
    """A convolution with its batch norm inside, and the block's activation: (B, C, H, W) → (B, out, H/s, W/s)."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv = nn.utils.fuse_conv_bn_eval(block.conv, block.norm)
        self.act = in_place(own_activation(block))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H/s, W/s)."""
        y: Tensor = self.conv(x)
        return y if self.act is None else self.act(y)


class OnMaps(nn.Module):
    """A layer of pixels, applied to maps: (B, C, H, W) → (B, out, H, W)."""

    def __init__(self, layer: Pointwise) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H, W)."""
        return to_map(self.layer(to_pixels(x)))


def to_pixels(x_BCHW: Tensor) -> Tensor:
    """(B, C, H, W) → (B, H, W, C)."""
    return x_BCHW.permute(0, 2, 3, 1)


def to_map(x_BHWC: Tensor) -> Tensor:
    """(B, H, W, C) → (B, C, H, W)."""
    return x_BHWC.permute(0, 3, 1, 2)


def own_activation(block: Any) -> nn.Module | None:
    """The activation at the end of a convolution block, if it has one."""
    return dict(block.named_children()).get("act")


def fuse_conv(block: Any) -> nn.Module:
    """The block `conv` with its norm inside the convolution."""
    conv = block.conv
    if (*conv.kernel_size, *conv.stride, conv.groups) != (1, 1, 1, 1, 1):
        return FusedConv(block)
    return OnMaps(pointwise(nn.utils.fuse_conv_bn_eval(conv, block.norm), act=own_activation(block)))


class FusedBottleneck(nn.Module):
    """An inverted bottleneck: its convolutions in a row, and its residual. (B, C, H, W) → (B, out, H/s, W/s)."""

    def __init__(self, parts: Sequence[nn.Module], *, residual: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(fuse_conv(part) for part in parts if not isinstance(part, nn.Identity)))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H/s, W/s)."""
        y: Tensor = self.layers(x)
        return y.add_(x) if self.residual else y


def resize(x_BHWC: Tensor, size: tuple[int, int], *, align_corners: bool = False) -> Tensor:
    """(B, H, W, C) → (B, *size, C)."""
    if x_BHWC.shape[1:3] == size:
        return x_BHWC
    return to_pixels(F.interpolate(to_map(x_BHWC), size, mode="bilinear", align_corners=align_corners))


class Joined(nn.Module):
    """Two maps joined and projected, computed as the sum of their projections; and an activation."""

    def __init__(self, first: Pointwise, second: Pointwise, *, act: nn.Module | None) -> None:
        super().__init__()
        self.first, self.second, self.act = first, second, in_place(act)

    def forward(self, a_BHWC: Tensor, b_BHWC: Tensor) -> Tensor:
        """(B, H, W, C1), (B, H, W, C2) → (B, H, W, out)."""
        y = self.first(a_BHWC).add_(self.second(b_BHWC))
        return y if self.act is None else self.act(y)


class JoinedMaps(nn.Module):
    """The same with a kernel of several pixels."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv = FusedConv(block)

    def forward(self, a_BHWC: Tensor, b_BHWC: Tensor) -> Tensor:
        """(B, H, W, C1), (B, H, W, C2) → (B, H, W, out)."""
        return to_pixels(self.conv(to_map(torch.cat((a_BHWC, b_BHWC), dim=-1))))


def join(block: Any, first: int, *, norm: Any = None) -> nn.Module:
    """The projection of two joined maps; the first has `first` channels, and `norm` is the norm before it."""
    if block.conv.kernel_size != (1, 1):
        return JoinedMaps(block)
    conv = nn.utils.fuse_conv_bn_eval(block.conv, block.norm)
    weights = conv.weight.flatten(1).split((first, conv.in_channels - first), dim=1)
    one = Pointwise(*fold_norm(norm, weights[0], conv.bias))
    return Joined(one, Pointwise(weights[1], None), act=own_activation(block))
