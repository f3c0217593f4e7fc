"""Convolution, batch norm, SiLU: the block `conv`, and the brick that the others are made of."""

from torch import nn


class Conv(nn.Sequential):
    """Convolution without bias, batch norm and, unless `act` is off, SiLU: (B, C, H, W) → (B, out, H/s, W/s)."""

    def __init__(
        self,
        in_channels: int,
        out: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        padding = kernel // 2 * dilation
        self.conv = nn.Conv2d(in_channels, out, kernel, stride, padding, dilation, groups, bias=False)
        self.norm = nn.BatchNorm2d(out)
        if act:
            self.act: nn.Module = nn.SiLU()


LAYER = Conv
