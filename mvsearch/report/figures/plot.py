"""The files that figures are written to; the suffix is the kind of file."""

from collections.abc import Sequence
from pathlib import Path

from mvsearch.errors import PlanError
from mvsearch.utils.atomic_write import refuse_existing

KINDS = ("png", "svg", "html")


def kind_of(path: Path, kinds: Sequence[str] = KINDS) -> str:
    """The kind of a file by its suffix; raises PlanError for another kind."""
    suffix = path.suffix.lower()
    if suffix.removeprefix(".") not in kinds:
        *most, last = (f".{kind}" for kind in kinds)
        raise PlanError(f"cannot draw {suffix or 'a file without suffix'}; use {', '.join(most)} or {last}.", at=path)
    return suffix.removeprefix(".")


def refuse_to_draw(path: Path, *, force: bool, kinds: Sequence[str] = KINDS) -> None:
    """Raises PlanError for another kind, EnvironmentFault for an existing file, before any work is done."""
    kind_of(path, kinds)
    refuse_existing(path, force=force)


def refuse_to_write(path: Path, suffixes: Sequence[str], *, force: bool) -> None:
    """Raises PlanError for another suffix, EnvironmentFault for an existing file, before any work is done."""
    if path.suffix.lower() not in suffixes:
        raise PlanError(f"cannot write {path.suffix or 'a file without suffix'}; use {' or '.join(suffixes)}.", at=path)
    refuse_existing(path, force=force)
