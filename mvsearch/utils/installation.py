"""Where this installation of mvsearch came from, and the command that installs an extra into it. Loads no torch."""

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "mvsearch-nas"
"""The name of the distribution. The command and the package are `mvsearch`, a name that another project has on PyPI."""

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Requirements:
    """The packages that this machine needs: those of every installation, and those of each extra."""

    base: "tuple[Requirement, ...]"
    extras: "Mapping[str, tuple[Requirement, ...]]"


def source_tree(package: Path = PACKAGE) -> Path | None:
    """The source tree that a package is imported from, as in an editable installation; None for an installed copy."""
    try:
        text = (package.parent / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return package.parent if re.search(rf'^name = "{DISTRIBUTION}"$', text, re.MULTILINE) else None


def requirements() -> Requirements:
    """What the source tree declares, or the metadata of the installation; nothing if it has neither."""
    if folder := source_tree():
        import tomllib

        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras: Mapping[str, list[str]] = project["optional-dependencies"]
        return Requirements(_applicable(project["dependencies"]), {name: _applicable(extras[name]) for name in extras})
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        return Requirements((), {})
    lines, base = found.requires or [], _applicable(found.requires or [])
    names = found.metadata.get_all("Provides-Extra") or []
    return Requirements(base, {name: tuple(r for r in _applicable(lines, name) if r not in base) for name in names})


def install_hint(*extras: str) -> str:
    """The command that installs the packages of extras: `pip install -e '/src/mvsearch[onnx]'`.

    It names what this installation was made from: a source tree, a wheel or a repository. Where that is not known, or
    does not exist any more, it names the packages themselves: the distribution's name may be another project's there.
    """
    names = f"[{','.join(extras)}]"
    if folder := source_tree():
        return install_command("-e", f"{folder}{names}")
    if url := _origin():
        return install_command(f"{DISTRIBUTION}{names} @ {url}")
    known = requirements().extras
    return install_command(*dict.fromkeys(_without_marker(r) for name in extras for r in known.get(name, ())))


def install_command(*arguments: str) -> str:
    """`pip install` with arguments, quoted for the shell; `uv pip install` in an environment that has no pip."""
    quoted = (f'"{text}"' if os.name == "nt" else shlex.quote(text) for text in arguments)
    return " ".join([f"{'pip' if find_spec('pip') else 'uv pip'} install", *quoted])


def _applicable(lines: Iterable[str], extra: str = "") -> "tuple[Requirement, ...]":
    """The requirements of this Python and system, without those of other extras."""
    from packaging.requirements import Requirement

    known = map(Requirement, lines)
    return tuple(r for r in known if r.marker is None or r.marker.evaluate({"extra": extra}))


def _without_marker(requirement: "Requirement") -> str:
    return str(requirement).partition(";")[0].strip()


def _origin() -> str | None:
    """The URL that pip or uv recorded (PEP 610) when it installed from a wheel, a folder or a repository."""
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        record = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "")
    except (PackageNotFoundError, ValueError):
        return None
    url, vcs = str(record["url"]), record.get("vcs_info")
    if url.startswith("file:") and not Path(url2pathname(urlsplit(url).path)).exists():
        return None
    subdirectory = f"#subdirectory={record['subdirectory']}" if "subdirectory" in record else ""
    return (f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url) + subdirectory
