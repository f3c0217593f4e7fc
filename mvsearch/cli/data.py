"""`mvsearch data`: list the sources of images, fetch them and check them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._output import console, json_option, print_json, table

if TYPE_CHECKING:
    from mvsearch.data import DataSet, Images

path_option = click.option(
    "--path", type=click.Path(path_type=Path), help="Folder of the images, if you have them already."
)


@click.group()
def data() -> None:
    """List, fetch and check images."""


@data.command("list")
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


@data.command("get")
@click.argument("name")
@path_option
def get_command(name: str, path: Path | None) -> None:
    """Fetch the raw files of the source NAME, if possible, and print their folder."""
    from mvsearch.cli._progress import progress_bar
    from mvsearch.data import load_source

    source = load_source(name)
    with progress_bar() as progress:
        folder = source.get(path, progress)
    click.echo(folder)


@data.command("check")
@click.argument("name")
@path_option
@click.option("--size", type=int, help="Side of the images in pixels, for sources of any size.")
@json_option
def check_command(name: str, path: Path | None, size: int | None, as_json: bool) -> None:
    """Read all files of the source NAME, raw and decoded, and print what they contain."""
    from mvsearch.cli._progress import progress_bar
    from mvsearch.data import check, count_broken

    with progress_bar() as progress:
        dataset, facts = check(name, path=path, size=size, progress=progress)
    report = _report(dataset, facts)
    if as_json:
        print_json(report)
        return
    rows_table = table("", "train", "test")
    for row in report["train"]:
        rows_table.add_row(row.replace("_", " "), *(f"{report[part][row]:,}" for part in ("train", "test")))
    console().print(rows_table)
    broken = count_broken(dataset.skipped)
    for line in (*facts, f"classes: {len(dataset.train.classes)}; broken images skipped: {broken}."):
        click.echo(line)
    click.echo(f"checksum: {dataset.checksum}; licence: {dataset.licence}; from {dataset.source}.")


def _report(dataset: DataSet, facts: tuple[str, ...]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": dataset.name,
        "source": dataset.source,
        "licence": dataset.licence,
        "classes": dataset.train.classes,
        "train": _part(dataset.train),
        "test": _part(dataset.test),
        "skipped": [asdict(entry) for entry in dataset.skipped],
        "assumptions": dataset.assumptions,
        "checksum": dataset.checksum,
        "facts": facts,
    }


def _part(images: Images) -> dict[str, int]:
    import numpy as np

    counts = np.bincount(images.labels, minlength=len(images.classes))
    count, height, width, channels = images.pixels.shape
    return {
        "images": count,
        "fewest_per_class": int(counts.min()),
        "most_per_class": int(counts.max()),
        "height": height,
        "width": width,
        "channels": channels,
    }
