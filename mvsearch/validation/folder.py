"""Where the validations of a study are. It loads nothing of what reads them."""

from pathlib import Path

from mvsearch.study.reader import STUDIES, Reader
from mvsearch.study.storage.url import is_file

DOCUMENT, TABLE = "validation.json", "results.csv"


def validation_folder(reader: Reader) -> Path:
    """The folder of a study's validations: beside its database if that is a study.db, else in studies/NAME."""
    url = reader.store.url
    database = Path(url.database or "")
    beside = is_file(url) and database.name == "study.db"
    return (database.parent if beside else STUDIES / reader.name) / "validation"


def validation_documents(reader: Reader) -> list[Path]:
    """The document of each validation, the last written first."""
    paths = sorted(validation_folder(reader).glob(f"*/{DOCUMENT}"))
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)
