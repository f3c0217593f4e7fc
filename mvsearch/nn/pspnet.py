"""The head `pspnet`: means over parts of the map, from the whole of it to a sixth of a side (arXiv 1612.01105)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.arch.heads.pspnet import SIZES, branch_width
from mvsearch.nn._layer import HeadLayer, count_rows
from mvsearch.nn._relu import ConvReLU
from mvsearch.nn._segmentation import Auxiliary, SegmentationHead


class PSPNet(SegmentationHead):
    """The last map and four pyramids of it, joined by a 3x3 convolution."""

    def __init__(
        self,
        channels: tuple[int, ...],
        classes: int,
        *,
        out: int = 512,
        dropout2d: float = 0.1,
        align_corners: bool = True,
        aux: bool = False,
    ) -> None:
        super().__init__(align_corners)
        x = channels[0]
        inner = branch_width(x)
        self.branches = nn.ModuleList(ConvReLU(x, inner) for _ in SIZES)
        self.project = ConvReLU(x + inner * len(SIZES), out, kernel=3)
        self.dropout = nn.Dropout2d(dropout2d)
        self.classifier = nn.Conv2d(out, classes, 1)
        self.auxiliary = Auxiliary(channels[1], classes) if aux else None

    def context(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, out, h, w)."""
        means = [branch(F.adaptive_avg_pool2d(x, size)) for branch, size in zip(self.branches, SIZES, strict=True)]
        spread = [F.interpolate(mean, x.shape[2:], mode="bilinear", align_corners=True) for mean in means]
        return self.dropout(self.project(torch.cat([x, *spread], dim=1)))


HEAD = HeadLayer(module=PSPNet, count_classes=count_rows("classifier.weight"))
