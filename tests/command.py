"""The `mvsearch` command in tests: run in this process by the fixture `mvsearch`, or as a process of its own here."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

PROCESS = (sys.executable, "-m", "mvsearch")
QUICK = (Path(__file__).parents[1] / "spaces" / "quick.yaml").read_text("utf-8")


class Finished(NamedTuple):
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document that `--json` prints."""
        return json.loads(self.out)


def run_process(*args: str, cwd: Path | None = None, timeout: float = 240, **options: Any) -> Finished:
    """Run the command as a process, with further options of `subprocess.run`."""
    done = subprocess.run(
        [*PROCESS, *args], cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False, **options
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def all_files() -> dict[str, bytes | None]:
    """Every file and folder below the current one, with its content."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


def assert_refused(mvsearch: Callable[..., Finished], *args: str) -> str:
    """Check that the command fails with one sentence and writes nothing; returns the sentence."""
    before = all_files()
    done = mvsearch(*args)

    assert done.code == 1, done
    assert done.out == ""
    assert_one_sentence(done.err)
    assert all_files() == before
    return done.err


def assert_one_sentence(err: str) -> None:
    """Check that stderr is one sentence of the command, and no traceback."""
    assert err.startswith("mvsearch: "), err
    assert len(err.splitlines()) == 1, err
    assert err.rstrip().endswith((".", "?")), err
