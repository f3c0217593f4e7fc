"""From uint8 images to the float tensors that networks see: resize, shift, normalise."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

STATISTICS_IMAGES = 5000
"""Mean and deviation of the channels are computed over about so many images."""


def channel_statistics(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, (1, C, 1, 1), of uint8 images (B, C, H, W), scaled to 0 to 1."""
    x = pixels.float() / 255
    return x.mean((0, 2, 3)).view(1, -1, 1, 1), x.std((0, 2, 3)).clamp_min(1e-3).view(1, -1, 1, 1)


def normalise(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 (B, C, H, W) → float32 (B, 3, H, W); grey images get three equal channels."""
    return ((pixels.float() / 255 - mean) / std).expand(-1, 3, -1, -1)


def resize_array(pixels_BHWC: np.ndarray, size: int) -> Tensor:
    """uint8 (B, H, W, C) → (B, C, size, size)."""
    return resize(torch.from_numpy(np.array(pixels_BHWC)).permute(0, 3, 1, 2), size)


def resize(x: Tensor, size: int) -> Tensor:
    """uint8 (B, C, H, W) → (B, C, size, size)."""
    if x.shape[2:] == (size, size):
        return x.contiguous()
    parts = [F.interpolate(part.float(), (size, size), mode="bilinear", antialias=True) for part in x.split(2000)]
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])


def shift_and_flip(pixels: Tensor, shift: Tensor, mirrored: Tensor, padding: int, *, fill: int = 0) -> Tensor:
    """(B, C, H, W), each image padded by `padding` pixels of `fill`, cropped at its shift (2, B), `mirrored` (B)."""
    b, _, height, width = pixels.shape
    device = pixels.device
    rows = shift[0, :, None] + torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(b, -1)
    columns = shift[1, :, None] + torch.where(mirrored[:, None], width - 1 - columns, columns)
    padded = F.pad(pixels, (padding, padding, padding, padding), value=fill)
    images = torch.arange(b, device=device)
    return padded.permute(0, 2, 3, 1)[images[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
