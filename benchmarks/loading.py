"""How fast images are decoded and augmented, compared with how fast networks train on them.

The images are crops of the photographs that Python packages contain: JPEGs of 500 x 375 px, the average size in
ImageNet, as a folder and as shards. Times are medians of turns, in processor time; in wall time where workers decode.

    python benchmarks/loading.py
"""

import io
import statistics
import tarfile
import tempfile
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mvsearch.arch.published import published
from mvsearch.data import find_encoded
from mvsearch.data.photos import PHOTOS, get
from mvsearch.nn import build
from mvsearch.training.augment import augment
from mvsearch.training.loaders import CropPlan, StreamLoader
from mvsearch.training.recipe import Augmentation

SIZE = (500, 375)
SIDE, DECODED = 256, 320  # of crops, and of what a set that is decoded once keeps of an image
BATCH = 32
V1 = Augmentation()
V2 = Augmentation(randaugment=2, erase=0.25, mixup=0.2, cutmix=1.0)


def jpegs(count: int, seed: int = 0) -> Iterable[tuple[str, bytes, int]]:
    """Name, content and class of one JPEG after another."""
    draw, root = np.random.default_rng(seed), get(None, None)
    photos = [Image.open(root / place).convert("RGB") for place in PHOTOS.values()]
    for i in range(count):
        photo = photos[i % len(photos)]
        wide = draw.uniform(0.6, 1) * min(photo.width, photo.height * SIZE[0] / SIZE[1])
        high = wide * SIZE[1] / SIZE[0]
        left, top = draw.uniform(0, photo.width - wide), draw.uniform(0, photo.height - high)
        file = io.BytesIO()
        photo.resize(SIZE, Image.Resampling.BICUBIC, (left, top, left + wide, top + high)).save(
            file, "JPEG", quality=90
        )
        yield f"{i:05}", file.getvalue(), i % len(photos)


def write(root: Path, count: int) -> None:
    """The same images as `root/folder` and as `root/shards`; a few to test on, for the form."""
    for part, number in (("train", count), ("test", 2 * len(PHOTOS))):
        (root / "shards").mkdir(parents=True, exist_ok=True)
        with tarfile.open(root / "shards" / f"{part}-0.tar", "w") as tar:
            for name, content, label in jpegs(number):
                file = root / "folder" / part / f"{label:02}" / f"{name}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                for kind, inside in (("jpg", content), ("cls", str(label).encode())):
                    info = tarfile.TarInfo(f"{name}.{kind}")
                    info.size = len(inside)
                    tar.addfile(info, io.BytesIO(inside))


def loading(stream: StreamLoader, batches: int, turn: int) -> float:
    """Images a second loaded and cropped for a training, without the first batch, which waits for workers to start."""
    clock = time.perf_counter if stream.workers else time.process_time
    order = np.random.default_rng(turn).permutation(len(stream.labels))
    drawn = np.split(order[: BATCH * (batches + 1)], batches + 1)
    loaded = stream.load(
        drawn, fill_broken=True, crop_plans=[CropPlan(SIDE, V1, (turn, step)) for step in range(len(drawn))]
    )
    next(loaded)
    start = clock()
    images = sum(len(labels) for _, labels in islice(loaded, batches))
    return images / (clock() - start)


def augmenting(how: Augmentation, pixels: torch.Tensor, side: int | None, step: int) -> float:
    """Images augmented a second; without a side they are crops already."""
    start = time.process_time()
    augment(pixels, torch.zeros(len(pixels), dtype=torch.long), how, size=side, classes=1000, key=(0, step))
    return len(pixels) / (time.process_time() - start)


def training(name: str, pixels: torch.Tensor) -> float:
    """Images trained on a second, forward and backward, on one thread; the first step is not counted."""
    model = build(published(name), seed=0).to(memory_format=torch.channels_last).train()
    x = (pixels.float() / 255).contiguous(memory_format=torch.channels_last)
    for _ in range(2):
        start = time.process_time()
        model(x).logsumexp(1).mean().backward()
        took = time.process_time() - start
    return len(pixels) / took


@click.command(help=__doc__)
@click.option("--images", default=600, show_default=True)
@click.option("--turns", default=5, show_default=True)
def main(images: int, turns: int) -> None:
    torch.set_num_threads(1)
    table = Table(title=f"images a second: crops and networks at {SIDE} px")
    for head in ("what", "median", "least", "most"):
        table.add_column(head, justify="left" if head == "what" else "right")
    figures: dict[str, list[float]] = {}

    def record(words: str, speed: float) -> None:
        figures.setdefault(words, []).append(speed)

    with tempfile.TemporaryDirectory() as root:
        write(Path(root), images)
        sets = {kind: find_encoded(Path(root) / kind).train for kind in ("folder", "shards")}
        for turn in track(range(turns), "turns", console=Console(stderr=True)):
            for kind, workers in (("folder", 0), ("folder", 1), ("folder", 2), ("shards", 1), ("shards", 2)):
                by = f"{workers} worker{'s'[: workers - 1]}" if workers else "the training's own process"
                record(
                    f"{kind}, decoded and cut by {by}", loading(StreamLoader(sets[kind], DECODED, workers), 12, turn)
                )
            batches = [np.arange(BATCH * turn, BATCH * (turn + 1))]
            [(pixels, _)] = StreamLoader(sets["folder"], DECODED).load(batches, fill_broken=True)
            [(cut, _)] = StreamLoader(sets["folder"], DECODED).load(
                batches, fill_broken=True, crop_plans=[CropPlan(SIDE, V2, (turn,))]
            )
            record(f"cut on one thread, from {DECODED} px in memory", augmenting(V1, pixels, SIDE, turn))
            record("the v2 family's further augmentation, on one thread", augmenting(V2, cut, None, turn))
            for name in ("mobilevitv3_xxs", "mobilevitv3_xs"):
                record(f"trained on one thread: {name}", training(name, cut[:8]))
    for words, speeds in figures.items():
        table.add_row(words, *(f"{speed:.0f}" for speed in (statistics.median(speeds), min(speeds), max(speeds))))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
