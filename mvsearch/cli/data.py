"""`mvsearch data`: list the sources of images, fetch them and check them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_data
from mvsearch.cli._help import CommandGroup
from mvsearch.cli._output import console, json_option, path_option, print_json, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from mvsearch.data import DataSet, Images, Native

_CLASSES_SHOWN = 40
_SIDES = ("width", "height")


@click.group(cls=CommandGroup, examples=["mvsearch data list", "mvsearch data check /my/images"])
def data() -> None:
    """List, fetch and check images."""


@data.command("list", examples=["mvsearch data list"])
@json_option
def list_command(as_json: bool) -> None:
    """List the sources of images."""
    from mvsearch.data import load_source
    from mvsearch.utils import plugins

    sources = [(name, load_source(name)) for name in plugins.names("data_source")]
    rows = [{"name": name, "description": source.description, "licence": source.licence} for name, source in sources]
    if as_json:
        print_json(rows)
        return
    rows_table = table("source", "images", "licence", numbers_from=3)
    for column in rows_table.columns[1:]:
        column.no_wrap = False
    for row in rows:
        rows_table.add_row(*row.values())
    console().print(rows_table)


@data.command("get", examples=["mvsearch data get fashion_mnist"])
@click.argument("name", shell_complete=complete_data)
@path_option
def get_command(name: str, path: Path | None) -> None:
    """Fetch the raw files of the source NAME, if possible, and print their folder."""
    from mvsearch.cli._progress import progress_bar
    from mvsearch.data import load_source

    source = load_source(name)
    with progress_bar() as progress:
        folder = source.get(path, progress)
    click.echo(folder)


@data.command("check", examples=["mvsearch data check cifar10", "mvsearch data check /my/images"])
@click.argument("name", shell_complete=complete_data)
@path_option
@click.option("--size", type=int, help="Side of the images in pixels, for sources of any size.")
@click.option("--task", help="What the images are for, e.g. detection; default: the first task of the source.")
@json_option
def check_command(name: str, path: Path | None, size: int | None, task: str | None, as_json: bool) -> None:
    """Read all files of a source, raw and decoded, and print what they contain.

    NAME is a source (`mvsearch data list`) or a folder of your own images with a folder for each class. Prints the
    classes with their counts, the sizes of the images in their files, what was left out with the reason, and what had
    to be assumed.
    """
    from mvsearch.cli._progress import progress_bar
    from mvsearch.data import check, find_source

    if path is None and name != "folder":
        settings = find_source(name)
        name, path = settings.source, Path(settings.path) if settings.path else None
    with progress_bar() as progress:
        dataset, facts = check(name, path=path, size=size, task=task, progress=progress)
    report = _report(dataset, facts)
    if as_json:
        print_json(report)
        return
    rows_table = table("", "train", "test")
    for row in report["train"]:
        rows_table.add_row(row.replace("_", " "), *(f"{report[part][row]:,}" for part in ("train", "test")))
    console().print(rows_table)
    _print_classes(report)
    for line in (*facts, *_native_lines(report["native"])):
        click.echo(line)
    if any(ignored := report["ignored"].values()):
        click.echo(
            "boxes of crowds and difficult objects, not trained on: {:,} in train, {:,} in test.".format(*ignored)
        )
    for entry in dataset.skipped:
        click.echo(f"skipped: {entry.count:,} {entry.reason}, such as {entry.example}.")
    for sentence in dataset.assumptions:
        click.echo(f"assumed: {sentence}.")
    click.echo(f"checksum: {dataset.checksum}; licence: {dataset.licence}; from {dataset.source}.")


def _print_classes(report: dict[str, Any]) -> None:
    parts, boxes = ("train", "test"), report["counted"] == "boxes"
    rows = table(f"class ({report['counted']})", *parts, *(f"{part} images" for part in parts if boxes))
    for name, counts in list(report["counts"].items())[:_CLASSES_SHOWN]:
        images = report["images_per_class"][name] if boxes else {}
        rows.add_row(name, *(f"{count:,}" for count in (*counts.values(), *images.values())))
    console().print(rows)
    if (more := len(report["counts"]) - _CLASSES_SHOWN) > 0:
        click.echo(f"and {more:,} more classes; --json lists all of them.")


def _native_lines(native: dict[str, Any] | None) -> Iterator[str]:
    if native is None:
        return
    sides = (
        f"{side} {{min:,.0f}} to {{max:,.0f}} px (median {{median:,.0f}})".format(**native[side]) for side in _SIDES
    )
    yield f"in the files: {', '.join(sides)}."
    if native["encodings"]:
        others = (f"{count:,} {encoding}" for encoding, count in native["encodings"].items())
        yield f"encodings other than 8-bit RGB: {'; '.join(others)}."


def _report(dataset: DataSet, facts: tuple[str, ...]) -> dict[str, Any]:
    from dataclasses import asdict

    parts = {"train": dataset.train, "test": dataset.test}
    boxes, masks = dataset.train.boxes, dataset.train.masks
    return {
        "name": dataset.name,
        "source": dataset.source,
        "licence": dataset.licence,
        "classes": dataset.train.classes,
        "train": _part(dataset.train),
        "test": _part(dataset.test),
        "counted": "images" if boxes is masks is None else "images that show it" if boxes is None else "boxes",
        "counts": _by_class(parts, {name: part.class_counts() for name, part in parts.items()}),
        "images_per_class": _by_class(parts, {name: part.image_counts() for name, part in parts.items()}),
        "ignored": {name: 0 if part.ignored is None else len(part.ignored) for name, part in parts.items()},
        "native": _native(dataset.native),
        "skipped": [asdict(entry) for entry in dataset.skipped],
        "assumptions": dataset.assumptions,
        "checksum": dataset.checksum,
        "facts": facts,
    }


def _by_class(parts: dict[str, Images], counts: dict[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """The counts of each class in each part; without the background of boxes, which has none."""
    part = parts["train"]
    names = list(enumerate(part.classes))[part.boxes is not None :]
    return {name: {key: int(values[i]) for key, values in counts.items()} for i, name in names}


def _native(native: Native | None) -> dict[str, Any] | None:
    if native is None:
        return None
    sides = {side: dict(zip(("min", "median", "max"), getattr(native, side), strict=True)) for side in _SIDES}
    return {**sides, "encodings": dict(native.encodings)}


def _part(images: Images) -> dict[str, int]:
    counts = images.class_counts()[images.boxes is not None :]  # the background has no boxes
    count, height, width, channels = images.pixels.shape
    return {
        "images": count,
        "fewest_per_class": int(counts.min()),
        "most_per_class": int(counts.max()),
        "height": height,
        "width": width,
        "channels": channels,
    }
