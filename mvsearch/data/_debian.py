"""Files of a Debian package without installing it, so that it works without root."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mvsearch.utils.progress import Progress, track

TIMEOUT_S = 5  # for the first answer of a server


@contextmanager
def unpack_package(package: str, folder: Path, progress: Progress | None) -> Iterator[Path]:
    """The files of a package, as they would be under /, in a temporary folder below `folder`.

    Raises OSError or subprocess.SubprocessError; `reason` describes them.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        place = Path(scratch)
        try:
            _run_apt(place, package, [["download", package]], progress)
        except subprocess.SubprocessError:  # the machine's package lists may be missing or old
            _download_with_own_lists(place, package, progress)
        files = place / "files"
        subprocess.run(
            ["dpkg-deb", "-x", *map(str, place.glob("*.deb")), str(files)],
            check=True,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=300,
        )
        yield files


def reason(fault: Exception) -> str:
    """What went wrong: the last line that a command printed, or the message of the error."""
    if isinstance(fault, subprocess.CalledProcessError):
        lines = str(fault.stderr).strip().splitlines()[-1:] or [f"exit code {fault.returncode}"]
        return lines[0]
    return str(getattr(fault, "reason", fault))


def _download_with_own_lists(place: Path, package: str, progress: Progress | None) -> None:
    for name in ("lists/partial", "archives/partial"):
        (place / name).mkdir(parents=True)
    own = ["-o", f"Dir::State::Lists={place}/lists", "-o", f"Dir::Cache={place}", "-o", "APT::Sandbox::User="]
    _run_apt(place, package, [[*own, "update"], [*own, "download", package]], progress)


def _run_apt(place: Path, package: str, commands: list[list[str]], progress: Progress | None) -> None:
    for arguments in track(commands, f"apt-get download {package}", len(commands), progress):
        command = ["apt-get", "-o", f"Acquire::http::Timeout={TIMEOUT_S}", *arguments]
        subprocess.run(
            command, cwd=place, check=True, capture_output=True, encoding="utf-8", errors="replace", timeout=300
        )
