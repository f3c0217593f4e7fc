"""The head `deeplabv3`: convolutions of several dilations side by side (arXiv 1706.05587)."""

import torch
from torch import Tensor, nn

from mvsearch.nn._layer import HeadLayer, count_rows
from mvsearch.nn._relu import ConvReLU
from mvsearch.nn._segmentation import Auxiliary, SegmentationHead


class DeepLabv3(SegmentationHead):
    """Five branches over the last map, joined: 1x1, three dilated 3x3, and the mean of the map."""

    def __init__(
        self,
        channels: tuple[int, ...],
        classes: int,
        *,
        out: int = 512,
        rate: int = 6,
        dropout: float = 0.0,
        dropout2d: float = 0.1,
        align_corners: bool = True,
        aux: bool = False,
    ) -> None:
        super().__init__(align_corners)
        x = channels[0]
        self.branches = nn.ModuleList([ConvReLU(x, out)])
        self.branches.extend(ConvReLU(x, out, kernel=3, dilation=times * rate) for times in (1, 2, 3))
        self.mean = ConvReLU(x, out)
        self.project = ConvReLU(5 * out, out)
        self.dropout = nn.Sequential(nn.Dropout(dropout), nn.Dropout2d(dropout2d))
        self.classifier = nn.Conv2d(out, classes, 1)
        self.auxiliary = Auxiliary(channels[1], classes) if aux else None

    def context(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, out, h, w)."""
        mean = self.mean(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.dropout(self.project(torch.cat([*(branch(x) for branch in self.branches), mean], dim=1)))


HEAD = HeadLayer(module=DeepLabv3, count_classes=count_rows("classifier.weight"))
