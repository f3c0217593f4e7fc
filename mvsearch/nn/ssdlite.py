"""The head `ssdlite`: boxes and their classes at six sizes of map, by separable convolutions (arXiv 1512.02325)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mvsearch.arch.heads.ssdlite import LEVELS, RATIOS, SCALES, WIDTHS, num_anchors
from mvsearch.nn._layer import HeadLayer
from mvsearch.nn._relu import ConvReLU
from mvsearch.nn.conv import Conv


class Shrink(nn.Sequential):
    """Depthwise 3x3 of stride 2, then 1x1: (B, C, H, W) → (B, out, H/2, W/2)."""

    def __init__(self, in_channels: int, out: int) -> None:
        super().__init__()
        self.depthwise = Conv(in_channels, in_channels, stride=2, groups=in_channels, act="none")
        self.pointwise = ConvReLU(in_channels, out)


class Whole(nn.Sequential):
    """The mean of the map, then 1x1 without norm: (B, C, H, W) → (B, out, 1, 1)."""

    def __init__(self, in_channels: int, out: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv2d(in_channels, out, 1, bias=False)
        self.act = nn.ReLU()


class Predict(nn.Module):
    """Predictions at each position of a map, for each anchor: four offsets, then one logit per class.

    (B, C, H, W) → (B, H * W * anchors, 4 + classes). A map of another width is projected to the level's width first.
    """

    def __init__(self, in_channels: int, level: int, classes: int) -> None:
        super().__init__()
        width = WIDTHS[level]
        self.values = 4 + classes
        self.widen = None if width == in_channels else ConvReLU(in_channels, width)
        single = level == len(LEVELS) - 1  # a map of one pixel
        self.depthwise = None if single else Conv(width, width, groups=width, act="none")
        self.pointwise = nn.Conv2d(width, num_anchors(level) * self.values, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, H * W * anchors, 4 + classes)."""
        for part in (self.widen, self.depthwise, self.pointwise):
            x = x if part is None else part(x)
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.values)


class SSDLite(nn.Module):
    """Returns (logits, offsets, anchors), each for all A anchors of an image.

    Logits (B, A, classes), class 0 the background; offsets (B, A, 4) of the boxes from their anchors; anchors
    (B, A, 4) as centre x, centre y, width, height in shares of the image. `mvsearch.nn.boxes` converts them to boxes.
    """

    def __init__(self, channels: tuple[int, ...], classes: int) -> None:
        super().__init__()
        widths = [*channels, *WIDTHS[2:]]
        self.shrink = nn.ModuleList(Shrink(widths[i - 1], widths[i]) for i in range(2, len(LEVELS) - 1))
        self.shrink.append(Whole(widths[-2], widths[-1]))
        self.predict = nn.ModuleList(Predict(width, level, classes) for level, width in enumerate(widths))

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """The maps at strides 16 and 32 → logits, offsets, anchors."""
        levels = list(maps)
        for shrink in self.shrink:
            levels.append(shrink(levels[-1]))
        predictions = torch.cat([predict(x) for predict, x in zip(self.predict, levels, strict=True)], dim=1)
        anchors = torch.cat([anchors_at(level, x) for level, x in enumerate(levels)])
        return predictions[..., 4:], predictions[..., :4], anchors.expand(predictions.shape[0], -1, -1)

    def initialise_weights(self) -> None:
        """The authors' initialisation of this head, Xavier uniform; a tenth of it for the predicting layers.

        Otherwise the first offsets and logits have a deviation of 1.3, and a short training only reduces it.
        """
        predicting = {predict.pointwise for predict in self.predict}
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight, gain=0.1 if module in predicting else 1.0)


def anchors_at(level: int, x: Tensor) -> Tensor:
    """The anchors of a map (B, C, H, W), position by position: (H * W * anchors, 4), clipped to the image."""
    step = (SCALES[1] - SCALES[0]) / len(LEVELS)
    side, next_side = SCALES[0] + level * step, SCALES[0] + (level + 1) * step
    between = (side * next_side) ** 0.5
    shapes = [(side, side), (between, between)]
    for ratio in RATIOS[level]:
        longer, shorter = side * ratio**0.5, side / ratio**0.5
        shapes += [(longer, shorter), (shorter, longer)]
    down, across = ((torch.arange(n, dtype=torch.float32, device=x.device) + 0.5) / n for n in x.shape[2:])
    centres = torch.stack(torch.meshgrid(down, across, indexing="ij")[::-1], dim=-1).reshape(-1, 1, 2)
    # Computed on the device: a table would be copied there in each pass, which a CUDA graph cannot capture.
    sides = [torch.full((1, 1), side, dtype=torch.float32, device=x.device) for shape in shapes for side in shape]
    sizes = torch.cat(sides, dim=1).reshape(1, -1, 2)
    both = torch.cat([centres.expand(-1, len(shapes), -1), sizes.expand(len(centres), -1, -1)], dim=-1)
    return both.reshape(-1, 4).clamp(0, 1)


def count_classes(parameters: Mapping[str, Tensor]) -> int | None:
    """The number of classes of a head with these parameters, with the background."""
    bias = parameters.get("predict.0.pointwise.bias")
    return None if bias is None else bias.numel() // num_anchors(0) - 4


HEAD = HeadLayer(module=SSDLite, count_classes=count_classes, initialises_itself=True)
