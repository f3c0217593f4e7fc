"""docs/reference/settings.md: the sections of a space file that `mvsearch run` reads.

Which values are legal is found out by trying: each one is read as a file would be, with all checks of a plan.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, Field, fields
from functools import cache
from pathlib import Path
from typing import Any

import click

import mvsearch
from mvsearch.cli.main import cli
from mvsearch.data import DataSettings, load_source
from mvsearch.errors import MvsearchError
from mvsearch.metrics.registry import metric, searchable
from mvsearch.profiling.measurements import measurements
from mvsearch.proxies import Proxy, load_proxy
from mvsearch.space.search_space import SearchSpace
from mvsearch.space.validation import SETTINGS
from mvsearch.study.plan import Plan
from mvsearch.study.settings import ProxySettings, SearchSettings
from mvsearch.utils import plugins
from mvsearch.utils.units import PERCENT
from mvsearch.utils.yaml_document import Document
from reference.source import code, field_doc, module_summary, table

_BLOCKS = [{"name": "stem", "block": "conv", "out": {"choose": [8, 16]}, "stride": 2}]
_KINDS: dict[tuple[str, str], plugins.Kind] = {
    ("search", "sampler"): "sampler",
    ("proxy", "name"): "proxy",
    ("latency", "backend"): "latency_backend",
    ("data", "source"): "data_source",
}
"""Settings whose values are the names of plug-ins."""
_WORDS = {
    ("search", "beat"): "a network",
    ("latency", "precision"): "`fp32`, `tf32`, `fp16` or `bf16`",
    ("latency", "predict"): "a whole number from 5 to `trials`",
    ("int8", "format"): "`onnx` or `executorch`",
    ("int8", "scheme"): "`fast`, `channel`, `tensor`, `percentile` or `entropy`",
}
_VARIABLES = {
    "MVSEARCH_CACHE": "The folder of fetched and decoded images; by default the user's cache folder.",
    "MVSEARCH_CACHE_GIB": "The most GiB of decoded images; those that were used least recently are deleted.",
    "MVSEARCH_LITERT_PYTHON": "The Python that writes LiteRT files ([export](../export.md)).",
}


def page() -> str:
    """The page."""
    sections: dict[str, Callable[[], Iterator[str]]] = {"search": _search, "proxy": _proxy, "data": _data}
    parts = (sections.get(name, lambda name=name: _measurement(name))() for name in SETTINGS)
    return "\n\n".join(
        [
            "# Settings",
            "The sections of a [space file](space.md) that `mvsearch run` reads. A section or a setting that is left "
            "out has its default. An option of `mvsearch run` replaces the file's value. Other values than these are "
            "refused, with file and line.",
            *(f"## `{name}`\n\n" + "\n\n".join(part) for name, part in zip(SETTINGS, parts, strict=True)),
            "## Objectives and limits",
            "`search: {objectives: [...], limits: [...]}` take these metrics. A limit is `METRIC <= NUMBER` or "
            "`METRIC >= NUMBER`; a number may end with `k`, `M` or `G`: `params <= 1.5M`.",
            _metrics(),
            "## Environment variables",
            _environment(),
        ]
    )


def _search() -> Iterator[str]:
    yield _table("search", fields(SearchSettings), SearchSettings)
    yield "Samplers:"
    yield table(["sampler", "what it does"], _plugins("sampler"))


def _proxy() -> Iterator[str]:
    yield "For every proxy:"
    own = [each for each in fields(ProxySettings) if each.name != "settings"]
    yield _table("proxy", own, ProxySettings)
    yield "Proxies ([how reliable they are](../proxies.md)):"
    yield table(["proxy", "scores", "what it is"], _proxies())
    by_settings: dict[type[Any], list[str]] = {}
    for name in plugins.names("proxy"):
        by_settings.setdefault(load_proxy(name).settings, []).append(name)
    for settings, names in sorted(by_settings.items(), key=lambda item: -len(fields(item[0]))):
        if fields(settings):
            yield f"Further settings of {', '.join(map(code, names))}:"
            yield _table("proxy", fields(settings), settings, {"name": names[0]})
            yield from _task_defaults(load_proxy(names[0]))


def _task_defaults(proxy: Proxy) -> Iterator[str]:
    rows = [
        (task, ", ".join(f"`{name}: {value}`" for name, value in settings.items()))
        for task, settings in proxy.task_defaults.items()
    ]
    if rows:
        yield "Other defaults by task:"
        yield table(["task", "defaults"], rows)


def _measurement(name: str) -> Iterator[str]:
    measurement = measurements()[name]
    metrics = " and ".join(code(each.name) for each in (*measurement.scores, *measurement.metrics) if each.searchable)
    yield f"{module_summary('measurement', name)} For an objective or a limit {metrics}."
    yield _table(name, fields(measurement.settings_type), measurement.settings_type)
    if name == "latency":
        yield "Backends:"
        yield table(["backend", "what it times"], _plugins("latency_backend"))


def _data() -> Iterator[str]:
    yield _table("data", fields(DataSettings), DataSettings)
    yield "Sources ([your own images](../data.md)):"
    sources = {name: load_source(name) for name in plugins.names("data_source")}
    rows = ((code(name), each.description, ", ".join(each.tasks)) for name, each in sources.items())
    yield table(["source", "images", "tasks"], rows)


def _metrics() -> str:
    rows = []
    declared = [metric(name) for name in searchable()]
    kinds = list(dict.fromkeys(each.kind for each in declared))
    for each in sorted(declared, key=lambda each: (kinds.index(each.kind), each.name)):  # not as they are imported
        unit = "from 0 to 1" if each.unit == PERCENT else each.unit.symbol
        better = "higher" if each.maximise else "lower"
        rows.append((code(each.name), each.description, each.kind, unit, better, ", ".join(each.tasks)))
    return table(["metric", "what it is", "kind", "unit", "better", "tasks"], rows)


def _environment() -> str:
    files = Path(mvsearch.__file__).parent.rglob("*.py")
    used = {name for file in files for name in re.findall(r"\bMVSEARCH_[A-Z_]+", file.read_text(encoding="utf-8"))}
    if used != {*_VARIABLES}:
        raise SystemExit(f"scripts/reference/settings.py: describe {', '.join(used ^ {*_VARIABLES})}.")
    return table(["variable", "meaning"], ((code(name), words) for name, words in _VARIABLES.items()))


def _plugins(kind: plugins.Kind) -> Iterator[tuple[str, str]]:
    return ((code(name), module_summary(kind, name)) for name in plugins.names(kind))


def _proxies() -> Iterator[tuple[str, str, str]]:
    for name in plugins.names("proxy"):
        scores = ", ".join(code(score.name) for score in load_proxy(name).scores)
        yield code(name), scores, module_summary("proxy", name)


def _table(section: str, settings: Iterable[Field[Any]], cls: type[Any], context: dict[str, Any] | None = None) -> str:
    options = _options() if section == "search" else {}
    heads = ["setting", "values", "default", "meaning", *(["`run`"] if options else [])]
    rows = (
        [
            code(each.name),
            _values(section, each, context or {}),
            _default(each),
            field_doc(cls, each.name),
            *([options.get(each.name, "")] if options else []),
        ]
        for each in settings
    )
    return table(heads, rows)


@cache
def _options() -> dict[str, str]:
    """The options of `mvsearch run` by the setting that they replace."""
    command = cli.get_command(click.Context(cli), "run")
    assert command is not None
    return {str(each.name): code(each.opts[0]) for each in command.params if isinstance(each, click.Option)}


def _default(setting: Field[Any]) -> str:
    assert setting.default is not MISSING, setting
    return "-" if setting.default in (None, "") else code(setting.default)


def _values(section: str, setting: Field[Any], context: dict[str, Any]) -> str:
    """The values that a setting takes, in words."""

    def accepts(value: Any) -> bool:
        return _accepts(section, {**context, setting.name: value})

    if (section, setting.name) in _WORDS:
        return _WORDS[section, setting.name]
    if kind := _KINDS.get((section, setting.name)):
        return ", ".join(code(name) for name in plugins.names(kind))
    declared, default = str(setting.type), setting.default
    if isinstance(default, bool):
        return "`true`, `false`"
    if isinstance(default, tuple):
        return "a list of whole numbers" if "int" in declared else "a list of words"
    if isinstance(default, float):
        return _number_range(accepts)
    return _whole_range(accepts) if "int" in declared else "text"


def _whole_range(accepts: Callable[[int], bool]) -> str:
    low = next(value for value in range(1000) if accepts(value))
    high = None if accepts(10**6) else max(value for value in range(low, 1000) if accepts(value))
    return f"a whole number from {low}" + (f" to {high}" if high else "")


def _number_range(accepts: Callable[[float], bool]) -> str:
    if accepts(0.0) and not accepts(1e-6):
        least = next(value / 100 for value in range(1, 1000) if accepts(value / 100))
        return f"0, or a number from {least:g}"
    low = "from 0" if accepts(0.0) else "above 0" if accepts(1e-6) else None
    high = "" if accepts(1e6) else " to 1" if accepts(1.0) else " to below 1" if accepts(1 - 1e-6) else None
    if low is None or high is None or (not high and not accepts(1.5)):
        raise SystemExit("scripts/reference/settings.py: a range has unusual ends; describe it in _WORDS.")
    return f"a number {low}{high}"


def _accepts(section: str, values: dict[str, Any]) -> bool:
    """Whether a plan can be made with these settings of a section."""
    document = Document({"name": "reference", "num_classes": 10, "blocks": _BLOCKS, section: values})
    try:
        Plan.of(SearchSpace.parse(document))
    except MvsearchError:
        return False
    return True
