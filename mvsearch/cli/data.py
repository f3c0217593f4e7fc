"""`mvsearch data`: which images there are, fetching them, and whether they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._output import console, json_option, print_json, table

if TYPE_CHECKING:
    from mvsearch.data import DataSet, Images

path_option = click.option("--path", type=click.Path(path_type=Path), help="Where the images lie, if they are yours.")


@click.group()
def data() -> None:
    """List, fetch and check sets of images."""


@data.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """The sources of images that there are."""
    from mvsearch.utils import plugins

    modules = [(name, plugins.load("data_source", name)) for name in plugins.names("data_source")]
    rows = [{"name": name, "description": mod.DESCRIPTION, "licence": mod.LICENCE} for name, mod in modules]
    if as_json:
        print_json(rows)
        return
    made = table("source", "images", "licence", numbers_from=3)
    for column in made.columns[1:]:
        column.no_wrap = False
    for row in rows:
        made.add_row(*row.values())
    console().print(made)


@data.command("get")
@click.argument("name")
@path_option
def get_command(name: str, path: Path | None) -> None:
    """Fetch the raw files of the source NAME, if it can be done, and say where they are."""
    from mvsearch.cli._progress import progress_bar
    from mvsearch.errors import DataError
    from mvsearch.utils import plugins

    module = plugins.load("data_source", name, error=DataError)
    with progress_bar() as progress:
        place = module.get(path, progress)
    click.echo(place)


@data.command("check")
@click.argument("name")
@path_option
@click.option("--size", type=int, help="Pixels of a side, where the source leaves it open.")
@json_option
def check_command(name: str, path: Path | None, size: int | None, as_json: bool) -> None:
    """Read all of the source NAME, raw and decoded, and say what was found."""
    from mvsearch.cli._progress import progress_bar
    from mvsearch.data import check

    with progress_bar() as progress:
        found, facts = check(name, path=path, size=size, progress=progress)
    report = _report(found, facts)
    if as_json:
        print_json(report)
        return
    made = table("", "train", "test")
    for row in report["train"]:
        made.add_row(row.replace("_", " "), *(f"{report[part][row]:,}" for part in ("train", "test")))
    console().print(made)
    for line in (*facts, f"classes: {len(found.train.classes)}; broken images skipped: {found.skipped}."):
        click.echo(line)
    click.echo(f"checksum: {found.checksum}; licence: {found.licence}; from {found.source}.")


def _report(found: DataSet, facts: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": found.name,
        "source": found.source,
        "licence": found.licence,
        "classes": found.train.classes,
        "train": _part(found.train),
        "test": _part(found.test),
        "skipped": found.skipped,
        "checksum": found.checksum,
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
