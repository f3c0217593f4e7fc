"""Writing files in a folder beside their place, and moving them there once they are complete."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mvsearch.errors import EnvironmentFault

_CACHES = {"__pycache__", ".pytest_cache"}  # Python creates them in a folder that is used


@contextmanager
def staging_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside the path, on the same disk, so that moving a file to its place is one step."""
    try:
        folder = TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise EnvironmentFault(
            f"cannot be written ({error.strerror}); choose a folder that you may write to.", at=path
        ) from None
    with folder as name:
        yield Path(name)


def publish(folder: Path, target_folder: Path) -> None:
    """Move everything in a folder to the target folder, replacing what an earlier export wrote."""
    for new in folder.iterdir():
        target = target_folder / new.name
        if target.is_dir():
            _remove_export(target, new)
        new.replace(target)


def _remove_export(old: Path, new: Path) -> None:
    """Remove a folder of an earlier export. Raises EnvironmentFault if it holds a file that the new one lacks."""
    written = {path.name for path in new.iterdir()} if new.is_dir() else set()
    if foreign := sorted({path.name for path in old.iterdir()} - written - _CACHES):
        raise EnvironmentFault(f"is a folder with {foreign[0]}, which no export wrote; choose another name.", at=old)
    shutil.rmtree(old)
