"""Pictures as files; the suffix says which kind. What is shown is decided in `picture` and `overlay`."""

from collections.abc import Sequence
from pathlib import Path

from mvsearch.errors import PlanError
from mvsearch.report.figures.front import FrontFigure
from mvsearch.report.figures.overlay import Overlay
from mvsearch.report.figures.palette import LIGHT, Theme
from mvsearch.utils.atomic_write import refuse_existing, write_whole

KINDS = ("png", "svg", "html")


def plot_fronts(pictures: Sequence[FrontFigure], path: Path, theme: Theme = LIGHT) -> None:
    """Draw one study, one picture below the other, into a .png, .svg or .html file."""
    kind = kind_of(path)
    if kind == "html":
        from mvsearch.report.figures import _plotly

        write_whole(path, _plotly.draw(pictures, theme))
    else:
        from mvsearch.report.figures import _matplotlib

        write_whole(path, _matplotlib.draw(pictures, kind, theme))


def plot_overlay(overlay: Overlay, path: Path, theme: Theme = LIGHT) -> None:
    """Draw several studies over each other into a .png, .svg or .html file."""
    kind = kind_of(path)
    if kind == "html":
        from mvsearch.report.figures import _plotly_overlay

        write_whole(path, _plotly_overlay.draw(overlay, theme))
    else:
        from mvsearch.report.figures import _matplotlib_overlay

        write_whole(path, _matplotlib_overlay.draw(overlay, kind, theme))


def kind_of(path: Path, kinds: Sequence[str] = KINDS) -> str:
    """The kind of picture that a file's suffix asks for; raises PlanError if it is none of these."""
    suffix = path.suffix.lower()
    if suffix.removeprefix(".") not in kinds:
        *most, last = (f".{kind}" for kind in kinds)
        raise PlanError(f"cannot draw {suffix or 'a file without suffix'}; use {', '.join(most)} or {last}.", at=path)
    return suffix.removeprefix(".")


def refuse_to_draw(path: Path, *, force: bool, kinds: Sequence[str] = KINDS) -> None:
    """Raises PlanError or EnvironmentFault for a file that could not be drawn, before any work is done."""
    kind_of(path, kinds)
    refuse_existing(path, force=force)


def refuse_to_write(path: Path, suffixes: Sequence[str], *, force: bool) -> None:
    """Raises PlanError for another suffix, EnvironmentFault for a file that would be lost, before any work is done."""
    if path.suffix.lower() not in suffixes:
        raise PlanError(f"cannot write {path.suffix or 'a file without suffix'}; use {' or '.join(suffixes)}.", at=path)
    refuse_existing(path, force=force)
