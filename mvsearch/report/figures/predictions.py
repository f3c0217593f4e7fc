"""Images with their labels, and below each the predictions of a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.report.figures import static
from mvsearch.report.figures.palette import LIGHT
from mvsearch.report.figures.plot import write_figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mvsearch.data import Scene

COLUMNS = 6
_MASK_OPACITY = 0.6


@dataclass(frozen=True)
class PredictionsFigure:
    """Pixels (row, column, 3), uint8, of each image, its label and its prediction; names of the classes."""

    title: str
    subtitle: str
    classes: tuple[str, ...]
    images: "Sequence[np.ndarray]"
    labels: "Sequence[Scene]"
    predictions: "Sequence[Scene]"

    def occurring(self) -> list[int]:
        """The classes in the labels and predictions without the background: COCO has more than a legend can hold."""
        scenes = [*self.labels, *self.predictions]
        classes = {kind for scene in scenes if scene.mask is not None for kind in scene.mask.ravel().tolist()}
        classes |= {int(box[0]) for scene in scenes if scene.boxes is not None for box in scene.boxes}
        return [kind for kind in sorted(classes) if 0 < kind < len(self.classes)]


def plot_predictions(figure: PredictionsFigure, path: Path) -> None:
    """Draw it into a .png or .svg file: rows of images, the labels above and the predictions below."""
    write_figure(path, LIGHT, draw=lambda: _draw(figure))


def _draw(figure: PredictionsFigure) -> "Figure":
    from matplotlib.patches import Patch

    side, left, gap, foot = (static.WIDTH - 0.75) / COLUMNS, 0.6, 0.04, 0.4  # in inches
    rows = -(-len(figure.images) // COLUMNS)
    colours = list(islice(cycle(LIGHT.hues), len(figure.classes)))
    height = static.TITLE + rows * (2 * side + 0.1) + foot
    fig = static.blank(height)
    static.title(fig, figure.title, figure.subtitle, LIGHT)
    for i, image in enumerate(figure.images):
        row, column = divmod(i, COLUMNS)
        for below, (words, scenes) in enumerate((("label", figure.labels), ("prediction", figure.predictions))):
            bottom = height - static.TITLE - row * (2 * side + 0.1) - (below + 1) * side
            width, tall = (side - gap) / static.WIDTH, (side - gap) / height
            axes = fig.add_axes(((left + column * side) / static.WIDTH, bottom / height, width, tall))
            _show(axes, image, scenes[i], colours)
            if column == 0:
                axes.set_ylabel(words, fontsize=9, color=LIGHT.ink)
    handles = [Patch(color=colours[i], label=figure.classes[i]) for i in figure.occurring()]
    fig.legend(handles=handles, loc="lower left", bbox_to_anchor=(left / static.WIDTH, 0.0), ncols=10, **static.LEGEND)
    return fig


def _show(axes: "Axes", image: "np.ndarray", scene: "Scene", colours: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(image if scene.mask is None else _blend(image, scene.mask, colours))
    axes.set(xticks=[], yticks=[])
    height, width = image.shape[:2]
    for kind, x0, y0, x1, y1 in () if scene.boxes is None else scene.boxes:
        corner = (x0 * width - 0.5, y0 * height - 0.5)
        size = ((x1 - x0) * width, (y1 - y0) * height)
        for colour, width_pt in (("white", 2.6), (colours[int(kind)], 1.5)):  # visible on any background
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=width_pt))


def _blend(image: "np.ndarray", mask: "np.ndarray", colours: Sequence[str]) -> "np.ndarray":
    """The image with each class except the background in its colour, and unlabelled pixels in white."""
    import numpy as np
    from matplotlib.colors import to_rgb

    table = np.ones((256, 3))
    table[: len(colours)] = [to_rgb(colour) for colour in colours]
    opacity = _MASK_OPACITY * (mask > 0)[..., None]
    return np.asarray((image / 255 * (1 - opacity) + table[mask] * opacity).clip(0, 1))
