"""How an image file becomes the input of a network: it belongs to the weights, and travels with them. No torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from mvsearch.errors import DataError

CHANNEL_ORDERS = ("rgb", "bgr")
CHANNELS = 3
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's red, green and blue, as torchvision and timm have them."""


@dataclass(frozen=True)
class Preparation:
    """What weights expect of their images.

    `mean` and `std` are for pixels from 0 to 1, one of each a channel in the order that the network reads: `rgb` or
    `bgr`; one number stands for all three. `image_size` is the side in pixels, and `crop` the share of the resized
    shorter side that the centre crop keeps. `classes` are the names of the outputs, empty where they are unknown.
    `source` says in words where all this is known from; where `known` is False, it is an assumption. Raises DataError
    for values that describe no preparation.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    crop: float = 1.0
    channel_order: str = "rgb"
    classes: tuple[str, ...] = ()
    source: str = ""
    interpolation: str = "bilinear"
    known: bool = True

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values * CHANNELS if len(values) == 1 else values)
        _check_channels(self.mean, self.std)
        if self.channel_order not in CHANNEL_ORDERS:
            raise DataError(f"found the channel order {self.channel_order!r}; use {' or '.join(CHANNEL_ORDERS)}.")
        if not 0 < self.crop <= 1:
            raise DataError(f"found a centre crop of {self.crop}; use a share above 0 and up to 1.")
        if self.image_size < 1:
            raise DataError(f"found images of {self.image_size} px; use 1 or more.")

    @classmethod
    def assume(cls, image_size: int, source: str) -> Self:
        """Pixels from 0 to 1 and nothing else: what is used where the preparation is unknown."""
        return cls((0.0,), (1.0,), image_size, source=source, known=False)

    @property
    def resized_side(self) -> int:
        """The shorter side of an image before its centre is cut out, in pixels."""
        return round(self.image_size / self.crop)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {name: list(getattr(self, name)) for name in ("mean", "std", "classes")}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From what `to_json` gives; raises DataError if a value is missing or of another kind."""
        try:
            return cls(
                mean=tuple(values["mean"]),
                std=tuple(values["std"]),
                image_size=int(values["image_size"]),
                crop=float(values.get("crop", 1.0)),
                channel_order=str(values.get("channel_order", "rgb")),
                classes=tuple(str(name) for name in values.get("classes") or ()),
                source=str(values.get("source", "")),
                interpolation=str(values.get("interpolation", "bilinear")),
                known=bool(values.get("known", True)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the preparation of images cannot be read ({type(error).__name__}: {error}).") from None

    def describe(self) -> str:
        """One sentence: from an image to the input of the network."""
        mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (self.mean, self.std))
        pixels = f"{self.channel_order.upper()} from 0 to 1 at {self.image_size} x {self.image_size} px"
        return f"{pixels}, less the mean ({mean}), over the deviation ({std})"

    def differs_from(self, other: "Preparation") -> str:
        """What differs in the pixels that a network sees, in words; empty if nothing does."""
        parts = []
        if self.channel_order != other.channel_order:
            parts.append(f"{self.channel_order.upper()} instead of {other.channel_order.upper()}")
        for name, word in (("mean", "mean"), ("std", "deviation")):
            ours, theirs = getattr(self, name), getattr(other, name)
            if any(not math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3) for a, b in zip(ours, theirs, strict=True)):
                parts.append(f"{word} {_triple(ours)} instead of {_triple(theirs)}")
        return ", ".join(parts)


def class_positions(classes: Sequence[str], outputs: Sequence[str]) -> list[int] | None:
    """The output of each class, matched by name; None if a class has no output, or a name stands for several."""
    if tuple(classes) == tuple(outputs):
        return list(range(len(outputs)))
    position = {name: i for i, name in enumerate(outputs)}
    if len(position) < len(outputs) or len(set(classes)) < len(classes) or not position.keys() >= set(classes):
        return None
    return [position[name] for name in classes]


def parse_normalise(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation from what a user writes: `imagenet`, `none`, or means/deviations for pixels from 0 to 1.

    Raises DataError for anything else.

    >>> parse_normalise("0.49,0.48,0.45/0.25,0.24,0.26"), parse_normalise("none")
    (((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)), ((0.0,), (1.0,)))
    """
    named = {"imagenet": IMAGENET, "none": ((0.0,), (1.0,))}
    if text.strip().lower() in named:
        return named[text.strip().lower()]
    try:
        means, deviations = text.split("/")
        mean, std = (tuple(float(value) for value in part.split(",")) for part in (means, deviations))
    except ValueError:
        raise DataError(f"found {text!r}; use imagenet, none, or e.g. 0.49,0.48,0.45/0.25,0.24,0.26.") from None
    _check_channels(mean, std)
    return mean, std


def _check_channels(mean: Sequence[float], std: Sequence[float]) -> None:
    for values, word in ((mean, "means"), (std, "deviations")):
        if len(values) not in (1, CHANNELS):
            raise DataError(f"found {len(values)} {word}; use one a channel, or one for all.")
        if not all(math.isfinite(value) for value in values) or any(abs(value) > CHANNELS for value in values):
            raise DataError(f"found the {word} {_triple(values)}; they are for pixels from 0 to 1: divide them by 255.")
    if not all(value > 0 for value in std):
        raise DataError(f"found the deviations {_triple(std)}; use values above 0.")


def _triple(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values)})"
