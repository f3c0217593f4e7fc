"""The contract of a data source."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mvsearch.data._images import DataSet, Request
from mvsearch.utils.progress import Progress

GIVE_PATH = "use --path, or `path` under `data:` in the file of the search"
"""How a person names the place of the files of a source."""


def not_a_folder(path: Path) -> str:
    """What is found instead of a folder, as the beginning of a sentence that goes on with what would do."""
    return "this is a file; unpack it if it is an archive, and" if path.exists() else "no such folder;"


class GetFiles(Protocol):
    """Finds the raw files, and fetches them first if it can."""

    def __call__(self, path: Path | None, progress: Progress | None, /) -> Path:
        """The place of the files; `path` is the user's own place for them. DataError says what to do by hand."""


class LoadImages(Protocol):
    """Decodes the images into the cache once (`_cache.load_or_decode`), where they are memory-mapped afterwards."""

    def __call__(self, request: Request, progress: Progress | None, /) -> DataSet:
        """The images that were asked for."""


class CheckFiles(Protocol):
    """Reads the raw files in full."""

    def __call__(self, path: Path | None, progress: Progress | None, /) -> tuple[str, ...]:
        """One sentence for each check that passed; raises DataError if one fails."""


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A file of `data/`: `description` and `licence` are one line each, `tasks` what its images can be used for.

    Without a task a source gives the images for the first of `tasks`.
    """

    description: str
    licence: str
    get: GetFiles
    load: LoadImages
    check: CheckFiles
    tasks: tuple[str, ...] = ("classification",)
    size: int | None = None
    """The side of all images in pixels, which cannot be chosen; None where it can."""
