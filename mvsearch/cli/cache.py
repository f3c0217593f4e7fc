"""`mvsearch cache`: what is kept so that it need not be paid for twice, and throwing it away."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._output import Amount, console, json_option, print_json, storage_option, table

if TYPE_CHECKING:
    from mvsearch.study.storage.store import Store


@click.command()
@click.argument("study", required=False)
@storage_option
@click.option("--prune", is_flag=True, help="Delete what is listed, as far as --older-than and --keep say.")
@click.option("--older-than", "days", type=Amount(), default=0.0, help="Days unused.")
@click.option("--keep", "keep_gib", type=Amount(), help="GiB of images to keep, the last used first.")
@json_option
def cache(
    study: str | None, storage: str | None, prune: bool, days: float, keep_gib: float | None, as_json: bool
) -> None:
    """What is cached: decoded images; with STUDY or --storage the measurements in that database.

    Deleted images are decoded again when they are asked for; deleted measurements are made again by the next study
    that wants them. Finished trials are no cache: they stay.
    """
    if (study or storage) and keep_gib is not None:
        from mvsearch.errors import StudyError

        raise StudyError("--keep is for images, which take room; of measurements --older-than says which are deleted.")
    rows = _measurements(study, storage, prune, days) if study or storage else _images(prune, days, keep_gib)
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("nothing is cached.", err=True)
        return
    made = table(*rows[0])
    for row in rows:
        made.add_row(*(_cell(name, value) for name, value in row.items()))
    console().print(made)


def _cell(name: str, value: Any) -> str:
    if name == "bytes":
        return f"{value / 2**20:,.1f} MiB"
    if name == "last":
        from datetime import datetime

        return datetime.fromtimestamp(value).isoformat(" ", "minutes")
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


def _images(prune: bool, days: float, keep_gib: float | None) -> list[dict[str, Any]]:
    from mvsearch.data import cached, forget

    found = cached()
    if prune:
        gone = forget(found, older_than_s=days * 86400, keep_bytes=None if keep_gib is None else int(keep_gib * 2**30))
        _told(len(gone), "decoded sets")
        found = [each for each in found if each not in gone]
    return [
        {
            "images": each.name,
            "bytes": each.bytes,
            "last": each.used,
            "state": "whole" if each.whole else "broken",
            "folder": str(each.folder),
        }
        for each in found
    ]


def _measurements(study: str | None, storage: str | None, prune: bool, days: float) -> list[dict[str, Any]]:
    import time

    store = _store(study, storage)
    if prune:
        _told(store.forget_evaluations(before=time.time() - days * 86400), "measurements")
    studies = _studies(store)
    return [
        {"settings": row["settings"], "studies": studies.get(row["settings"], "-"), **row} for row in store.cached()
    ]


def _store(study: str | None, storage: str | None) -> "Store":
    from mvsearch.study.reader import open_study
    from mvsearch.study.storage.store import Store

    return Store(storage, create=False) if study is None and storage else open_study(str(study), storage=storage).store


def _studies(store: "Store") -> dict[str, str]:
    """The studies whose whole measurements are under which settings; those of rungs and repeats are nobody's."""
    from mvsearch.errors import StudyError
    from mvsearch.study.study import settings_key

    made: dict[str, list[str]] = {}
    for name in store.names():
        with suppress(StudyError):  # a newer version's, which others need not wait for
            facts = store.study(name) or {}
            made.setdefault(settings_key(facts["settings"], facts), []).append(name)
    return {settings: ", ".join(names) for settings, names in made.items()}


def _told(count: int, what: str) -> None:
    click.echo(f"{count} {what} deleted.", err=True)
