"""`mvsearch doctor`: check the installation, the devices and the storage."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import metadata, requires

import click

from mvsearch._version import __version__
from mvsearch.cli._output import console, json_option, print_json, table
from mvsearch.utils.machine import cpu_name, installed_version

_STYLES = {"ok": "green", "slow": "yellow", "missing": "dim", "broken": "red"}


@dataclass(frozen=True)
class Finding:
    """The result of one check. `state` is ok, slow, missing (and not needed by the main job) or broken."""

    subject: str
    state: str
    text: str


@click.command()
@click.option("--storage", help="Check this database URL too.")
@json_option
def doctor(storage: str | None, as_json: bool) -> None:
    """Check the installation and this machine.

    Lists versions, devices, folders, images and extras: what is missing, and what would be slow. Exit code 1 if
    `mvsearch run spaces/v3.yaml` would fail here.
    """
    findings = [finding for check in (_packages, _devices, _folders, _images, _extras) for finding in check()]
    if storage:
        findings.append(_storage(storage))
    if as_json:
        print_json([{"what": f.subject, "state": f.state, "said": f.text} for f in findings])
    else:
        from rich.text import Text

        rows = table("", "", "", numbers_from=3)
        rows.show_header, rows.columns[2].no_wrap = False, False
        for finding in findings:
            rows.add_row(finding.subject, Text(finding.state, _STYLES[finding.state]), finding.text)
        console().print(rows)
    if any(finding.state == "broken" for finding in findings):
        raise SystemExit(1)


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    yield Finding("mvsearch", "ok", f"{__version__} on Python {platform.python_version()}")
    for line in requires("mvsearch") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, specifier, version = requirement.name, requirement.specifier, installed_version(requirement.name)
        if version is None:
            yield Finding(name, "broken", f"is not installed; pip install '{name}{specifier}'")
        elif specifier.contains(version, prereleases=True):
            yield Finding(name, "ok", version)
        else:
            yield Finding(name, "broken", f"{version} is installed, {specifier} is required")


def _devices() -> Iterator[Finding]:
    cores, load = os.cpu_count() or 1, os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    yield Finding("processor", "ok", f"{cpu_name()}, {cores} cores")
    if load > 0.5 * cores:
        yield Finding("load", "slow", f"{load:.1f} on {cores} cores: trainings will be slower, and latencies noisy")
    free = _free_memory()
    if free is not None:
        scarce = free < cores * 2**30
        text = f"{free / 2**30:.1f} GiB free" + (", less than 1 GiB per core" if scarce else "")
        yield Finding("memory", "slow" if scarce else "ok", text)
    try:
        import torch
    except (ImportError, OSError) as error:  # the package, or a library it is linked against
        yield Finding("torch", "broken", f"cannot be loaded: {str(error).splitlines()[0]}")
        return
    for i in range(torch.cuda.device_count()):
        yield Finding(f"cuda:{i}", "ok", torch.cuda.get_device_name(i))
    if not torch.cuda.is_available():
        yield Finding(
            "GPU", "slow", "none: each candidate is trained on one CPU core, which takes up to about a minute"
        )


def _free_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _folders() -> Iterator[Finding]:
    from mvsearch.data import cache_dir
    from mvsearch.study.reader import STUDIES

    for subject, folder in (("studies", STUDIES), ("cache", cache_dir())):
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            yield Finding(subject, "broken", f"{folder}: is not writable; change its owner, or work in another folder")
            continue
        free = shutil.disk_usage(existing).free
        state = "ok" if free > 2**30 else "slow" if free > 2**27 else "broken"
        yield Finding(subject, state, f"{folder}: {free / 2**30:.1f} GiB free")


def _images() -> Iterator[Finding]:
    from mvsearch.data import fashion_mnist, list_cached

    names = sorted({entry.name for entry in list_cached() if entry.whole})
    if "fashion_mnist" in names:
        yield Finding("images", "ok", f"decoded: {', '.join(names)}")
    elif reason := fashion_mnist.out_of_reach():
        yield Finding(
            "images", "broken", f"fashion_mnist is not available: {reason}; see `mvsearch data get fashion_mnist`"
        )
    else:
        yield Finding(
            "images", "missing", "the first run fetches fashion_mnist; `mvsearch data get fashion_mnist` does it now"
        )


def _extras() -> Iterator[Finding]:
    """The packages of each extra but `test`, which is for developers."""
    from packaging.requirements import Requirement

    requirements = [Requirement(line) for line in requires("mvsearch") or []]
    for extra in metadata("mvsearch").get_all("Provides-Extra") or []:
        if extra == "test":
            continue
        members = [r for r in requirements if r.marker is not None and _only_for(r, extra)]
        lacking = [r.name for r in members if installed_version(r.name) is None]
        text = f"lacks {', '.join(lacking)}; pip install 'mvsearch[{extra}]'" if lacking else ""
        yield Finding(f"[{extra}]", "missing" if lacking else "ok", text or ", ".join(r.name for r in members))


def _only_for(requirement: object, extra: str) -> bool:
    evaluate: Callable[[dict[str, str]], bool] = requirement.marker.evaluate  # type: ignore[attr-defined]
    return evaluate({"extra": extra}) and not evaluate({"extra": ""})


def _storage(url: str) -> Finding:
    from mvsearch.errors import MvsearchError
    from mvsearch.study.storage.store import Store

    try:
        store = Store(url, create=False)
        return Finding("storage", "ok", f"{store.display_url}: {len(store.names())} studies")
    except MvsearchError as error:
        return Finding("storage", "broken", str(error))
