"""The rows, as an architecture file that every command reads."""

from pathlib import Path

from mvsearch.export.model import ExportModel

SUFFIX = ".yaml"
EXTRA = None


def export(subject: ExportModel, path: Path) -> None:
    """Write the file; it holds no weights."""
    subject.arch.save(path)
