"""Masks that are images: the numbers of classes, or colours."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mvsearch.data._decode import UnreadableImage, fault_reason
from mvsearch.data._images import IGNORED
from mvsearch.data._orientation import Size
from mvsearch.data._skipped import Skipped
from mvsearch.data._voc_file import BORDER, ClassList, Colour
from mvsearch.errors import DataError

_NUMBERED = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


@dataclass
class MaskStyle:
    """How the masks of a set are read: `colours` are those of the classes if masks are in colour.

    They are `listed` if the set has a list of them, else they are VOC's.
    If `white_is_class`, 255 is the one class of a set and not unknown. `seen` collects how masks were read.
    """

    colours: dict[Colour, int]
    listed: bool = False
    white_is_class: bool = False
    seen: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, classes: ClassList) -> "MaskStyle":
        """With the colours of the classes, or VOC's where they have none."""
        colours = classes.colours.values()
        if any(colours):
            own = {classes.background: 0} | {colour: i for i, colour in enumerate(colours, 1) if colour}
            return cls({BORDER: IGNORED} | own, listed=True)
        return cls({_voc_colour(i): i for i in range(len(colours) + 1)} | {BORDER: IGNORED})

    def find_white(self, files: Iterable[Path]) -> None:
        """Decide whether 255 is the class of a set of one class: if there is 255, but never 1, in any of its masks."""
        white = False
        for file in files:
            try:
                values = np.unique(self.numbers(file))
            except DataError:
                raise
            except Exception:  # a damaged file, which is counted when it is decoded
                continue
            if not np.isin(values, (0, IGNORED)).all():
                return
            white |= IGNORED in values
        self.white_is_class = white

    def assumptions(self) -> list[str]:
        """How masks were read that are not numbers in a palette."""
        found = [f"{len(names)} masks (such as {min(names)}) are {how}" for how, names in self.seen.items()]
        if self.white_is_class:
            found.append("the masks are 0 and 255 throughout: 255 is read as the one class")
        return found

    def numbers(self, file: Path) -> np.ndarray:
        """The number of the class of each pixel, uint8 (row, column); raises DataError if they cannot be told."""
        from PIL import Image

        with Image.open(file) as opened:
            if opened.mode in _NUMBERED:
                values = np.asarray(opened)
                if opened.mode == "P":
                    values = self._numbers_of_palette(values, opened.getpalette() or [], file)
            elif opened.mode == "RGB":
                values = self._numbers_of_colours(np.asarray(opened), file)
            else:
                raise DataError(f"its pixels are {opened.mode} colours; save class numbers with a palette.", at=file)
        if values.min() < 0 or values.max() > IGNORED:
            raise DataError(f"its mask contains class {values.max()}; a mask holds 0 to {IGNORED}.", at=file)
        return values.astype(np.uint8)

    def _numbers_of_palette(self, values: np.ndarray, palette: list[int], file: Path) -> np.ndarray:
        """The values, or the numbers of their colours where these are the classes' in another order.

        Programs that make files smaller sort palettes anew. Without a list of colours, all of the palette has to be
        of VOC's, as a few of its colours can be in any palette.
        """
        entries = [tuple(palette[i : i + 3]) for i in range(0, len(palette), 3)]
        while entries.count((0, 0, 0)) > 1 and entries[-1] == (0, 0, 0):  # what fills up a palette
            entries.pop()
        used = np.unique(values).tolist()
        if used[-1] >= len(entries):
            return values
        found = [self.colours.get((red, green, blue)) for red, green, blue in entries]
        needed = used if self.listed else range(len(entries))
        if any(found[i] is None or entries.index(entries[i]) != i for i in needed) or all(found[i] == i for i in used):
            return values
        self.seen.setdefault("in a palette of another order and read by the colours of the classes", []).append(
            file.name
        )
        numbers = np.array([number or 0 for number in found], np.uint8)
        return np.take(numbers, values)

    def _numbers_of_colours(self, pixels: np.ndarray, file: Path) -> np.ndarray:
        packed = pixels.astype(np.int64) @ (1 << 16, 1 << 8, 1)
        values, places = np.unique(packed, return_inverse=True)
        known = {red << 16 | green << 8 | blue: number for (red, green, blue), number in self.colours.items()}
        strange = [value for value in values.tolist() if value not in known]
        if not strange:
            self.seen.setdefault("in colour and read by the colours of the classes", []).append(file.name)
            return np.array([known[value] for value in values.tolist()])[places].reshape(packed.shape)
        if (pixels == pixels[..., :1]).all():
            self.seen.setdefault("grey in RGB and read as numbers", []).append(file.name)
            return pixels[..., 0]
        colour = (strange[0] >> 16, strange[0] >> 8 & 255, strange[0] & 255)
        raise DataError(f"its colour {colour} is not that of a class; save class numbers with a palette.", at=file)


@dataclass(frozen=True)
class MaskFile:
    """One mask."""

    file: Path
    style: MaskStyle
    count: int = 0

    def size(self) -> Size:
        """From its header; raises UnreadableImage."""
        from PIL import Image

        with self._faults(), Image.open(self.file) as opened:
            return opened.size

    def read(self, size: Size) -> tuple[np.ndarray, list[Skipped]]:
        """The mask as it is; raises UnreadableImage if it is damaged, DataError if it is not of the set's classes."""
        with self._faults():
            values = self.style.numbers(self.file)
        return np.where(values == IGNORED, 1, values).astype(np.uint8) if self.style.white_is_class else values, []

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except Exception as fault:  # Pillow can raise anything for a damaged file
            raise UnreadableImage(f"its mask: {fault_reason(self.file, fault)}") from fault


def _voc_colour(number: int) -> Colour:
    """The bits of a number, three at a time, are the highest bits of red, green and blue."""
    red, green, blue = (sum((number >> 3 * i + channel & 1) << 7 - i for i in range(3)) for channel in range(3))
    return red, green, blue
