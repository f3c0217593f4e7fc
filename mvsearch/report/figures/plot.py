"""The files that figures are written to; the suffix is the kind of file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.errors import PlanError
from mvsearch.utils.atomic_write import refuse_existing, write_whole
from mvsearch.utils.text import join_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mvsearch.report.figures.palette import Theme

PICTURES = ("png", "svg")
KINDS = (*PICTURES, "html")


def kind_of(path: Path, kinds: Sequence[str] = KINDS) -> str:
    """The kind of a file by its suffix; raises PlanError for another kind."""
    suffix = path.suffix.lower()
    if suffix.removeprefix(".") not in kinds:
        allowed = join_words((f".{kind}" for kind in kinds), "or")
        raise PlanError(f"cannot draw {suffix or 'a file without suffix'}; use {allowed}.", at=path)
    return suffix.removeprefix(".")


def write_figure(
    path: Path, theme: "Theme", *, draw: "Callable[[], Figure]", html: Callable[[], bytes] | None = None
) -> None:
    """Write a figure into a .png or .svg file that matplotlib draws, or an .html file if it has this form too.

    Raises PlanError for another suffix.
    """
    kind = kind_of(path, KINDS if html else PICTURES)
    if html and kind == "html":
        write_whole(path, html())
    else:
        from mvsearch.report.figures.static import render

        write_whole(path, render(draw, kind, theme))


def refuse_to_draw(path: Path, *, force: bool, kinds: Sequence[str] = KINDS) -> None:
    """Raises PlanError for another kind, EnvironmentFault for an existing file, before any work is done."""
    kind_of(path, kinds)
    refuse_existing(path, force=force)


def refuse_to_write(path: Path, suffixes: Sequence[str], *, force: bool) -> None:
    """Raises PlanError for another suffix, EnvironmentFault for an existing file, before any work is done."""
    if path.suffix.lower() not in suffixes:
        raise PlanError(f"cannot write {path.suffix or 'a file without suffix'}; use {' or '.join(suffixes)}.", at=path)
    refuse_existing(path, force=force)
