"""Images with what they show, and below each what a network found there: a contact sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.report.figures.palette import LIGHT, Theme
from mvsearch.report.figures.plot import kind_of
from mvsearch.utils.atomic_write import write_whole

if TYPE_CHECKING:
    import numpy as np

    from mvsearch.data import Scene

KINDS = ("png", "svg")
COLUMNS = 6
_VEIL = 0.6  # how much of a mask's colour covers the image


@dataclass(frozen=True)
class Sheet:
    """Pixels (row, column, 3), uint8, of each image, what it truly shows, and what was found; names of the classes."""

    title: str
    subtitle: str
    classes: tuple[str, ...]
    images: "Sequence[np.ndarray]"
    true: "Sequence[Scene]"
    found: "Sequence[Scene]"

    def occurring(self) -> list[int]:
        """The classes that are shown or were found, without the background: COCO has more than a legend can hold."""
        scenes = [*self.true, *self.found]
        seen = {kind for scene in scenes if scene.mask is not None for kind in scene.mask.ravel().tolist()}
        seen |= {int(box[0]) for scene in scenes if scene.boxes is not None for box in scene.boxes}
        return [kind for kind in sorted(seen) if 0 < kind < len(self.classes)]


def draw_sheet(sheet: Sheet, path: Path, theme: Theme = LIGHT) -> None:
    """Draw it into a .png or .svg file: rows of images, the truth above and what was found below."""
    kind = kind_of(path, KINDS)
    from mvsearch.report.figures._matplotlib import LEGEND, TITLE, WIDTH, blank, rendered, title

    side, left, gap, foot = (WIDTH - 0.75) / COLUMNS, 0.6, 0.04, 0.4  # in inches
    rows = -(-len(sheet.images) // COLUMNS)
    colours = list(islice(cycle(theme.hues), len(sheet.classes)))

    def figure() -> Any:
        from matplotlib.patches import Patch

        height = TITLE + rows * (2 * side + 0.1) + foot
        made = blank(height)
        title(made, sheet.title, sheet.subtitle, theme)
        for i, image in enumerate(sheet.images):
            row, column = divmod(i, COLUMNS)
            for below, (words, scenes) in enumerate((("true", sheet.true), ("found", sheet.found))):
                bottom = height - TITLE - row * (2 * side + 0.1) - (below + 1) * side
                place = (left + column * side) / WIDTH, bottom / height, (side - gap) / WIDTH, (side - gap) / height
                axes = made.add_axes(place)
                _show(axes, image, scenes[i], colours)
                if column == 0:
                    axes.set_ylabel(words, fontsize=9, color=theme.ink)
        handles = [Patch(color=colours[i], label=sheet.classes[i]) for i in sheet.occurring()]
        made.legend(handles=handles, loc="lower left", bbox_to_anchor=(left / WIDTH, 0.0), ncols=10, **LEGEND)
        return made

    write_whole(path, rendered(figure, kind, theme))


def _show(axes: Any, image: "np.ndarray", scene: "Scene", colours: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(image if scene.mask is None else _veiled(image, scene.mask, colours))
    axes.set(xticks=[], yticks=[])
    height, width = image.shape[:2]
    for kind, x0, y0, x1, y1 in () if scene.boxes is None else scene.boxes:
        corner = (x0 * width - 0.5, y0 * height - 0.5)
        size = ((x1 - x0) * width, (y1 - y0) * height)
        for colour, thick in (("white", 2.6), (colours[int(kind)], 1.5)):  # seen on any ground
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=thick))


def _veiled(image: "np.ndarray", mask: "np.ndarray", colours: Sequence[str]) -> "np.ndarray":
    """The image with each class but the background under its colour, and what is not known in white."""
    import numpy as np
    from matplotlib.colors import to_rgb

    table = np.ones((256, 3))
    table[: len(colours)] = [to_rgb(colour) for colour in colours]
    veil = _VEIL * (mask > 0)[..., None]
    return np.asarray((image / 255 * (1 - veil) + table[mask] * veil).clip(0, 1))
