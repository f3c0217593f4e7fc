"""`mvsearch data`: which images there are, fetching them, and whether they are whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress

    from mvsearch.data import DataSet, Images

path_option = click.option("--path", type=click.Path(path_type=Path), help="Where the images lie, if they are yours.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
def data() -> None:
    """List, fetch and check sets of images."""


@data.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """The sources of images that there are."""
    from mvsearch import plugins

    modules = [(name, plugins.load("data", name)) for name in plugins.names("data")]
    rows = [{"name": name, "description": mod.DESCRIPTION, "licence": mod.LICENCE} for name, mod in modules]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        _table(["source", "images", "licence"], [list(row.values()) for row in rows])


@data.command("get")
@click.argument("name")
@path_option
def get_command(name: str, path: Path | None) -> None:
    """Fetch the raw files of the source NAME, if it can be done, and say where they are."""
    from mvsearch import plugins
    from mvsearch.errors import DataError

    module = plugins.load("data", name, error=DataError)
    with _progress() as progress:
        place = module.get(path, progress)
    click.echo(place)


@data.command("check")
@click.argument("name")
@path_option
@click.option("--size", type=int, help="Pixels of a side, where the source leaves it open.")
@json_option
def check_command(name: str, path: Path | None, size: int | None, as_json: bool) -> None:
    """Read all of the source NAME, raw and decoded, and say what was found."""
    from mvsearch.data import check

    with _progress() as progress:
        found, facts = check(name, path=path, size=size, progress=progress)
    report = _report(found, facts)
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    parts = ("train", "test")
    _table(["", *parts], [[row, *(str(report[part][row]) for part in parts)] for row in report["train"]])
    for line in (*facts, f"classes: {len(found.train.classes)}; broken images passed over: {found.skipped}."):
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


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(stderr=True), transient=True)


def _table(head: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
