"""Database URLs: which are accepted, and how one is shown without its password."""

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from mvsearch.errors import EnvironmentFault, StudyError
from mvsearch.utils import plugins

DRIVERS = ("sqlite", "postgresql+psycopg")
_HARMLESS = ("host", "port", "user", "dbname", "sslmode", "sslrootcert", "connect_timeout", "application_name")
"""Settings in a URL that may be shown; any other, known or misspelt, may be a secret."""


def display_url(url: URL) -> str:
    """A URL as it may be printed and stored: its password as ***, without the settings that may hold a secret."""
    return url.difference_update_query(url.query.keys() - set(_HARMLESS)).render_as_string(hide_password=True)


def is_file(url: URL) -> bool:
    """Whether the database is a file, and not a server."""
    return url.get_backend_name() == "sqlite"


def parse_url(url: str) -> URL:
    """The URL of a database that can hold studies; raises StudyError for any other."""
    # A URL that cannot be parsed is not repeated in the error: a password may be anywhere in it.
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        raise StudyError(
            "not a database URL; write e.g. sqlite:///studies/v3/study.db or postgresql+psycopg://me@host/nas, "
            "and in a password %40 for @, %3A for : and %2F for /."
        ) from None
    if parsed.drivername not in DRIVERS:
        raise unknown_driver(parsed)
    if is_file(parsed) and parsed.database in (None, "", ":memory:"):
        raise StudyError("a study needs a file that outlives the process, e.g. sqlite:///studies/v3/study.db.")
    if not is_file(parsed) and url.count("@") > 1:  # the rest would be parsed as a host, and printed
        raise StudyError("this database URL has more than one @; write %40 for those in a name or a password.")
    return parsed


def unknown_driver(url: URL) -> StudyError:
    """The error for a kind of database that cannot hold studies."""
    hint = plugins.suggest(url.drivername, DRIVERS)
    return StudyError(f"unknown kind of database {url.drivername!r}; {hint}")


def check_file(url: URL, *, create: bool) -> None:
    """Raises an error if the database is a file that is missing, or that cannot be created."""
    if not is_file(url):
        return
    path = Path(url.database or "")
    if not create and not path.exists():
        raise StudyError("there is no such study; `mvsearch run SPACE` makes one.", at=path)
    if not path.parent.is_dir():
        raise EnvironmentFault(
            "this folder does not exist, so no database can be made in it; make it first.", at=path.parent
        )
