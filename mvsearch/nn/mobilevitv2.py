"""Separable attention, linear in the number of pixels: the block `mobilevitv2` (MobileViTv2 and the v3 built on it)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mvsearch.nn.conv import Conv


class SeparableAttention(nn.Module):
    """One score a token, one context vector for all (arXiv 2206.02680, section 3.2). Projections are 1x1."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.qkv = nn.Conv2d(dim, 1 + 2 * dim, 1)
        self.out = nn.Conv2d(dim, dim, 1)

    def forward(self, x_BDPN: Tensor) -> Tensor:
        """(B, D, P, N) → (B, D, P, N): P places in a patch, N patches."""
        q_B1PN, k_BDPN, v_BDPN = self.qkv(x_BDPN).split((1, self.dim, self.dim), dim=1)
        context_BDP1 = (k_BDPN * q_B1PN.softmax(dim=-1)).sum(dim=-1, keepdim=True)
        return self.out(F.relu(v_BDPN) * context_BDP1)


class SeparableLayer(nn.Module):
    """Pre-norm separable attention and feed-forward, each added to what came in."""

    def __init__(self, dim: int, ffn: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(1, dim)
        self.attention = SeparableAttention(dim)
        self.norm2 = nn.GroupNorm(1, dim)
        self.ffn_in = nn.Conv2d(dim, ffn, 1)
        self.ffn_out = nn.Conv2d(ffn, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, P, N) → (B, D, P, N)."""
        x = x + self.attention(self.norm1(x))
        return x + self.ffn_out(F.silu(self.ffn_in(self.norm2(x))))


class MobileViTv2(nn.Module):
    """MobileViTv3-0.5 ... 1.0 (arXiv 2209.15159) by default; v2 (arXiv 2206.02680) has fusion 0 and adds nothing.

    Axes: B images, D transformer width, h x w patches of p x p pixels. A map that the patch does not divide is resized
    on entry, and what comes out keeps the new size.
    """

    def __init__(
        self,
        in_channels: int,
        out: int,
        *,
        dim: int,
        depth: int,
        ffn: int,
        patch: int = 2,
        fusion: int = 1,
        add_input: bool = True,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.patch, self.fusion, self.add_input = patch, fusion, add_input
        self.local = Conv(in_channels, in_channels, groups=in_channels, dilation=dilation)
        self.reduce = nn.Conv2d(in_channels, dim, 1, bias=False)
        self.layers = nn.Sequential(*(SeparableLayer(dim, ffn) for _ in range(depth)))
        self.norm = nn.GroupNorm(1, dim)
        self.project = Conv(2 * dim if fusion else dim, out, kernel=1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H', W'), the next multiples of the patch."""
        p = self.patch
        h, w = -(-x.shape[2] // p), -(-x.shape[3] // p)
        if (h * p, w * p) != x.shape[2:]:
            x = F.interpolate(x, (h * p, w * p), mode="bilinear", align_corners=True)
        local = self.reduce(self.local(x))
        y = self._attend(local, h, w)
        y = self.project(torch.cat((y, local), dim=1) if self.fusion else y)
        return x + y if self.add_input else y

    def _attend(self, x_BDHW: Tensor, h: int, w: int) -> Tensor:
        b, d = x_BDHW.shape[:2]
        p = self.patch
        x_BDPN = x_BDHW.reshape(b, d, h, p, w, p).permute(0, 1, 3, 5, 2, 4).reshape(b, d, p * p, h * w)
        y_BDPN = self.norm(self.layers(x_BDPN))
        return y_BDPN.reshape(b, d, p, p, h, w).permute(0, 1, 4, 2, 5, 3).reshape(b, d, h * p, w * p)


LAYER = MobileViTv2
