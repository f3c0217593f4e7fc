"""The rows, as an architecture file that every command reads. It holds no weights and has no runtime."""

from pathlib import Path

from mvsearch.export.formats import ExportFormat
from mvsearch.export.model import ExportModel


def export(export_model: ExportModel, path: Path) -> None:
    """Write the file."""
    export_model.arch.save(path)


FORMAT = ExportFormat(name="yaml", suffix=".yaml", export=export, runtime=None)
