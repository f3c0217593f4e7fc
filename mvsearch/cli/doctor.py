"""`mvsearch doctor`: check the installation, the devices and the storage."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import click

from mvsearch._version import __version__
from mvsearch.cli._help import Command
from mvsearch.cli._output import console, json_option, print_json, table
from mvsearch.utils.installation import PACKAGE, install_command, install_hint, requirements
from mvsearch.utils.machine import cpu_name, installed_version

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_STYLES = {"ok": "green", "slow": "yellow", "missing": "dim", "unusable": "yellow", "broken": "red"}

_MODULES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "basemap-data": "mpl_toolkits.basemap_data",
    "executorch": "executorch.runtime",
    "fvcore": "fvcore.nn",
    "pillow": "PIL.Image",
    "pyarrow": "pyarrow.parquet",
    "pycocotools": "pycocotools.mask",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "tensorboard": "torch.utils.tensorboard",
}
"""What to import of a package whose module has another name, or whose compiled part is in a module of its own."""


@dataclass(frozen=True)
class Finding:
    """The result of one check. `state` is ok, slow or broken; missing or unusable if the main job does not need it."""

    subject: str
    state: str
    text: str


@click.command(cls=Command, examples=["mvsearch doctor"])
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
    yield Finding("mvsearch", "ok", f"{__version__} on Python {platform.python_version()}, in {PACKAGE}")
    declared, failures = requirements(), _import_failures()
    optional = {r.name for members in declared.extras.values() for r in members}
    for requirement in declared.base:
        name, version = requirement.name, installed_version(requirement.name)
        hint = install_command(f"{name}{requirement.specifier}")
        fault = _version_fault(requirement)
        if fault is None and name not in optional:
            fault = failures.get(name)
        if version is None:
            yield Finding(name, "broken", f"is not installed; use `{hint}`")
        else:
            yield Finding(name, "broken" if fault else "ok", fault or version)


def _version_fault(requirement: "Requirement") -> str | None:
    """Why the installed version will not do; None if it does, or if none is installed."""
    version = installed_version(requirement.name)
    if version is None or requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{version} is installed, {requirement.specifier} is required"


def module_of(package: str) -> str:
    """What to import to see whether a package works."""
    return _MODULES.get(package, package.replace("-", "_"))


@cache
def _import_failures() -> dict[str, str]:
    """Why installed packages cannot be imported, by the name of the package."""
    from mvsearch.cli._progress import DelayedBar
    from mvsearch.utils.import_check import import_failures

    declared = requirements()
    members = [*declared.base, *(r for extra in _extra_names() for r in declared.extras[extra])]
    modules = {r.name: module_of(r.name) for r in members if installed_version(r.name)}
    with DelayedBar("packages imported") as bar:
        failures = import_failures(modules.values(), progress=bar)
    return {
        name: f"{installed_version(name)} cannot be imported ({failures[module]})"
        for name, module in modules.items()
        if module in failures
    }


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
    if "torch" in _import_failures():  # _packages reports it
        return
    import torch

    from mvsearch.nn import kernels

    if reason := kernels.fault():
        yield Finding("kernels", "slow", f"{reason}: a training on a CPU takes about a tenth longer")
    else:
        yield Finding("kernels", "ok", "compiled for trainings on this processor")
    for i in range(torch.cuda.device_count()):
        yield Finding(f"cuda:{i}", "ok", torch.cuda.get_device_name(i))
    if not torch.cuda.is_available():
        yield Finding("GPU", "slow", "none: each candidate is trained on one CPU core, which takes a minute or more")


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


def _extra_names() -> list[str]:
    """The extras for users."""
    return [name for name in requirements().extras if name not in ("docs", "test")]


def _extras() -> Iterator[Finding]:
    """The packages of each extra: whether they are installed, in a version that will do, and can be imported."""
    failures = _import_failures()
    for extra in _extra_names():
        members = requirements().extras[extra]
        lacking = [r.name for r in members if installed_version(r.name) is None]
        faults = [_version_fault(r) or failures.get(r.name) for r in members]
        found = [f"{r.name} {fault}" for r, fault in zip(members, faults, strict=True) if fault]
        if lacking:
            found.insert(0, f"lacks {', '.join(lacking)}; use `{install_hint(extra)}`")
        state = "missing" if lacking else "unusable" if found else "ok"
        yield Finding(f"[{extra}]", state, "; ".join(found) or ", ".join(r.name for r in members))


def _storage(url: str) -> Finding:
    from mvsearch.errors import MvsearchError
    from mvsearch.study.storage.store import Store

    try:
        store = Store(url, create=False)
        return Finding("storage", "ok", f"{store.display_url}: {len(store.names())} studies")
    except MvsearchError as error:
        return Finding("storage", "broken", str(error))
