"""How an image file becomes the input of a network: it belongs to the weights, and travels with them. No torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from mvsearch.errors import DataError
from mvsearch.utils.text import comparable_name

CHANNEL_ORDERS = ("rgb", "bgr")
FITS = ("crop", "stretch")
CHANNELS = 3
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's red, green and blue, as torchvision and timm have them."""


@dataclass(frozen=True)
class Preparation:
    """What weights expect of their images.

    `mean` and `std` are for pixels from 0 to 1, one of each a channel in the order that the network reads: `rgb` or
    `bgr`; one number stands for all three. `image_size` is the side in pixels. With `fit` "crop" the shorter side of an
    image is resized, with "stretch" both sides are; then the centre is cut out, of which `crop` is the share of that
    side. `classes` are the names of the outputs, empty where they are unknown. `source` says in words where all this
    is known from. Raises DataError for values that no image can be prepared by.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    crop: float = 1.0
    channel_order: str = "rgb"
    classes: tuple[str, ...] = ()
    source: str = ""
    interpolation: str = "bilinear"
    fit: str = "crop"

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values * CHANNELS if len(values) == 1 else values)
        _check_channels(self.mean, self.std)
        if self.channel_order not in CHANNEL_ORDERS:
            raise DataError(f"found the channel order {self.channel_order!r}; use {' or '.join(CHANNEL_ORDERS)}.")
        if self.fit not in FITS:
            raise DataError(f"found fit={self.fit!r}; use {' or '.join(FITS)}.")
        if not 0 < self.crop <= 1:
            raise DataError(f"found a centre crop of {self.crop}; use a share above 0 and up to 1.")
        if self.image_size < 1:
            raise DataError(f"found images of {self.image_size} px; use 1 or more.")

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
                fit=str(values.get("fit", "crop")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the preparation of images cannot be read ({type(error).__name__}: {error}).") from None

    def describe(self) -> str:
        """From an image to the input of the network, in words."""
        mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (self.mean, self.std))
        pixels = f"{self.channel_order.upper()} from 0 to 1 at {self.image_size} x {self.image_size} px"
        return f"{pixels}, less the mean ({mean}), over the deviation ({std})"

    def describe_framing(self) -> str:
        """How an image becomes a square, in words."""
        sides = "both sides are" if self.fit == "stretch" else "the shorter side is"
        resized = f"{sides} resized to {self.resized_side} px ({self.interpolation})"
        if self.fit == "stretch" and self.crop == 1:
            return resized
        return f"{resized}, then the centre of {self.image_size} x {self.image_size} px is cut out"

    def in_order(self, channel_order: str) -> Self:
        """The same preparation for a network that reads the channels in this order."""
        if channel_order == self.channel_order:
            return self
        return replace(self, mean=self.mean[::-1], std=self.std[::-1], channel_order=channel_order)

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


def state_preparation(
    known: Preparation | None, *, image_size: int, normalise: str | None, channel_order: str | None
) -> Preparation | None:
    """The preparation as a user states it (see `parse_normalise`); what is not stated stays as it is known.

    Raises DataError for a statement that cannot be read, and for a channel order alone where the rest is unknown.
    """
    if normalise is None and channel_order is None:
        return known
    if known is None and normalise is None:
        raise DataError("mean and deviation are unknown too; add --normalise.", at=f"--channel-order {channel_order}")
    base = known or Preparation((0.0,), (1.0,), image_size)
    stated = base.in_order(channel_order or base.channel_order)
    if normalise is not None:
        try:
            mean, std = parse_normalise(normalise, stated.channel_order)
        except DataError as error:
            raise DataError(f"{error}", at="--normalise") from None
        stated = replace(stated, mean=mean, std=std)
    difference = stated.differs_from(known) if known else ""
    instead = f", {difference} of {known.source}" if known and difference else ""
    return replace(stated, source=f"the options of the command{instead}")


def class_positions(classes: Sequence[str], outputs: Sequence[str]) -> list[int] | None:
    """The output of each class, matched by name; None if a class has no output, or a name stands for several."""
    classes, outputs = ([comparable_name(name) for name in names] for names in (classes, outputs))
    if classes == outputs:
        return list(range(len(outputs)))
    position = {name: i for i, name in enumerate(outputs)}
    if len(position) < len(outputs) or len(set(classes)) < len(classes) or not position.keys() >= set(classes):
        return None
    return [position[name] for name in classes]


def parse_normalise(text: str, channel_order: str = "rgb") -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation from what a user writes: `imagenet`, `none`, or means/deviations for pixels from 0 to 1.

    They are in the order of the channels. Raises DataError for anything else.

    >>> parse_normalise("0.49,0.48,0.45/0.25,0.24,0.26"), parse_normalise("none")
    (((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)), ((0.0,), (1.0,)))
    """
    name = text.strip().lower()
    if name == "none":
        return (0.0,), (1.0,)
    if name == "imagenet":
        return IMAGENET if channel_order == "rgb" else (IMAGENET[0][::-1], IMAGENET[1][::-1])
    try:
        mean, std = (tuple(float(value) for value in part.split(",")) for part in text.split("/"))
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
