"""The networks that a space names under `contains:`: published models, architecture files, folders of trainings."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mvsearch.arch.architecture import FILE_NAME, Architecture
from mvsearch.arch.published import is_published, model_names, published
from mvsearch.errors import SpaceError
from mvsearch.utils import plugins
from mvsearch.utils.yaml_document import Document

_SUFFIXES = (".yaml", ".yml")


def read_files(document: Document, task: str) -> Document:
    """The document with the content of each file in place of its path, so that it is whole on every machine.

    Paths are relative to the document's own file. Raises SpaceError for an entry that is neither a published model nor
    a file, and what `Architecture.load` raises.
    """
    entries = document.data.get("contains", [])
    if not isinstance(entries, list):
        where = document.where("contains")
        raise SpaceError(f"found {entries!r}; use a list of published models and architecture files.", at=where)
    read = [_read(document, i, entry, task) for i, entry in enumerate(entries)]
    return document if read == entries else replace(document, data=document.data | {"contains": read})


def contained(document: Document) -> Iterator[tuple[str, Architecture]]:
    """The networks by name, in their order, as they are without the space's head, image size and classes."""
    for entry in document.data.get("contains", ()):
        if isinstance(entry, str):
            yield entry, published(entry)
        else:
            yield str(entry["name"]), Architecture.from_dict(entry)


def _read(document: Document, i: int, entry: Any, task: str) -> Any:
    where = document.where("contains", i)
    if isinstance(entry, dict):
        if document.file is None:
            return entry  # of a stored study, which has the content already
        raise SpaceError("found a mapping; save the network as a file of its own, and use its path.", at=where)
    if not isinstance(entry, str):
        raise SpaceError(f"found {entry!r}; use the name of a published model or the path of a file.", at=where)
    if is_published(entry):
        return entry
    path = Path(document.file or "").parent / entry
    if not (path.exists() or path.suffix in _SUFFIXES or "/" in entry):
        hint = plugins.suggest(entry, model_names(task))
        raise SpaceError(f"unknown model {entry!r}, and no file; {hint}", at=where)
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise SpaceError(f"no file {file}; use an architecture file or the folder of a finished training.", at=where)
    arch, name = Architecture.load(file), path.resolve().name.removesuffix(path.suffix if path.is_file() else "")
    if is_published(name):
        if published(name).key == arch.key:
            return name
        raise SpaceError(f"{file} is another network than the published {name}; rename the file.", at=where)
    return {**arch.to_dict(), "name": name}
