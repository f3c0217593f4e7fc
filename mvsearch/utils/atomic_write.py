"""Files that a command writes: whole or not at all, and none that is there is lost unasked."""

import os
import tempfile
from pathlib import Path

from mvsearch.errors import EnvironmentFault


def refuse_existing(path: Path, *, force: bool, folder: bool = False) -> None:
    """Raises EnvironmentFault for what cannot be written or would be lost, before any work is done.

    `force` is the user's leave to write over it; a folder only where one is to be written.
    """
    if path.is_dir() and not folder:
        raise EnvironmentFault("is a folder; give the name of a file.", at=path)
    if not path.parent.is_dir():
        raise EnvironmentFault(
            f"cannot be written (there is no folder {path.parent}); make it, or choose another.", at=path
        )
    if path.exists() and not force:
        raise EnvironmentFault("is there already; --force writes over it.", at=path)


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the file first, then take its place: whatever fails, no half of a file is left."""
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise EnvironmentFault(
            f"cannot be written ({error.strerror}); choose a folder that you may write to.", at=path
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a rename may be on the disk before what it names
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except OSError as error:
        Path(beside).unlink(missing_ok=True)
        raise EnvironmentFault(f"cannot be written ({error.strerror}); choose another file.", at=path) from error
