"""The convolution that heads are made of: like that of blocks, with ReLU, as in the authors' code."""

from torch import nn

from mvsearch.nn.conv import Conv


class ConvReLU(Conv):
    """Convolution without bias, batch norm, ReLU: (B, C, H, W) → (B, out, H, W)."""

    def __init__(self, in_channels: int, out: int, *, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__(in_channels, out, kernel=kernel, dilation=dilation, act="none")
        self.act = nn.ReLU()
