"""Augmentation of a whole batch on its device, in plain torch.

uint8 images ─ random resized crop, flip ─ RandAugment ─ random erasing ─ mixup or cutmix ─ float images, soft labels

All random numbers are drawn on the CPU and depend only on the batch's key: a resumed training sees the same images as
an unbroken one, and a GPU never waits for a random number. Keys go through NumPy, which uses every part of them;
torch's generator on a CPU uses only 32 bits of a seed.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mvsearch.training.recipe import Augmentation

_GREY = (19595, 38470, 7471)  # shares of red, green and blue of 65536, as in Pillow (ITU-R 601)
_TRIES = 10


def augment(
    pixels: Tensor, labels: Tensor, settings: Augmentation, *, size: int | None, classes: int, key: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """uint8 (B, C, H, W), labels (B) → float32 (B, C, size, size) from 0 to 255, shares of classes (B, classes).

    Without a `size` the images are crops already. `key` identifies the batch, e.g. (seed, step, rank): equal keys give
    equal draws.
    """
    draw = np.random.default_rng(key)
    x = pixels
    if size is not None:
        height, width = x.shape[2:]
        x = resized_crop(x, *crops(len(x), height, width, settings, draw), size, settings.interpolation)
    for _ in range(settings.randaugment):
        x = _randaugment(x, settings, draw)
    x = _erase(x, settings.erase, draw)
    return _mix(x.float(), F.one_hot(labels, classes).float(), settings, draw)


def crops(
    b: int, height: int, width: int, settings: Augmentation, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (B, 4) as left, top, width, height in pixels, and which images are mirrored (B).

    If ten draws give no box inside the image, the largest box of an allowed ratio is taken from the centre, as in
    torchvision's RandomResizedCrop.
    """
    area = height * width * draw.uniform(settings.crop_area, 1, (b, _TRIES))
    ratio = np.exp(draw.uniform(-math.log(settings.crop_ratio), math.log(settings.crop_ratio), (b, _TRIES)))
    widths, heights = np.sqrt(area * ratio).round(), np.sqrt(area / ratio).round()
    fits = (widths >= 1) & (heights >= 1) & (widths <= width) & (heights <= height)
    first = np.arange(b), fits.argmax(axis=1)
    whole = ~fits.any(axis=1)
    most = min(width, round(height * settings.crop_ratio)), min(height, round(width * settings.crop_ratio))
    widths, heights = (np.where(whole, side, drawn[first]) for side, drawn in zip(most, (widths, heights), strict=True))
    left, top = (
        np.where(whole, rest // 2, np.floor(draw.random(b) * (rest + 1))) for rest in (width - widths, height - heights)
    )
    return np.stack([left, top, widths, heights], axis=1), draw.random(b) < 0.5 * settings.flip


def resized_crop(
    pixels: Tensor, boxes: np.ndarray, mirrored: np.ndarray, size: int, interpolation: str = "bilinear"
) -> Tensor:
    """Resize every image's box (left, top, width, height) to `size` without aliasing, as Pillow's `resize(box=)`.

    uint8 (B, C, H, W) → uint8 (B, C, size, size).
    """
    left, top, widths, heights = torch.from_numpy(boxes).float().to(pixels.device).unbind(1)
    columns = _weights(left, widths, size, pixels.shape[3], interpolation)
    columns = torch.where(torch.from_numpy(mirrored).to(pixels.device)[:, None, None], columns.flip(1), columns)
    rows = _weights(top, heights, size, pixels.shape[2], interpolation)
    if interpolation == "bicubic":  # cubics overshoot, and Pillow clips between the two passes
        across = _to_uint8(pixels.float() @ columns[:, None].mT + 0.5).float()
        return _to_uint8(rows[:, None] @ across + 0.5)
    return _to_uint8(rows[:, None] @ pixels.float() @ columns[:, None].mT + 0.5)


def _weights(start: Tensor, length: Tensor, size: int, pixels: int, interpolation: str) -> Tensor:
    """The weights (B, size, pixels) of a line's pixels in each resized pixel: triangles or cubics around their centres
    (Keys 1981, with a = -1/2 as in Pillow)."""
    step = (length / size)[:, None, None]
    at = torch.arange(size, device=start.device)[:, None] + 0.5
    centre = start[:, None, None] + at * step
    away = (torch.arange(pixels, device=start.device) + 0.5 - centre).abs() / step.clamp(min=1)
    if interpolation == "bilinear":
        weights = (1 - away).clamp(min=0)
    else:
        inner, outer = (1.5 * away - 2.5) * away**2 + 1, ((-0.5 * away + 2.5) * away - 4) * away + 2
        weights = torch.where(away < 1, inner, torch.where(away < 2, outer, 0.0))
    return weights / weights.sum(dim=-1, keepdim=True)


def _to_uint8(x: Tensor) -> Tensor:
    """Clip and convert to uint8, as Pillow does."""
    return x.clamp(0, 255).to(torch.uint8)


def _randaugment(x: Tensor, settings: Augmentation, draw: np.random.Generator) -> Tensor:
    """One operation an image, all images of an operation at once; both signs of a strength are equally likely."""
    b = len(x)
    kinds = draw.integers(0, len(OPERATIONS), b)
    level = settings.magnitude + settings.magnitude_std * draw.standard_normal(b)
    level = level.clip(0, settings.levels) / settings.levels
    signed = torch.from_numpy(level * draw.choice((-1.0, 1.0), b)).float()
    y = x.clone()
    for kind, operate in enumerate(OPERATIONS.values()):
        if len(chosen := np.flatnonzero(kinds == kind)):
            at = torch.from_numpy(chosen)
            y[at.to(x.device)] = operate(x[at.to(x.device)], signed[at].to(x.device))
    return y


Operation = Callable[[Tensor, Tensor], Tensor]
"""uint8 images (B, C, H, W) and strengths (B) from -1 to 1 → uint8 images of the same shape."""


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def identity(x: Tensor, level: Tensor) -> Tensor:
    """The same images."""
    return x


def affine(x: Tensor, matrices: Tensor) -> Tensor:
    """Transform each image by its matrix (B, 2, 3), from new coordinates to old ones, in pixels.

    Bilinear; pixels from outside are black. The centre of a pixel is at 0.5, as in Pillow's `transform`.
    """
    height, width = x.shape[2:]
    half = torch.tensor([width / 2, height / 2], device=x.device)
    linear, shift = matrices[:, :, :2], matrices[:, :, 2]
    shift = (linear @ half + shift - half) / half  # about the centre, in halves of the sides
    grid = F.affine_grid(torch.cat([linear * half / half[:, None], shift[:, :, None]], dim=2), list(x.shape), False)
    return _to_uint8(F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False) + 0.5)


def _linear(entries: list[list[Tensor]], x: Tensor) -> Tensor:
    """Matrices (B, 2, 3) of a linear map (2 x 2 entries of (B)) around the centre of the images."""
    linear = torch.stack([torch.stack(row, dim=-1) for row in entries], dim=1)
    centre = torch.tensor([x.shape[3] / 2, x.shape[2] / 2], device=x.device)
    return torch.cat([linear, (centre - linear @ centre)[:, :, None]], dim=2)


def shear_x(x: Tensor, level: Tensor) -> Tensor:
    """Shift each row in proportion to its position, by up to 0.3 pixels a row."""
    one, none = torch.ones_like(level), torch.zeros_like(level)
    return affine(x, _linear([[one, 0.3 * level], [none, one]], x))


def shear_y(x: Tensor, level: Tensor) -> Tensor:
    """The same for columns."""
    one, none = torch.ones_like(level), torch.zeros_like(level)
    return affine(x, _linear([[one, none], [0.3 * level, one]], x))


def rotate(x: Tensor, level: Tensor) -> Tensor:
    """Up to 30 degrees."""
    angle = level * math.radians(30)
    return affine(x, _linear([[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]], x))


def translate_x(x: Tensor, level: Tensor) -> Tensor:
    """Up to 45 hundredths of the width, whole pixels."""
    return _translate(x, (0.45 * x.shape[3] * level).round(), torch.zeros_like(level))


def translate_y(x: Tensor, level: Tensor) -> Tensor:
    """Up to 45 hundredths of the height, whole pixels."""
    return _translate(x, torch.zeros_like(level), (0.45 * x.shape[2] * level).round())


def _translate(x: Tensor, right: Tensor, down: Tensor) -> Tensor:
    still = torch.eye(2, device=x.device).expand(len(x), 2, 2)
    return affine(x, torch.cat([still, torch.stack([right, down], dim=1)[:, :, None]], dim=2))


def _blend(x: Tensor, other: Tensor, level: Tensor) -> Tensor:
    """Blend another image with this one, by factors of 0.1 to 1.9."""
    return _to_uint8(other + (1 + 0.9 * _column(level)) * (x.float() - other))


def _grey(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, 1, H, W), whole numbers."""
    if x.shape[1] == 1:
        return x.float()
    red, green, blue = x.int().unbind(1)
    shares = _GREY[0] * red + _GREY[1] * green + _GREY[2] * blue
    return ((shares + 0x8000) >> 16).float()[:, None]


def brightness(x: Tensor, level: Tensor) -> Tensor:
    """Towards black, or away from it."""
    return _blend(x, torch.zeros((), device=x.device), level)


def colour(x: Tensor, level: Tensor) -> Tensor:
    """Towards grey, or away from it."""
    return _blend(x, _grey(x), level)


def contrast(x: Tensor, level: Tensor) -> Tensor:
    """Towards the mean grey, or away from it."""
    return _blend(x, (_grey(x).mean((1, 2, 3), keepdim=True) + 0.5).floor(), level)


def sharpness(x: Tensor, level: Tensor) -> Tensor:
    """Towards a mean over 3 x 3 pixels with the centre counted five times, or away from it, except at the border."""
    kernel = torch.ones(3, 3, device=x.device)
    kernel[1, 1] = 5
    smooth = x.float().clone()
    inner = F.conv2d(smooth.flatten(0, 1)[:, None], kernel[None, None] / 13)
    smooth[:, :, 1:-1, 1:-1] = (inner + 0.5).floor().view(*x.shape[:2], *inner.shape[2:])
    return _blend(x, smooth, level)


def posterize(x: Tensor, level: Tensor) -> Tensor:
    """Keep 8 to 4 of the highest bits."""
    dropped = (4 * level.abs()).round().to(torch.uint8)
    return x >> _column(dropped) << _column(dropped)


def solarize(x: Tensor, level: Tensor) -> Tensor:
    """Invert values above a threshold, which falls with the strength."""
    return torch.where(x >= _column(256 * (1 - level.abs())), 255 - x, x)


def autocontrast(x: Tensor, level: Tensor) -> Tensor:
    """Stretch each channel to the full range; a channel with a single value stays the same."""
    low, heights = (x.amin((2, 3), keepdim=True).double(), x.amax((2, 3), keepdim=True).double())
    scale = 255 / (heights - low)
    return torch.where(heights > low, _to_uint8(x * scale - low * scale), x)


def equalize(x: Tensor, level: Tensor) -> Tensor:
    """Equalise the histogram of each channel."""
    flat = x.flatten(0, 1).flatten(1).long()  # (B * C, H * W)
    counts = torch.zeros(len(flat), 256, dtype=torch.long, device=x.device).scatter_add_(1, flat, torch.ones_like(flat))
    step = (flat.shape[1] - counts.gather(1, flat.amax(1, keepdim=True))) // 255
    before = counts.cumsum(1) - counts
    table = ((before + step // 2) // step.clamp(min=1)).clamp(max=255)
    return torch.where(step > 0, table.gather(1, flat), flat).to(torch.uint8).view_as(x)


OPERATIONS: dict[str, Operation] = {
    operate.__name__: operate
    for operate in (
        identity,
        shear_x,
        shear_y,
        translate_x,
        translate_y,
        rotate,
        brightness,
        colour,
        contrast,
        sharpness,
        posterize,
        solarize,
        autocontrast,
        equalize,
    )
}
"""The fourteen operations of RandAugment, with torchvision's ranges and Pillow's arithmetic."""


def _erase(x: Tensor, share: float, draw: np.random.Generator) -> Tensor:
    """Cover a share of the images with a black rectangle of 2 to 33 % of the area, 0.3 to 3.3 times as wide as high."""
    if not share:
        return x
    b, _, height, width = x.shape
    hit = draw.random(b) < share
    area, ratio = height * width * draw.uniform(0.02, 0.33, b), np.exp(draw.uniform(math.log(0.3), math.log(3.3), b))
    widths, heights = np.sqrt(area * ratio).clip(1, width), np.sqrt(area / ratio).clip(1, height)
    left, top = (width - widths) * draw.random(b), (height - heights) * draw.random(b)
    boxes = np.stack([left, top, left + widths, top + heights], axis=1).round() * hit[:, None]
    return x.masked_fill(_inside(torch.from_numpy(boxes).to(x.device), height, width)[:, None], 0)


def _inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """The pixels (B, H, W) inside each box (left, top, right, bottom)."""
    across, down = torch.arange(width, device=boxes.device), torch.arange(height, device=boxes.device)
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    return ((across >= left) & (across < right))[:, None, :] & ((down >= top) & (down < bottom))[:, :, None]


def _mix(x: Tensor, shares: Tensor, settings: Augmentation, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mix each image with the previous one of the batch, in one proportion for all."""
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(settings, kind)]
    if not kinds or draw.random() >= settings.mixed:
        return x, shares
    kind = kinds[draw.integers(len(kinds))]
    share_kept = float(draw.beta(getattr(settings, kind), getattr(settings, kind)))
    other = x.roll(1, 0)
    if kind == "mixup":
        x = x.lerp(other, 1 - share_kept)
    else:
        height, width = x.shape[2:]
        box = _cutmix_box(share_kept, height, width, draw)
        there = _inside(torch.tensor([box], device=x.device), height, width)
        x = torch.where(there[:, None], other, x)
        share_kept = 1 - (box[2] - box[0]) * (box[3] - box[1]) / (height * width)
    return x, shares.lerp(shares.roll(1, 0), 1 - share_kept)


def _cutmix_box(share_kept: float, height: int, width: int, draw: np.random.Generator) -> tuple[int, int, int, int]:
    """The box for the other image: as large as its share, around a random pixel, clipped at the border."""
    side = math.sqrt(1 - share_kept) / 2
    x, y = draw.integers(width), draw.integers(height)
    left, right = round(x - side * width), round(x + side * width)
    top, bottom = round(y - side * height), round(y + side * height)
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)
