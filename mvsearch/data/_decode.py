"""Decodes one image file to pixels of one size: its centre, or a crop.

Pixels become 8-bit RGB by one rule, whatever the file contains:

    8 bits or fewer      grey, palette, CMYK, YCbCr: as Pillow converts them
    12 or 16 bits        the upper eight bits of the file's own depth, never stretched by what the image contains
    signed, 32 bits,     refused: the file does not state which values are black and white
    floating point
    transparency         on white
    several frames       the first
"""

import re
from collections.abc import Callable, Iterator, Mapping
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mvsearch.data._images import DecodedImage

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

Draw = Callable[[int, int], tuple[np.ndarray, bool]]
"""Height and width of an upright image → the box of a crop, (4), left, top, width and height in pixels, and whether it
is mirrored."""
ORIENTATION, _ROTATED = 0x0112, range(5, 9)  # of EXIF
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # of TIFF
_SIXTEEN_BITS = ("PNG", "TIFF", "PPM", "JPEG2000")  # formats whose deeper values Pillow reads as from 0 to 65535
_ENCODINGS = {
    **{"1": "1-bit", "L": "grey", "LA": "grey", "La": "grey", "P": "palette", "PA": "palette"},
    **dict.fromkeys(("RGBA", "RGBX", "RGBa", "YCbCr"), "RGB"),
}
_DEEP, _TRANSPARENT, _FRAMES = "16-bit ", ", transparent", ", several frames"


class UnreadableImage(ValueError):
    """An image that cannot be decoded; the text is the reason, which names no file."""


def decode_image(
    file: Path | BinaryIO, size: int, *, fit: str = "crop", interpolation: str = "bilinear"
) -> tuple[np.ndarray | None, str]:
    """The centre of the upright image, its shorter side at `size`: uint8 (size, size, 3). None and the error if broken.

    With `fit` "stretch" it is all of the image, both sides at `size`. `interpolation` is one of Pillow's, else
    bilinear. A JPEG is decoded at an eighth, a quarter or half of its sides where that leaves twice the size.
    """
    try:
        return read_image(file, size, fit=fit, interpolation=interpolation).pixels, ""
    except UnreadableImage as fault:
        return None, str(fault)


def read_image(
    file: Path | BinaryIO, size: int, label: int = 0, *, fit: str = "crop", interpolation: str = "bilinear"
) -> DecodedImage:
    """As `decode_image`, with the size and encoding of the file; raises UnreadableImage."""
    from PIL import Image, ImageOps

    def centre(image: "Pixels") -> "tuple[Pixels, str]":
        image.draft("RGB", (2 * size, 2 * size))
        rgb, encoding = to_rgb(image)
        kind, square = getattr(Image.Resampling, interpolation.upper(), Image.Resampling.BILINEAR), (size, size)
        return rgb.resize(square, kind) if fit == "stretch" else ImageOps.fit(rgb, square, kind), encoding

    return _read(file, centre, label)


def decode_crop(file: Path | BinaryIO, size: int, draw: Draw, interpolation: str) -> tuple[np.ndarray | None, str]:
    """As `decode_image`, but a crop of the whole image, resized by one of Pillow's interpolations.

    A JPEG is decoded at a smaller size where that leaves the crop twice the size.
    """
    from PIL import Image, ImageOps

    def crop_image(image: "Pixels") -> "tuple[Pixels, str]":
        full_width, full_height = upright_size(image)
        box, mirrored = draw(full_height, full_width)
        left, top, width, height = box.tolist()
        share = 2 * size / min(width, height)
        image.draft("RGB", (ceil(share * image.width), ceil(share * image.height)))
        rgb, encoding = to_rgb(image)
        x, y = rgb.width / full_width, rgb.height / full_height
        right, bottom = min(x * (left + width), rgb.width), min(y * (top + height), rgb.height)
        kind = Image.Resampling[interpolation.upper()]
        crop = rgb.resize((size, size), kind, box=(x * left, y * top, right, bottom))
        return (ImageOps.mirror(crop) if mirrored else crop), encoding

    try:
        return _read(file, crop_image, 0).pixels, ""
    except UnreadableImage as fault:
        return None, str(fault)


def upright_size(image: "Pixels") -> tuple[int, int]:
    """Width and height of an opened image after it is rotated upright by its EXIF orientation."""
    return _rotate(image, image.size)


def _rotate(image: "Pixels", size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if image.format != "TIFF" and image.getexif().get(ORIENTATION) in _ROTATED:  # a TIFF's is upright already
        return height, width
    return width, height


def to_rgb(image: "Pixels", *, upright: bool = True) -> "tuple[Pixels, str]":
    """The 8-bit RGB image of an opened file, by the rule above, and the encoding of the file if it is another.

    Without `upright` the EXIF orientation is ignored, except that of a TIFF, which Pillow applies. Raises
    UnreadableImage for pixels without a known range.
    """
    from PIL import ImageOps

    encoding = _encoding(image)
    pixels = ImageOps.exif_transpose(image) if upright else image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_to_rgb(pixels, image), encoding
    if not pixels.has_transparency_data:
        return pixels.convert("RGB"), encoding
    rgb, transparent = _put_on_white(pixels.convert("RGBA"))
    return rgb, f"{encoding or 'RGB'}{_TRANSPARENT}" if transparent else encoding


def encoding_assumptions(encodings: Mapping[str, int]) -> Iterator[str]:
    """One sentence for each part of the rule above that was applied to images of these encodings."""
    for part, words in (
        (_DEEP, "have 16 bits: their upper eight are read"),
        (_TRANSPARENT, "have transparent pixels: they are put on white"),
        (_FRAMES, "have several frames: the first is read"),
    ):
        if count := sum(number for encoding, number in encodings.items() if part in f"{encoding} "):
            yield f"{count:,} images {words}"


def _encoding(image: "Pixels") -> str:
    # Pillow gives colours of 16 bits as of 8: only the layout of the file, known until it is loaded, tells.
    deep = image.mode.startswith("I") or ";16" in str(getattr(image, "tile", ""))
    name = "grey" if image.mode.startswith("I") else _ENCODINGS.get(image.mode, image.mode)
    # A phone's MPO has a preview or a depth map beside its one photograph.
    frames = image.format != "MPO" and getattr(image, "is_animated", False)
    encoding = (_DEEP if deep else "") + name + (_FRAMES if frames else "")
    return "" if encoding == "RGB" else encoding


def _put_on_white(rgba: "Pixels") -> "tuple[Pixels, bool]":
    """The image without its transparency, and whether a pixel was transparent."""
    from PIL import Image

    if rgba.getchannel("A").getextrema() == (255, 255):
        return rgba.convert("RGB"), False
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"), True


def _deep_to_rgb(pixels: "Pixels", file: "Pixels") -> "Pixels":
    """The upper eight of the bits that the opened file has."""
    from PIL import Image

    tags = getattr(file, "tag_v2", {})
    signed = file.mode == "I" and file.format == "TIFF"
    if file.mode == "F" or signed or file.format not in _SIXTEEN_BITS:
        kind = "floating-point" if file.mode == "F" else "signed or 32-bit"
        raise UnreadableImage(f"{kind} pixels, whose range the file does not state")
    values = np.asarray(pixels).astype(np.int64) >> tags.get(_BITS, (16,))[0] - 8
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow inverts only 8 bits
        values = 255 - values
    return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("RGB")


def _read(file: Path | BinaryIO, cut: "Callable[[Pixels], tuple[Pixels, str]]", label: int) -> DecodedImage:
    from PIL import Image

    try:
        with Image.open(file) as image:
            stored = image.size
            pixels, encoding = cut(image)
            return DecodedImage(np.asarray(pixels), label, *_rotate(image, stored), encoding)
    except UnreadableImage:
        raise
    except Exception as fault:  # Pillow can raise anything for a damaged file
        raise UnreadableImage(fault_reason(file, fault)) from fault


def fault_reason(file: Path | BinaryIO, fault: Exception) -> str:
    """Why an image is broken, in words that are the same for all images with this fault."""
    from PIL import UnidentifiedImageError

    if isinstance(fault, UnreadableImage):
        return str(fault)
    text = (getattr(fault, "strerror", None) or str(fault)).split("\n")[0]
    if isinstance(fault, UnidentifiedImageError):
        size = file.stat().st_size if isinstance(file, Path) else file.seek(0, 2)
        text = "not an image that Pillow reads" if size else "an empty file"
    return f"{re.sub(r' *[(].*[)]', '', text)[:100]} ({type(fault).__name__})"
