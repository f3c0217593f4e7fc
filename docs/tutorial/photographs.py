"""Write a small folder of photographs for the tutorial: squares of nine photographs that Python packages contain.

    python docs/tutorial/photographs.py photographs      photographs/CLASS/*.jpg, about 500 images of 96 px

Needs the extra `photos`. The squares of a photograph do not overlap. With images of your own, this step is not needed.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

PHOTOGRAPHS = {
    "astronaut": "skimage/data/astronaut.png",
    "coffee": "skimage/data/coffee.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "galaxies": "skimage/data/hubble_deep_field.jpg",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
    "temple": "sklearn/datasets/images/china.jpg",
    "tissue": "skimage/data/ihc.png",
}
SIDE, MOST, SIZE = 64, 60, 96


def main(folder: Path) -> None:
    """Cut each photograph into squares of SIDE pixels and write up to MOST of them, enlarged to SIZE."""
    for name, place in PHOTOGRAPHS.items():
        package, _, inside = place.partition("/")
        found = find_spec(package)
        if found is None or found.origin is None:
            raise SystemExit(f"{package} is not installed; pip install -c constraints.txt -e '.[photos]'")
        photograph = Image.open(Path(found.origin).parent / inside).convert("RGB")
        (folder / name).mkdir(parents=True, exist_ok=True)
        corners = [
            (x, y)
            for y in range(0, photograph.height - SIDE + 1, SIDE)
            for x in range(0, photograph.width - SIDE + 1, SIDE)
        ]
        squares = [photograph.crop((x, y, x + SIDE, y + SIDE)) for x, y in corners]
        varied = [square for square in squares if _contrast(square) > 40]  # no black corners
        for number, square in enumerate(varied[:: max(1, len(varied) // MOST)][:MOST]):
            large = square.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
            large.save(folder / name / f"{number:02}.jpg", quality=92)


def _contrast(image: Image.Image) -> float:
    low, high = image.convert("L").getextrema()
    return float(high - low)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
