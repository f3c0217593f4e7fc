"""The contract of a data source."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mvsearch.data._images import DataSet, Request
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress

GIVE_PATH = "use --path, or `path` under `data:` in the file of the search"
"""How a person names the place of the files of a source."""


def not_a_folder(path: Path) -> str:
    """What is found instead of a folder, as the beginning of a sentence that goes on with what would do."""
    return "this is a file; unpack it if it is an archive, and" if path.exists() else "no such folder;"


def user_folder(name: str, path: Path | None, wanted: str) -> Path:
    """The user's folder for the source of that name; raises DataError if none is given or it is not there."""
    if path is None:
        raise DataError(f"needs a path: {GIVE_PATH}.", at=name)
    if not path.is_dir():
        raise DataError(f"{not_a_folder(path)} give one {wanted}.", at=path)
    return path


@contextmanager
def name_other_images(instead: str = "") -> Iterator[None]:
    """Have errors of images that a command chose by itself name the option for others, and what would do `instead`."""
    try:
        yield
    except DataError as error:
        ways = f"name other images: --data FOLDER{instead and f', or {instead}'}"
        raise DataError(f"{str(error).removesuffix('.')}; {ways}.") from None


GetFiles = Callable[[Path | None, Progress | None], Path]
"""Finds the raw files at the user's own place or elsewhere, and fetches them first if it can; returns where they are.

DataError says what to do by hand."""

LoadImages = Callable[[Request, Progress | None], DataSet]
"""Decodes the images into the cache once (`_decoded.load_or_decode`), where they are memory-mapped afterwards."""

CheckFiles = Callable[[Path | None, Progress | None], tuple[str, ...]]
"""Reads the raw files in full. One sentence for each check that passed; raises DataError if one fails."""


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
