"""A study as a picture in a file; the suffix says which kind. What is shown is decided in `picture`."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mvsearch.errors import EnvironmentFault, PlanError
from mvsearch.pareto import Objective
from mvsearch.record import Record
from mvsearch.report.picture import FrontPicture, front_picture


def plot_front(
    records: Sequence[Record], objectives: Sequence[Objective], path: Path, *, title: str, x: str | None = None
) -> FrontPicture:
    """Draw a study into a .png, .svg or .html file and return what was drawn; `title` is the study's name."""
    draw = drawer(path)
    picture = front_picture(records, objectives, title=title, x=x)
    write_whole(path, draw(picture))
    return picture


def drawer(path: Path) -> Callable[[FrontPicture], bytes]:
    """What turns a picture into the content of such a file; raises PlanError for a suffix that no one draws."""
    suffix = path.suffix.lower()
    if suffix not in (".png", ".svg", ".html"):
        raise PlanError(f"{path}: cannot draw {suffix or 'a file without suffix'}; use .png, .svg or .html.")
    if suffix == ".html":
        from mvsearch.report import _plotly

        return _plotly.draw
    from mvsearch.report import _matplotlib

    return lambda picture: _matplotlib.draw(picture, suffix.removeprefix("."))


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the file first, then take its place: whatever fails, no half of a file is left."""
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise EnvironmentFault(
            f"{path}: cannot be written ({error.strerror}); choose a folder that you may write to."
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except OSError as error:
        Path(beside).unlink(missing_ok=True)
        raise EnvironmentFault(f"{path}: cannot be written ({error.strerror}); choose another file.") from error
