"""A built network made fast for inference: the same answers up to rounding, from fewer and cheaper operators.

* Batch norms become part of the convolutions before them; the scale and shift of a norm over tokens, of what follows.
* Maps are stored channels last, so that pixels are rows of a matrix. Patches are gathered by one copy and put back by
  another; separable attention works on the pixels where they are.
* Activations and sums overwrite what nobody else reads. Two maps joined and projected are two projections summed.
* A token on its own attends to itself alone, whatever it scores: its value is taken as it is.
* On a CPU 1x1 convolutions and linear layers are one and the same oneDNN product, and a batch goes through in groups
  of images whose maps stay in the cache.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUP_PIXELS = 4 * 256 * 256
"""So many pixels of images go through a CPU at once; docs/benchmarks/inference.md has what other numbers take."""


def fuse(model: nn.Module) -> "Fused":
    """A copy for inference alone: in eval mode, without gradients, channels last. The model stays as it was.

    Our blocks are replaced wherever they are inside the model, also where an exported file has its own copy of their
    classes; whatever else there is, is kept as it is. Maps go in and come out as before.
    """
    layout: dict[str, Any] = {"memory_format": torch.channels_last}
    return Fused(_fused(copy.deepcopy(model).eval().requires_grad_(False)).to(**layout))


class Fused(nn.Module):
    """A fused network: on a CPU, the images of a batch go through it in groups."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        """(B, 3, H, W) → what the network gives: a tensor, or tensors in a list, a tuple or a dict."""
        x = x.contiguous(memory_format=torch.channels_last)
        group = max(1, GROUP_PIXELS // (x.shape[2] * x.shape[3]))
        if x.device.type != "cpu" or len(x) <= group:
            return self.network(x)
        return _together([self.network(part) for part in x.split(group)])


def _together(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {key: _together([part[key] for part in parts]) for key in first}
    if isinstance(first, list | tuple):
        return type(first)(_together(list(each)) for each in zip(*parts, strict=True))
    return torch.cat(parts)


def _fused(module: nn.Module) -> nn.Module:
    if (fast := _FAST.get(_signature(module))) is not None:
        return fast(module)
    for name, child in module.named_children():
        setattr(module, name, _fused(child))
    return module


def _signature(module: nn.Module) -> tuple[str, frozenset[str]]:
    """What a block is known by: an exported file's classes are not ours, but have the same names and parts."""
    return type(module).__name__, frozenset(name for name, _ in module.named_children()) - {"act", "fuse"}


class Pointwise(nn.Module):
    """A linear layer or 1x1 convolution, with SiLU if `act`, on the channels of pixels: (..., C) → (..., out)."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, act: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight[..., None, None].contiguous(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) → (..., out)."""
        y = self._onednn(x) if _by_onednn(x) else F.linear(x, self.weight.flatten(1), self.bias)
        return F.silu(y, inplace=True) if self.act else y

    def _onednn(self, x: Tensor) -> Tensor:
        # The pixels as those of one image. F.conv2d would take a slower way for one image on one thread.
        rows = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
        y = torch.mkldnn_convolution(rows, self.weight, self.bias, (0, 0), (1, 1), (1, 1), 1)
        return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def _by_onednn(x: Tensor) -> bool:
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    return bool(torch.backends.mkldnn.is_available())


def _pointwise(layer: Any, *, behind: Any = None, act: bool = False) -> Pointwise:
    """A linear layer or 1x1 convolution; with the scale and shift of the norm that it stands `behind`."""
    weight, bias = layer.weight.flatten(1), layer.bias
    return Pointwise(*_behind(behind, weight, bias), act=act)


def _behind(norm: Any, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Weights that take what the norm gives before its scale and shift."""
    if norm is None:
        return weight, bias
    shift = weight @ norm.bias
    return weight * norm.weight, shift if bias is None else bias + shift


class FusedConv(nn.Module):
    """A convolution, its batch norm inside it, and SiLU if the block has it: (B, C, H, W) → (B, out, H/s, W/s)."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv = nn.utils.fuse_conv_bn_eval(block.conv, block.norm)
        self.act = hasattr(block, "act")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H/s, W/s)."""
        y: Tensor = self.conv(x)
        return F.silu(y, inplace=True) if self.act else y


class OnMaps(nn.Module):
    """A layer on pixels, for maps: (B, C, H, W) → (B, out, H, W)."""

    def __init__(self, layer: Pointwise) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H, W)."""
        return _map(self.layer(_pixels(x)))


def _pixels(x_BCHW: Tensor) -> Tensor:
    return x_BCHW.permute(0, 2, 3, 1)


def _map(x_BHWC: Tensor) -> Tensor:
    return x_BHWC.permute(0, 3, 1, 2)


def _conv(block: Any) -> nn.Module:
    conv = block.conv
    if (*conv.kernel_size, *conv.stride, conv.groups) != (1, 1, 1, 1, 1):
        return FusedConv(block)
    return OnMaps(_pointwise(nn.utils.fuse_conv_bn_eval(conv, block.norm), act=hasattr(block, "act")))


class FusedMV2(nn.Module):
    """The inverted residual: (B, C, H, W) → (B, out, H/s, W/s)."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(block.widen), _conv(block.depthwise), _conv(block.narrow))
        self.residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, out, H/s, W/s)."""
        y: Tensor = self.layers(x)
        return y.add_(x) if self.residual else y


class FusedLayer(nn.Module):
    """A transformer layer: (B, N, D) → (B, N, D)."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        attention = layer.attention
        self.heads, self.eps = attention.heads, (layer.norm1.eps, layer.norm2.eps)
        self.qkv = _pointwise(attention.qkv, behind=layer.norm1)
        self.out = _pointwise(attention.out)
        self.ffn_in = _pointwise(layer.ffn_in, behind=layer.norm2, act=True)
        self.ffn_out = _pointwise(layer.ffn_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        width = x.shape[-1:]
        x = self.out(self._attended(self.qkv(F.layer_norm(x, width, eps=self.eps[0])))).add_(x)
        return self.ffn_out(self.ffn_in(F.layer_norm(x, width, eps=self.eps[1]))).add_(x)

    def _attended(self, qkv: Tensor) -> Tensor:
        if qkv.shape[1] == 1:
            return qkv.chunk(3, dim=-1)[2]
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class FusedMobileViT(nn.Module):
    """The block `mobilevit`: (B, C, H, W) → (B, C, H, W). Axes as in `nn/mobilevit.py`."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.patch, self.concat, self.add_input = block.patch, block.concat, block.add_input
        self.local, self.reduce = _conv(block.local), _pointwise(block.reduce)
        self.layers = nn.Sequential(*(FusedLayer(layer) for layer in block.layers))
        self.eps = block.norm.eps
        project = nn.utils.fuse_conv_bn_eval(block.project.conv, block.project.norm)
        self.project = _pointwise(project, behind=block.norm, act=True)
        self.fuse = None
        if block.fuse is not None:
            self.fuse = _joined(block.fuse, block.fuse.conv.in_channels - project.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        local = self.reduce(_pixels(self.local(x)))
        y = self.project(self._attend(local))
        if self.fuse is not None:
            y = self.fuse(local if self.concat == "local" else _pixels(x), y)
        return _map(y).add_(x) if self.add_input else _map(y)

    def _attend(self, x_BHWD: Tensor) -> Tensor:
        b, height, width, d = x_BHWD.shape
        p = self.patch
        h, w = -(-height // p), -(-width // p)
        x_BHWD = _resized(x_BHWD, (h * p, w * p))
        x_BhpwpD = x_BHWD.reshape(b, h, p, w, p, d)
        y_BND = self.layers(x_BhpwpD.permute(0, 2, 4, 1, 3, 5).reshape(b * p * p, h * w, d))
        y_BppND = F.layer_norm(y_BND, (d,), eps=self.eps).reshape(b, p, p, h, w, d)
        y_BHWD = y_BppND.permute(0, 3, 1, 4, 2, 5).reshape(b, h * p, w * p, d)
        return _resized(y_BHWD, (height, width))


def _resized(x_BHWC: Tensor, size: tuple[int, int], *, align_corners: bool = False) -> Tensor:
    if x_BHWC.shape[1:3] == size:
        return x_BHWC
    return _pixels(F.interpolate(_map(x_BHWC), size, mode="bilinear", align_corners=align_corners))


class Joined(nn.Module):
    """Two maps joined and projected, which is the sum of a projection of each; with SiLU if `act`."""

    def __init__(self, first: Pointwise, second: Pointwise, *, act: bool) -> None:
        super().__init__()
        self.first, self.second, self.act = first, second, act

    def forward(self, a_BHWC: Tensor, b_BHWC: Tensor) -> Tensor:
        """(B, H, W, C1), (B, H, W, C2) → (B, H, W, out)."""
        y = self.first(a_BHWC).add_(self.second(b_BHWC))
        return F.silu(y, inplace=True) if self.act else y


class JoinedMaps(nn.Module):
    """The same with a kernel of several pixels."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv = FusedConv(block)

    def forward(self, a_BHWC: Tensor, b_BHWC: Tensor) -> Tensor:
        """(B, H, W, C1), (B, H, W, C2) → (B, H, W, out)."""
        return _pixels(self.conv(_map(torch.cat((a_BHWC, b_BHWC), dim=-1))))


def _joined(block: Any, first: int, *, behind: Any = None) -> nn.Module:
    """What takes two maps, of which the first has so many channels and may come straight from a norm."""
    if block.conv.kernel_size != (1, 1):
        return JoinedMaps(block)
    conv = nn.utils.fuse_conv_bn_eval(block.conv, block.norm)
    weights = conv.weight.flatten(1).split((first, conv.in_channels - first), dim=1)
    one = Pointwise(*_behind(behind, weights[0], conv.bias))
    return Joined(one, Pointwise(weights[1], None), act=hasattr(block, "act"))


class FusedSeparableLayer(nn.Module):
    """A layer of separable attention: (B, h, p, w, p, D) → the same; norms are over all of an image."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.dim, self.eps = layer.attention.dim, (layer.norm1.eps, layer.norm2.eps)
        self.qkv = _pointwise(layer.attention.qkv, behind=layer.norm1)
        self.out = _pointwise(layer.attention.out)
        self.ffn_in = _pointwise(layer.ffn_in, behind=layer.norm2, act=True)
        self.ffn_out = _pointwise(layer.ffn_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, p, w, p, D) → (B, h, p, w, p, D)."""
        q, k, v = self.qkv(_normed(x, self.eps[0])).split((1, self.dim, self.dim), dim=-1)
        scores = (q - q.amax((1, 3), keepdim=True)).exp_()
        context = (k * scores.div_(scores.sum((1, 3), keepdim=True))).sum((1, 3), keepdim=True)
        x = self.out(F.relu(v).mul_(context)).add_(x)
        return self.ffn_out(self.ffn_in(_normed(x, self.eps[1]))).add_(x)


def _normed(x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[1:], eps=eps)


class FusedMobileViTv2(nn.Module):
    """The block `mobilevitv2`: (B, C, H, W) → (B, C, H', W')."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.patch, self.add_input, self.eps = block.patch, block.add_input, block.norm.eps
        self.local, self.reduce = _conv(block.local), _pointwise(block.reduce)
        self.layers = nn.Sequential(*(FusedSeparableLayer(layer) for layer in block.layers))
        self.fusion = block.fusion
        if self.fusion:
            self.project = _joined(block.project, block.reduce.out_channels, behind=block.norm)
        else:
            project = nn.utils.fuse_conv_bn_eval(block.project.conv, block.project.norm)
            self.project = _pointwise(project, behind=block.norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H', W'), the next multiples of the patch."""
        p = self.patch
        h, w = -(-x.shape[2] // p), -(-x.shape[3] // p)
        x = _map(_resized(_pixels(x), (h * p, w * p), align_corners=True))
        local = self.reduce(_pixels(self.local(x)))
        y = _normed(self.layers(local.reshape(len(x), h, p, w, p, -1)), self.eps).reshape(local.shape)
        y = self.project(y, local) if self.fusion else self.project(y)
        return _map(y).add_(x) if self.add_input else _map(y)


_PARTS = frozenset({"local", "reduce", "layers", "norm", "project"})
_FAST = {
    ("Conv", frozenset({"conv", "norm"})): _conv,
    ("MV2", frozenset({"widen", "depthwise", "narrow"})): FusedMV2,
    ("MobileViT", _PARTS): FusedMobileViT,
    ("MobileViTv2", _PARTS): FusedMobileViTv2,
}
