"""`mvsearch doctor`: is all there that the work needs, and what would be slow."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import metadata, requires

import click

from mvsearch._version import __version__
from mvsearch.cli._output import console, json_option, print_json, table
from mvsearch.utils.machine import cpu_name, installed_version

_STYLES = {"ok": "green", "slow": "yellow", "missing": "dim", "broken": "red"}


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, `state` (ok, slow, missing: not needed by the main job; broken), and what to do."""

    what: str
    state: str
    said: str


@click.command()
@click.option("--storage", help="A database URL to try as well.")
@json_option
def doctor(storage: str | None, as_json: bool) -> None:
    """Versions, devices, extras, storage, images: what is there, what is not, what would be slow and why.

    Exit code 1 if `mvsearch run spaces/v3.yaml` cannot work here.
    """
    found = [finding for look in (_packages, _devices, _folders, _images, _extras) for finding in look()]
    if storage:
        found.append(_storage(storage))
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        from rich.text import Text

        made = table("", "", "", numbers_from=3)
        made.show_header, made.columns[2].no_wrap = False, False
        for finding in found:
            made.add_row(finding.what, Text(finding.state, _STYLES[finding.state]), finding.said)
        console().print(made)
    if any(finding.state == "broken" for finding in found):
        raise SystemExit(1)


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    yield Finding("mvsearch", "ok", f"{__version__} on Python {platform.python_version()}")
    for line in requires("mvsearch") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        has = installed_version(wanted.name)
        if has is None:
            yield Finding(wanted.name, "broken", f"is not installed; pip install '{wanted.name}{wanted.specifier}'")
            continue
        fits = wanted.specifier.contains(has, prereleases=True)
        said = has if fits else f"{has} is installed, {wanted.specifier} is wanted"
        yield Finding(wanted.name, "ok" if fits else "broken", said)


def _devices() -> Iterator[Finding]:
    cores, load = os.cpu_count() or 1, os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    yield Finding("processor", "ok", f"{cpu_name()}, {cores} cores")
    if load > 0.5 * cores:
        yield Finding("load", "slow", f"{load:.1f} on {cores} cores: trainings share them, latencies will scatter")
    free = _free_memory()
    if free is not None:
        said = f"{free / 2**30:.1f} GiB free" + (", less than 1 GiB a core" if free < cores * 2**30 else "")
        yield Finding("memory", "slow" if free < cores * 2**30 else "ok", said)
    try:
        import torch
    except (ImportError, OSError) as error:  # a library that it is linked against, or the package itself
        yield Finding("torch", "broken", f"cannot be loaded: {str(error).splitlines()[0]}")
        return
    for i in range(torch.cuda.device_count()):
        yield Finding(f"cuda:{i}", "ok", torch.cuda.get_device_name(i))
    if not torch.cuda.is_available():
        yield Finding(
            "GPU", "slow", "none: candidates are trained on the processor, one core each, up to a minute or so"
        )


def _free_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _folders() -> Iterator[Finding]:
    from mvsearch.data import cache_dir
    from mvsearch.study.reader import STUDIES

    for what, folder in (("studies", STUDIES), ("cache", cache_dir())):
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            yield Finding(what, "broken", f"{folder}: cannot be written; change its owner, or work elsewhere")
            continue
        free = shutil.disk_usage(there).free
        state = "ok" if free > 2**30 else "slow" if free > 2**27 else "broken"
        yield Finding(what, state, f"{folder}: {free / 2**30:.1f} GiB free")


def _images() -> Iterator[Finding]:
    from mvsearch.data import cached, fashion_mnist

    names = sorted({each.name for each in cached() if each.whole})
    if "fashion_mnist" in names:
        yield Finding("images", "ok", f"decoded: {', '.join(names)}")
    elif why := fashion_mnist.out_of_reach():
        yield Finding("images", "broken", f"fashion_mnist cannot be had: {why}; see `mvsearch data get fashion_mnist`")
    else:
        yield Finding("images", "missing", "fashion_mnist is fetched by the first run; `mvsearch data get` does it now")


def _extras() -> Iterator[Finding]:
    """What is behind the extras; `test` and those that contain others are for developers."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in requires("mvsearch") or []]
    for extra in metadata("mvsearch").get_all("Provides-Extra") or []:
        if extra == "test":
            continue
        mine = [r for r in wanted if r.marker is not None and _only_for(r, extra)]
        lacks = [r.name for r in mine if installed_version(r.name) is None]
        said = (
            f"lacks {', '.join(lacks)}; pip install 'mvsearch[{extra}]'" if lacks else ", ".join(r.name for r in mine)
        )
        yield Finding(f"[{extra}]", "missing" if lacks else "ok", said)


def _only_for(requirement: object, extra: str) -> bool:
    evaluate: Callable[[dict[str, str]], bool] = requirement.marker.evaluate  # type: ignore[attr-defined]
    return evaluate({"extra": extra}) and not evaluate({"extra": ""})


def _storage(url: str) -> Finding:
    from mvsearch.errors import MvsearchError
    from mvsearch.study.storage.store import Store

    try:
        store = Store(url, create=False)
        return Finding("storage", "ok", f"{store.shown}: {len(store.names())} studies")
    except MvsearchError as error:
        return Finding("storage", "broken", str(error))
