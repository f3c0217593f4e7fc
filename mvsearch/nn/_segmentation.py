"""What heads for segmentation share: the classifier of pixels, resizing, and an auxiliary classifier for training."""

import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.nn._relu import ConvReLU


class Auxiliary(nn.Sequential):
    """A second classifier of pixels, whose loss helps training: (B, C, H, W) → (B, classes, H, W)."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        inner = max(in_channels // 4, 128)
        self.conv = ConvReLU(in_channels, inner, kernel=3)
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(inner, classes, 1)


class SegmentationHead(nn.Module):
    """Logits of every pixel, at the size of the images: (B, classes, H, W).

    In training, a head with an auxiliary classifier returns a pair: these logits, and the auxiliary ones at the same
    size, whose loss the authors weight by 0.4.
    """

    auxiliary: Auxiliary | None
    classifier: nn.Conv2d

    def __init__(self, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners

    def context(self, x: Tensor) -> Tensor:
        """The last map with the context of each pixel: (B, C, h, w) → (B, out, h, w)."""
        raise NotImplementedError

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor | tuple[Tensor, Tensor]:
        """The maps that the head reads, and height and width of the images → (B, classes, H, W)."""
        logits = self._resize(self.classifier(self.context(maps[0])), size)
        if self.training and self.auxiliary is not None:
            return logits, self._resize(self.auxiliary(maps[1]), size)
        return logits

    def _resize(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(logits, size, mode="bilinear", align_corners=self.align_corners)
