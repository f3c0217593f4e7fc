"""Write files atomically, and never overwrite an existing file without permission."""

import os
import tempfile
from pathlib import Path

from mvsearch.errors import EnvironmentFault


def refuse_existing(path: Path, *, force: bool, folder: bool = False) -> None:
    """Raise EnvironmentFault, before any work is done, if a file cannot be written or already exists.

    `force` permits to overwrite a file; `folder` permits that the path is a folder.
    """
    if path.is_dir() and not folder:
        raise EnvironmentFault("is a folder; use the name of a file.", at=path)
    if not path.parent.is_dir():
        raise EnvironmentFault(
            f"cannot be written (the folder {path.parent} does not exist); create it, or use another.", at=path
        )
    if path.exists() and not force:
        raise EnvironmentFault("already exists; --force overwrites it.", at=path)


def write_whole(path: Path, content: bytes) -> None:
    """Write a temporary file beside the file, then rename it: after any failure the file is either old or complete."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise EnvironmentFault(
            f"cannot be written ({error.strerror}); use a folder with write permission.", at=path
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # otherwise the rename may reach the disk before the content
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise EnvironmentFault(f"cannot be written ({error.strerror}); use another file.", at=path) from error
