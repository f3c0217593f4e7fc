"""Squeeze-and-excitation (arXiv 1709.01507, section 3): every channel is scaled by a function of all means."""

from torch import Tensor, nn

from mvsearch.arch.cost import squeeze_width


class SqueezeExcite(nn.Module):
    """Means of the map, two 1x1 convolutions, sigmoid; the map is scaled by it: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeeze_width(channels), 1)
        self.act = nn.ReLU()
        self.restore = nn.Conv2d(squeeze_width(channels), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        return x * self.restore(self.act(self.reduce(x.mean((2, 3), keepdim=True)))).sigmoid()
