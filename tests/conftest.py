"""Fixtures that several files use: the command, real databases, and torch on one thread."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import setuptools  # noqa: F401  torch.compile imports it, and fails where a test has loaded Python's own distutils before
from alembic.config import Config
from alembic.script import ScriptDirectory
from command import QUICK, Finished
from hypothesis import HealthCheck, settings
from servers import Postgres

import mvsearch.proxies


def pytest_configure() -> None:
    """Let Ctrl-C reach the commands under test: a background job of a shell ignores SIGINT, and its children do.

    No property test fails because the machine is busy, and output is as wide as where COLUMNS is not set.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.pop("COLUMNS", None)  # pytest-xdist sets 80, where a command would wrap its sentences
    settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy machine")


@pytest.fixture(scope="session", autouse=True)
def optuna_migrations_read_once() -> Iterator[None]:
    """Read Optuna's migrations once: for each new database it reads them three times, longer than a toy study runs."""
    read, scripts = ScriptDirectory.from_config, dict[str | None, ScriptDirectory]()

    def read_once(config: Config) -> ScriptDirectory:
        folder = config.get_main_option("script_location")
        if folder not in scripts:
            scripts[folder] = read(config)
        return scripts[folder]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", read_once)
        yield


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
def brief_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure every latency once after five calls, as on a quiet machine. Beside other tests its spread is large, so it
    would be measured four times, and every call is warmed up for 0.3 s. `test_estimate.py` has the rule."""
    monkeypatch.setattr("mvsearch.profiling.estimate.MAX_REPETITIONS", 1)
    monkeypatch.setattr("mvsearch.profiling.estimate.WARM_S", 0.0)


@pytest.fixture
def mvsearch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Finished]:
    """The command, run in this process and in an empty folder with `quick.yaml`: `mvsearch("front", "quick").code`."""
    from mvsearch.cli.main import main

    # Tests that run beside this one are other commands, which would be named on stderr.
    monkeypatch.setattr("mvsearch.utils.machine_lock.on_wait", lambda callback: nullcontext())
    monkeypatch.chdir(tmp_path)
    Path("quick.yaml").write_text(QUICK, encoding="utf-8")

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


@pytest.fixture
def printed(mvsearch: Callable[..., Finished]) -> Callable[..., str]:
    """What the command prints: on stdout if it succeeds, on stderr if another exit `code` is expected."""

    def run(*args: str, code: int = 0) -> str:
        done = mvsearch(*args)
        assert done.code == code, done.err
        return done.out if code == 0 else done.err

    return run
