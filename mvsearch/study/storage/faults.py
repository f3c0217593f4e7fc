"""Database errors as one sentence each, and waiting while a server is unavailable."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from mvsearch.errors import DatabaseUnavailable, EnvironmentFault, StudyError
from mvsearch.study.retry import DATABASE_WAIT_S
from mvsearch.study.storage.url import display_url, is_file, unknown_driver
from mvsearch.utils.installation import install_hint

_LOG = logging.getLogger(__name__)
_R = TypeVar("_R")

_MIN_FREE_BYTES = 1 << 20  # with less, SQLite may fail even to open a database


def retry_while_unavailable(action: Callable[[], _R]) -> _R:
    """Return `action()`, repeating it while a database server is unavailable, for up to ten minutes.

    The action must be safe to repeat.
    """
    start, wait_s = time.monotonic(), 0.5
    while True:
        try:
            return action()
        except DatabaseUnavailable as error:
            if time.monotonic() - start > DATABASE_WAIT_S:
                raise
            _LOG.warning("%s Waiting for it.", error)
            time.sleep(wait_s)
            wait_s = min(15.0, 2 * wait_s)


@contextmanager
def translate_db_errors(url: URL) -> Iterator[None]:
    """Raise errors of SQLAlchemy and the driver as errors of ours, in one sentence."""
    place = display_url(url)
    try:
        yield
    except NoSuchModuleError:
        raise unknown_driver(url) from None
    except ModuleNotFoundError as error:
        hint = install_hint("postgres")
        raise EnvironmentFault(
            f"the database driver {error.name!r} is not installed; use `{hint}`.", at=place
        ) from None
    except (DataError, IntegrityError) as error:
        raise StudyError(f"the database refuses what is to be written ({_cause(error)}).", at=place) from None
    except (DBAPIError, PendingRollbackError) as error:  # the latter if a lost connection is used again
        lost = isinstance(error, OperationalError | PendingRollbackError) or error.connection_invalidated
        if not lost:
            raise StudyError(f"not a database that can be read ({_cause(error)}).", at=place) from None
        fault = EnvironmentFault if is_file(url) else DatabaseUnavailable
        raise fault(f"the database cannot be used ({_cause(error)}).{_disk_hint(url)}", at=place) from None
    except SQLAlchemyError as error:
        raise StudyError(f"{_cause(error)}.", at=place) from None


def _disk_hint(url: URL) -> str:
    """What to do if the disk is full: SQLite needs space even to read, and does not always say so."""
    folder = Path(url.database or "").absolute().parent
    full = is_file(url) and folder.is_dir() and shutil.disk_usage(folder).free < _MIN_FREE_BYTES
    hint = " The disk is full: free some space, then run the same command to resume; no finished trial is lost."
    return hint if full else ""


def _cause(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
