"""`mvsearch studies`: list, rename, copy, delete, export and import studies."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_study
from mvsearch.cli._help import CommandGroup
from mvsearch.cli._output import console, force_option, json_option, print_json, storage_option, table

if TYPE_CHECKING:
    from mvsearch.study.reader import Reader
    from mvsearch.study.storage.store import Store

_FORMATS = (".jsonl", ".csv", ".parquet")
_DATABASE = ("study.db", "study.db-wal", "study.db-shm")
_LOCKS = ("study.db.locks", "workers")


@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
    examples=["mvsearch studies", "mvsearch studies export v3 -o v3.jsonl"],
)
@click.option("--storage", help="Database URL; default: studies/*/study.db.")
@json_option
@click.pass_context
def studies(context: click.Context, storage: str | None, as_json: bool) -> None:
    """List, rename, copy, delete, export or import studies."""
    command = context.invoked_subcommand
    if command is None:
        _list(storage, as_json)
    elif storage is not None or as_json:
        option = "--json" if storage is None else "--storage"
        raise click.UsageError(f"{option} belongs behind {command}: mvsearch studies {command} ... {option}")


@studies.command("list", examples=["mvsearch studies list --json"])
@click.option("--storage", help="Database URL; default: studies/*/study.db.")
@json_option
def list_command(storage: str | None, as_json: bool) -> None:
    """List the studies, as `mvsearch studies` does."""
    _list(storage, as_json)


def _list(storage: str | None, as_json: bool) -> None:
    rows = list(_rows(storage))
    if as_json:
        print_json(rows)
        return
    listing = table("study", "objectives", "trials", "of", "front", "last", "database", numbers_from=2)
    for row in rows:
        if "error" in row:
            click.echo(f"{row['study']} cannot be read: {row['error']}", err=True)
            continue
        cells = (row["study"], ", ".join(row["objectives"]), row["trials"], row["of"], row["front"], row["last"] or "-")
        listing.add_row(*map(str, cells), row["database"])
    listing.columns[-1].justify, listing.columns[1].no_wrap = "left", False
    if listing.row_count:
        console().print(listing)
    elif not rows:
        console().print("There are no studies here; `mvsearch run SPACE` creates one.")


def _rows(storage: str | None) -> Iterator[dict[str, Any]]:
    """A row for each study; for a study that cannot be read, the reason."""
    from mvsearch.errors import MvsearchError
    from mvsearch.study.reader import STUDIES, Reader
    from mvsearch.study.storage.store import Store

    if storage is not None:
        store = Store(storage, create=False)
        openers = [(name, partial(Reader, name, store)) for name in store.names()]
    else:
        openers = [opener for path in sorted(STUDIES.glob("*/study.db")) for opener in _openers(path)]
    for name, open_reader in openers:
        try:
            yield _summary(open_reader())
        except MvsearchError as error:
            yield {"study": name, "error": str(error)}


def _openers(database: Path) -> "list[tuple[str, partial[Reader]]]":
    """What opens each study of studies/*/study.db, by name; of one without studies, what raises the reason."""
    from mvsearch.errors import MvsearchError
    from mvsearch.study.reader import Reader, open_study
    from mvsearch.study.storage.store import Store

    with suppress(MvsearchError):
        store = Store(f"sqlite:///{database}", create=False)
        if names := store.names():
            return [(name, partial(Reader, name, store)) for name in names]
    return [(database.parent.name, partial(open_study, database.parent))]


def _summary(reader: "Reader") -> dict[str, Any]:
    from datetime import datetime

    from mvsearch.metrics.pareto import front

    records = reader.records()
    finished = reader.store.last_finish_time(reader.name)
    return {
        "study": reader.name,
        "objectives": list(reader.facts.objectives),
        "trials": len(records),
        "of": reader.facts.search.trials,
        "front": len(front(reader.within_limits(records), reader.objectives)),
        "last": datetime.fromtimestamp(finished).isoformat(" ", "minutes") if finished else None,
        "database": reader.store.display_url,
    }


@studies.command("rename", examples=["mvsearch studies rename v3 first-search"])
@click.argument("study", shell_complete=complete_study)
@click.argument("name")
@storage_option
def rename_command(study: str, name: str, storage: str | None) -> None:
    """Rename STUDY to NAME. Its folder in studies/ is moved; a database with several studies stays where it is."""
    from mvsearch.errors import StudyError
    from mvsearch.study.archive import rename
    from mvsearch.study.reader import STUDIES, open_study
    from mvsearch.study.settings import check_study_name

    reader = open_study(study, storage=storage)
    folder = _folder(reader.store) if len(reader.store.names()) == 1 else None
    target = STUDIES / check_study_name(name)
    if folder is not None and target.exists():
        raise StudyError("exists already; choose another name, or move it away.", at=target)
    rename(reader, name)
    location = reader.store.display_url
    if folder is not None:
        reader.store.engine.dispose()
        location = str(folder.rename(target))
    click.echo(f"renamed {reader.name} to {name}, in {location}.", err=True)


def _folder(store: "Store") -> Path | None:
    """The folder of the database if it is studies/*/study.db, else None."""
    from mvsearch.study.reader import STUDIES

    path = Path(store.url.database or "")
    own = path.name == "study.db" and path.parent.parent.resolve() == STUDIES.resolve()
    return path.parent if own else None


@studies.command(
    "copy",
    examples=[
        "mvsearch studies copy v3 v3-longer",
        "mvsearch studies copy v3 v3 --to postgresql+psycopg://me@host/nas",
    ],
)
@click.argument("study", shell_complete=complete_study)
@click.argument("name")
@click.option("--to", help="Database URL of the copy; default: studies/NAME/study.db.")
@storage_option
def copy_command(study: str, name: str, to: str | None, storage: str | None) -> None:
    """Copy STUDY with its trials to NAME, where it can be resumed; --to another database."""
    from mvsearch.study.reader import open_study

    copy = _copy(open_study(study, storage=storage), name, to)
    click.echo(f"copied {copy.count()} trials to {copy.store.display_url}.", err=True)


def _copy(reader: "Reader", name: str, to: str | None) -> "Reader":
    text = _lines(reader)
    with _target(name, to) as url:
        return _restore(text, url, name, reader.name)


def _lines(reader: "Reader") -> list[str]:
    """The lines of a study with its validations, whose weights are not in it."""
    from mvsearch.study.archive import lines
    from mvsearch.validation.folder import validation_documents

    if not validation_documents(reader):
        return list(lines(reader))
    from mvsearch.validation.document import stored_documents

    return list(lines(reader, stored_documents(reader)))


def _restore(text: "Sequence[str]", url: str, name: str, source: str) -> "Reader":
    from mvsearch.study.archive import read_validations, restore

    documents = read_validations(text, source)
    if not documents:
        return restore(text, url, name=name, source=source)
    from mvsearch.validation.document import parse_documents, restore_validations

    validations = parse_documents(documents, source)
    reader = restore(text, url, name=name, source=source)
    restore_validations(reader, validations)
    return reader


@contextmanager
def _target(name: str, storage: str | None) -> Iterator[str]:
    """The URL for a new study: `storage`, or studies/NAME/study.db; its folder is removed again if it stays empty."""
    from mvsearch.study.reader import STUDIES
    from mvsearch.study.settings import check_study_name

    folder = STUDIES / check_study_name(name)
    if storage is None:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield storage or f"sqlite:///{folder / 'study.db'}"
    finally:
        if storage is None:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


@studies.command("delete", examples=["mvsearch studies delete v3 --yes"])
@click.argument("study", shell_complete=complete_study)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@storage_option
def delete_command(study: str, yes: bool, storage: str | None) -> None:
    """Delete STUDY, its trials and the files that `run` wrote.

    Other files, the weights of a validation and the cache of a shared database stay.
    """
    from mvsearch.errors import StudyError
    from mvsearch.study.archive import check_no_live_worker, remove
    from mvsearch.study.reader import STUDIES, open_study

    reader = open_study(study, storage=storage)
    if Path(study).name == study != reader.name:  # the folder may be that of a study that was deleted before
        raise StudyError(
            f"there is no study {study!r}; {STUDIES / study} has {reader.name}: give that path to delete it."
        )
    check_no_live_worker(reader)
    if not yes and not _ask(f"delete {reader.name} with {reader.count()} finished trials?"):
        click.echo(f"{reader.name} is not deleted.", err=True)
        return
    remove(reader)
    folder = _remove_files(reader)
    click.echo(f"deleted {reader.name}.{_remaining(folder)}", err=True)


def _remaining(folder: Path | None) -> str:
    """What is left in the folder of a deleted study, in a sentence."""
    if folder is None or not folder.exists():
        return ""
    validated = (folder / "validation").is_dir()
    return f" {folder} contains {'the weights of its validation' if validated else 'files of your own'} and stays."


def _ask(question: str) -> bool:
    """Ask for confirmation; raises StudyError if stdin is closed."""
    from mvsearch.errors import StudyError

    try:
        return click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin is not None and sys.stdin.isatty():  # Ctrl-C
            raise
        raise StudyError("cannot ask for confirmation; --yes deletes without asking.") from None


def _remove_files(reader: "Reader") -> Path | None:
    """Remove a database without studies and the other files of mvsearch; returns their folder."""
    import shutil

    from mvsearch.report.artifacts import ARTIFACTS

    folder = _folder(reader.store)
    with reader.store.lock("open"):
        if folder is None or reader.store.names():
            return None
        reader.store.engine.dispose()
        for name in (*_DATABASE, *ARTIFACTS):
            (folder / name).unlink(missing_ok=True)
    for name in _LOCKS:
        shutil.rmtree(folder / name, ignore_errors=True)
    with suppress(OSError):  # it contains other files
        folder.rmdir()
    return folder


@studies.command("export", examples=["mvsearch studies export v3", "mvsearch studies export v3 -o trials.csv"])
@click.argument("study", shell_complete=complete_study)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="File to write; default: STUDY.jsonl.")
@force_option
@storage_option
def export_command(study: str, output: Path | None, force: bool, storage: str | None) -> None:
    """Write STUDY to one file: .jsonl is complete, with the results of validations, and can be imported; .csv and
    .parquet are tables of trials.
    """
    from mvsearch.errors import StudyError
    from mvsearch.study.reader import open_study
    from mvsearch.utils import plugins
    from mvsearch.utils.atomic_write import refuse_existing, write_whole

    reader = open_study(study, storage=storage)
    path = output or Path(f"{reader.name}.jsonl")
    if path.suffix not in _FORMATS:
        raise StudyError(f"unknown format; {plugins.suggest(path.suffix, _FORMATS)}", at=path)
    refuse_existing(path, force=force)
    write_whole(Path(os.path.realpath(path)), _content(reader, path.suffix))  # write to the target of a link
    click.echo(path)


def _content(reader: "Reader", suffix: str) -> bytes:
    if suffix == ".jsonl":
        return "".join(f"{line}\n" for line in _lines(reader)).encode()
    from mvsearch.report.trials_table import csv, parquet

    records = reader.records()
    within = {record.number for record in reader.within_limits(records)}
    return (csv if suffix == ".csv" else parquet)(records, within)


@studies.command("import", examples=["mvsearch studies import v3.jsonl --name v3-again"])
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the imported study; default: the name in the file.")
@storage_option
def import_command(file: Path, name: str | None, storage: str | None) -> None:
    """Import a study from a .jsonl FILE that `export` wrote; it can be plotted and resumed as any other."""
    from mvsearch.errors import StudyError
    from mvsearch.study.archive import read_name

    try:
        text = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise StudyError(f"cannot be read ({reason}); give a .jsonl file that `export` wrote.", at=file) from None
    new_name = name or read_name(text, str(file))
    with _target(new_name, storage) as url:
        imported = _restore(text, url, new_name, str(file))
    click.echo(f"imported {imported.count()} trials into {imported.store.display_url}.", err=True)
