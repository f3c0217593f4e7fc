"""`mvsearch cache`: list and delete decoded images and cached measurements."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_study
from mvsearch.cli._help import Command
from mvsearch.cli._output import (
    Amount,
    console,
    json_option,
    print_json,
    refuse_without,
    storage_option,
    table,
)

if TYPE_CHECKING:
    from mvsearch.study.storage.store import Store


@click.command(cls=Command, examples=["mvsearch cache", "mvsearch cache --prune --older-than 30"])
@click.argument("study", required=False, shell_complete=complete_study)
@storage_option
@click.option("--prune", is_flag=True, help="Delete the entries that --older-than and --keep select; default: all.")
@click.option(
    "--older-than",
    "days",
    type=Amount(),
    default=0.0,
    help="Delete images unused for this many days, or measurements of that age.",
)
@click.option("--keep", "keep_gib", type=Amount(), help="GiB of decoded images to keep, the last used first.")
@json_option
def cache(
    study: str | None, storage: str | None, prune: bool, days: float, keep_gib: float | None, as_json: bool
) -> None:
    """List or delete cached images and measurements.

    By default these are decoded images; with STUDY or --storage, the measurements in that database. What is deleted is
    decoded or measured again when it is next needed. Finished trials are never deleted.
    """
    if not prune:
        refuse_without("--prune", "days", "keep_gib")
    if (study or storage) and keep_gib is not None:
        from mvsearch.errors import StudyError

        raise StudyError("--keep is for images; use --older-than to select measurements.")
    rows = _measurements(study, storage, prune, days) if study or storage else _images(prune, days, keep_gib)
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("nothing is cached.", err=True)
        return
    if "folder" in rows[0]:  # its name begins with that of the images
        click.echo(f"decoded images in {Path(rows[0]['folder']).parent}:")
        for row in rows:
            row["images"] = Path(row.pop("folder")).name
    listing = table(*rows[0])
    for row in rows:
        listing.add_row(*(_cell(name, value) for name, value in row.items()))
    console().print(listing)


def size_text(size: int) -> str:
    """A number of bytes in MiB, or in KiB where it is below one MiB."""
    symbol, unit = ("MiB", 2**20) if size >= 2**20 else ("KiB", 2**10)
    return f"{size / unit:,.1f} {symbol}"


def _cell(name: str, value: Any) -> str:
    if name == "bytes":
        return size_text(value)
    if name == "last":
        from datetime import datetime

        return datetime.fromtimestamp(value).isoformat(" ", "minutes")
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


def _images(prune: bool, days: float, keep_gib: float | None) -> list[dict[str, Any]]:
    from mvsearch.data import forget, list_cached

    entries = list_cached()
    if prune:
        deleted = forget(
            entries, older_than_s=days * 86400, keep_bytes=None if keep_gib is None else int(keep_gib * 2**30)
        )
        _report_deleted(len(deleted), "decoded sets")
        entries = [entry for entry in entries if entry not in deleted]
    return [
        {
            "images": entry.name,
            "bytes": entry.bytes,
            "last": entry.used,
            "state": "whole" if entry.whole else "broken",
            "folder": str(entry.folder),
        }
        for entry in entries
    ]


def _measurements(study: str | None, storage: str | None, prune: bool, days: float) -> list[dict[str, Any]]:
    import time

    store = _store(study, storage)
    if prune:
        _report_deleted(store.delete_evaluations(before=time.time() - days * 86400), "measurements")
    studies = _studies(store)
    return [
        {"settings": row["settings"], "studies": studies.get(row["settings"], "-"), **row}
        for row in store.cache_summary()
    ]


def _store(study: str | None, storage: str | None) -> "Store":
    from mvsearch.study.reader import open_study
    from mvsearch.study.storage.store import Store

    return Store(storage, create=False) if study is None and storage else open_study(str(study), storage=storage).store


def _studies(store: "Store") -> dict[str, str]:
    """The names of the studies by the settings key of their whole evaluations (not of rungs and replicates)."""
    from mvsearch.errors import StudyError
    from mvsearch.study.reader import load_facts

    names: dict[str, list[str]] = {}
    for name in store.names():
        with suppress(StudyError):  # a newer version wrote it
            if (facts := load_facts(store, name)) is not None:
                names.setdefault(facts.settings_key(), []).append(name)
    return {settings: ", ".join(studies) for settings, studies in names.items()}


def _report_deleted(count: int, what: str) -> None:
    click.echo(f"{count} {what} deleted.", err=True)
