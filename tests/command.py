"""The command as a user meets it: what it printed, its exit code, and what it left behind."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finished:
    """What became of a command."""

    code: int
    out: str
    err: str


def everything() -> dict[str, bytes | None]:
    """Every file and folder here, with what it holds."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


def refused(mvsearch: Callable[..., Finished], *args: str) -> str:
    """The sentence; and nothing was printed or written beside it."""
    before = everything()
    said = mvsearch(*args)

    assert said.code == 1, said
    assert said.out == ""
    assert_one_sentence(said.err)
    assert everything() == before
    return said.err


def assert_one_sentence(err: str) -> None:
    assert err.startswith("mvsearch: "), err
    assert len(err.splitlines()) == 1, err
    assert err.rstrip().endswith((".", "?")), err
    assert "Traceback" not in err
