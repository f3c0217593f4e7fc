"""Data sources: one file a source, e.g. `data/folder.py` is the source `folder`. No torch here.

A file defines `DATA_SOURCE`, a `DataSource` with its description, its licence and three functions.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from mvsearch.data._images import IGNORED, DataSet, DecodedImage, Images, Native, Request, Scene, stratified_split
from mvsearch.data._preparation import Preparation, class_positions, parse_normalise, state_preparation
from mvsearch.data._scene_folders import scene_source
from mvsearch.data._settings import MIN_SIZE, DataSettings
from mvsearch.data._skipped import Skipped, broken, count_broken, describe_parts, merge_skipped
from mvsearch.data._source import DataSource, name_other_images, not_a_folder
from mvsearch.errors import DataError, Location
from mvsearch.utils import plugins
from mvsearch.utils.progress import Progress

if TYPE_CHECKING:
    from mvsearch.data._cache import cache_dir, forget, list_cached
    from mvsearch.data._cached_array import load_or_compute
    from mvsearch.data._decode import UnreadableImage, decode_crop, decode_image, to_rgb
    from mvsearch.data._encoded import EncodedImages, EncodedSet, listing_checksum
    from mvsearch.data._files import find_classes, find_encoded, median_side
    from mvsearch.data._shards import in_shards

__all__ = [
    "IGNORED",
    "MIN_SIZE",
    "DataSet",
    "DataSettings",
    "DataSource",
    "DecodedImage",
    "EncodedImages",
    "EncodedSet",
    "Images",
    "Native",
    "Preparation",
    "Request",
    "Scene",
    "Skipped",
    "UnreadableImage",
    "broken",
    "cache_dir",
    "check",
    "check_task",
    "class_positions",
    "count_broken",
    "decode_crop",
    "decode_image",
    "decoded_size",
    "default_source",
    "describe_parts",
    "find_classes",
    "find_encoded",
    "find_source",
    "forget",
    "in_shards",
    "list_cached",
    "listing_checksum",
    "load",
    "load_or_compute",
    "load_source",
    "median_side",
    "merge_skipped",
    "name_other_images",
    "parse_normalise",
    "scene_source",
    "state_preparation",
    "stratified_split",
    "tasks",
    "to_rgb",
]

_LATER = {
    "_cache": ("cache_dir", "forget", "list_cached"),
    "_cached_array": ("load_or_compute",),
    "_decode": ("UnreadableImage", "decode_crop", "decode_image", "to_rgb"),
    "_encoded": ("EncodedImages", "EncodedSet", "listing_checksum"),
    "_files": ("find_classes", "find_encoded", "median_side"),
    "_shards": ("in_shards",),
}
"""What reads files is imported when it is first used: a plan only names its images."""


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            return getattr(import_module(f"mvsearch.data.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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

    `test_fraction` and `seed` matter only where a data set has no test part of its own. Raises DataError if the images
    are not for the task; without one, they are for the first task of the source.
    """
    if task:
        check_task(source, task)
    return load_source(source).load(Request(path, size, test_fraction, seed, task), progress)


def decoded_size(settings: DataSettings, least: int) -> int | None:
    """The size to decode images at where at least so many pixels are needed: that of the settings, unless it is less.

    Images of a source that has them in one size cannot be decoded at another.
    """
    return settings.size if load_source(settings.source).size else max(settings.size or 0, least) or None


def load_source(name: str) -> DataSource:
    """The data source of that name; raises DataError, with a suggestion, if there is none."""
    return cast(DataSourceModule, plugins.load("data_source", name, error=DataError)).DATA_SOURCE


def find_source(name: str) -> DataSettings:
    """The source of that name, or the folder; raises DataError, with a suggestion, if there is neither."""
    known = plugins.names("data_source")
    if name not in known and Path(name).is_dir():
        return DataSettings(source="folder", path=name)
    if name == "folder":
        raise DataError("name the folder itself: --data /my/images.", at="--data folder")
    if name not in known and (Path(name).name != name or Path(name).is_file()):
        found = not_a_folder(Path(name))
        raise DataError(f"{found} use a folder of images or a data source.", at=f"--data {name}")
    if name not in known:
        near = plugins.nearest(name, (path.name for path in Path().iterdir() if path.is_dir()))
        hint = f"did you mean {near!r}?" if near else plugins.suggest(name, known)
        raise DataError(f"unknown data source {name!r}, and there is no such folder; {hint}")
    return DataSettings(source=name)


class DataSourceModule(Protocol):
    """A file of `data/`."""

    DATA_SOURCE: DataSource


def tasks(source: str) -> tuple[str, ...]:
    """The tasks that the images of a source are for."""
    return load_source(source).tasks


def check_task(source: str, task: str, *, at: Location | str = "data") -> None:
    """Raises DataError, naming other sources, if the images of a source are not for a task."""
    if task not in tasks(source):
        suitable = " or ".join(name for name in plugins.names("data_source") if task in tasks(name))
        raise DataError(f"{source} is for {' and '.join(tasks(source))}, not for {task}; use {suitable}.", at=at)


def default_source(task: str) -> str:
    """The source of images for a task if none is given."""
    return "fashion_mnist" if task == "classification" else "cutouts"


def check(
    source: str,
    *,
    path: Path | None = None,
    size: int | None = None,
    task: str | None = None,
    progress: Progress | None = None,
) -> tuple[DataSet, tuple[str, ...]]:
    """The images of a source and the checks that passed; the raw files and the decoded images are read in full."""
    from mvsearch.data._cache import cache_dir
    from mvsearch.data._decoded import digest_of

    facts = load_source(source).check(path, progress)
    data = load(source, path=path, size=size, task=task, progress=progress)
    if digest_of(data.train, data.test) != data.checksum:
        raise DataError(
            f"the decoded images in {cache_dir()} have changed since they were written; delete that folder.", at=source
        )
    return data, (*facts, "the decoded images are as they were written.")
