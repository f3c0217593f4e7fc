"""One file a source of images: `data/folder.py` is the source `folder`. No torch here.

A file of this kind defines

    DESCRIPTION, LICENCE                one line of text each
    TASKS                               what its images are for, if it is not for classification alone
    get(path, progress) -> Path         where the raw files lie, fetched first if they can be; DataError says what to
                                        do by hand. `path` is the user's own place for them, or None
    load(request, progress) -> DataSet  decoded once into the cache by `_cache.stored`, memory-mapped ever after
    check(path, progress) -> facts      one sentence for each thing found true of the raw files; DataError if one is not

`progress` is a `mvsearch.utils.progress.Progress` callback, or None for silence.
"""

from pathlib import Path

from mvsearch.data._cache import cache_dir, cached, digest_of, forget
from mvsearch.data._decode import decode_crop, decode_image
from mvsearch.data._files import Files, find_files, in_shards, listing_checksum
from mvsearch.data._images import IGNORED, DataSet, Images, Request, Scene, stratified_split
from mvsearch.data._settings import DataSettings
from mvsearch.errors import DataError
from mvsearch.utils import plugins
from mvsearch.utils.progress import Progress

__all__ = [
    "IGNORED",
    "DataSet",
    "DataSettings",
    "Files",
    "Images",
    "Request",
    "Scene",
    "cache_dir",
    "cached",
    "check",
    "decode_crop",
    "decode_image",
    "default_source",
    "find_files",
    "forget",
    "in_shards",
    "listing_checksum",
    "load",
    "refuse_other_task",
    "stratified_split",
    "tasks",
]


def load(
    source: str,
    *,
    path: Path | None = None,
    size: int | None = None,
    test_fraction: float = 0.1,
    seed: int = 0,
    task: str | None = None,
    progress: Progress | None = None,
) -> DataSet:
    """The images of a source, e.g. `load("folder", path=Path("pets"), size=96)`.

    `test_fraction` and `seed` matter only where a set has no test part of its own. Raises DataError if the images are
    not for the task; without one, a source gives what it is for first.
    """
    module = plugins.load("data_source", source, error=DataError)
    if task:
        refuse_other_task(source, task)
    data: DataSet = module.load(Request(path, size, test_fraction, seed, task), progress)
    return data


def tasks(source: str) -> tuple[str, ...]:
    """What the images of a source are for."""
    return tuple(getattr(plugins.load("data_source", source, error=DataError), "TASKS", ("classification",)))


def refuse_other_task(source: str, task: str) -> None:
    """Raises DataError, naming other sources, if the images of a source are not for a task."""
    if task not in tasks(source):
        fit = " or ".join(name for name in plugins.names("data_source") if task in tasks(name))
        raise DataError(f"data: {source} is for {' and '.join(tasks(source))}, not for {task}; use {fit}.")


def default_source(task: str) -> str:
    """Where images for a task come from if nobody says."""
    return "fashion_mnist" if task == "classification" else "cutouts"


def check(
    source: str, *, path: Path | None = None, size: int | None = None, progress: Progress | None = None
) -> tuple[DataSet, tuple[str, ...]]:
    """The images of a source and what was found true of them; the raw files and the decoded ones are read in full."""
    module = plugins.load("data_source", source, error=DataError)
    facts: tuple[str, ...] = module.check(path, progress)
    data = load(source, path=path, size=size, progress=progress)
    if digest_of(data.train, data.test) != data.checksum:
        raise DataError(
            f"its decoded images in {cache_dir()} have changed since they were written; delete that folder.", at=source
        )
    return data, (*facts, "the decoded images are as they were written.")
