"""The values that each section of the page shows; the templates of the same names hold the words and the markup.

To add a section, write a function here, enter it in SECTIONS, and write `templates/sections/NAME.html`.
"""

import shlex
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.schema import field_text
from mvsearch.metrics.constraints import join_limits
from mvsearch.metrics.formatting import labels, pretty, with_error
from mvsearch.metrics.pareto import Objective, comparable
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import metric
from mvsearch.report import importance, proxy_reliability
from mvsearch.report.figures.architecture_diff import parts
from mvsearch.report.findings import Findings
from mvsearch.report.importance import Importance
from mvsearch.report.page import charts
from mvsearch.report.short_list_table import caution, short_list_rows, short_list_sentence
from mvsearch.report.table import TableCell, metric_columns
from mvsearch.report.validation_table import validation_rows
from mvsearch.space.variables import Choice
from mvsearch.study.reevaluation import replicates
from mvsearch.study.settings import read_proxy
from mvsearch.utils import yaml_document
from mvsearch.validation.verdict import comparison_sentence, describe_conditions, notes, verdict

Values = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """What the page shows: findings, the importance of choices, and plotly figures by name."""

    findings: Findings
    importances: tuple[Importance, ...]

    @cached_property
    def figures(self) -> dict[str, charts.Figure]:
        """Every figure of the page; without a front, those of validations alone."""
        validated = enumerate(self.findings.validations)
        figures = {f"validation{i}": charts.validation(each) for i, each in validated if any(each.scores.values())}
        if not self.findings.front:
            return figures
        figures |= {f"front{i}": figure for i, figure in enumerate(charts.fronts(self.findings))}
        return figures | {"choices": charts.choices(self.findings), "progress": charts.progress(self.findings)}


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the value it sorts by, where it links to, and the length of a bar in %."""

    text: str
    sort: Any = None
    href: str | None = None
    bar: float | None = None


@dataclass(frozen=True)
class Table:
    """A sortable table; the first `text_columns` are aligned left."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    text_columns: int = 1
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page: its anchor, its heading, and the values of its template."""

    name: str
    heading: str
    values: Values


def render(report: Report) -> list[Section]:
    """All sections in their order; those that have nothing to show are left out."""
    found = {name: (heading, values(report)) for name, (heading, values) in SECTIONS.items()}
    return [Section(name, heading, values) for name, (heading, values) in found.items() if values is not None]


def summary(findings: Findings) -> str:
    """What was searched for, and what was found."""
    text = f"A search over {findings.space.name} for {_join_words(_direction(o) for o in findings.objectives)}"
    if not findings.front:
        return f"{text}. It has no front yet."
    members = len(findings.front)
    share = f"{members} of {len(findings.records)} candidates {'is' if members == 1 else 'are'} on the front"
    score = findings.score
    best = min(comparable(findings.measured, [score]), key=lambda record: score.cost(record.metrics[score.name]))
    return f"{text}: {share}; the best {metric(score.name).label} is {with_error(score.name, best.metrics)}."


def _direction(objective: Objective) -> str:
    return f"{'high' if objective.maximise else 'low'} {metric(objective.name).label}"


def _join_words(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


# ---- the network to beat


def _beat(report: Report) -> Values | None:
    findings = report.findings
    if findings.target is None:
        return None
    heads, rows = short_list_rows(findings.listed, findings.target, findings.score, findings.validated)
    sentence = short_list_sentence(findings.listed, findings.target)
    table = Table(heads, _cells(rows), text_columns=2)
    return {"table": table, "sentence": sentence, "caution": caution(findings.validated)}


def _cells(rows: Iterable[Iterable[TableCell]]) -> list[list[Cell]]:
    return [[Cell(text, value) for text, value in row] for row in rows]


# ---- the front


def _front(report: Report) -> Values:
    return {"figures": [name for name in report.figures if name.startswith("front")]}


def _members(report: Report) -> Values:
    findings = report.findings
    columns = metric_columns(findings.front, findings.objectives)
    heads = ["trial", "architecture", *labels(columns, findings.front), "evaluated in"]
    rows = [_member_row(record, columns) for record in findings.front]
    members = [_member(findings, record) for record in findings.front]
    return {"table": Table(heads, rows, 2, findings.tally), "members": members}


def _member_row(record: Record, columns: Sequence[str]) -> list[Cell]:
    name = f"★ {record.published}" if record.published else record.key
    numbers = [Cell(with_error(column, record.metrics), record.metrics.get(column)) for column in columns]
    seconds = f"{record.seconds:.0f} s" if record.seconds >= 1 else f"{record.seconds * 1e3:.0f} ms"
    duration = Cell("cached" if record.cached else seconds, record.seconds)
    trial = Cell(str(record.number), record.number, href=f"#trial-{record.number}")
    return [trial, Cell(name, name), *numbers, duration]


def _member(findings: Findings, record: Record) -> Values:
    names = [objective.name for objective in findings.objectives]
    return {
        "number": record.number,
        "name": record.published or record.key,
        "objectives": ", ".join(
            f"{label} {with_error(name, record.metrics)}"
            for name, label in zip(names, labels(names, [record]), strict=True)
        ),
        "stages": _stages(Architecture.from_dict(record.architecture)),
        "choices": _pairs(record.choices),
        "measured": ", ".join(
            f"{name} {_number(v)}" for name, v in record.metrics.items() if not isinstance(v, dict | list)
        ),
        "validated": findings.validated[record.number].words if record.number in findings.validated else None,
        "command": f"mvsearch export {findings.references[record.number]} --to torch -o net.py",
    }


_OWN_COLUMNS = ("name", "block", "out", "num_classes")
"""Fields of a stage that have a column of their own."""


def _stages(arch: Architecture) -> Table:
    total = arch.cost()
    rows = [
        (
            Cell(part.name, place),
            Cell(part.block, part.block),
            Cell(_pairs({name: value for name, value in part.fields.items() if name not in _OWN_COLUMNS})),
            Cell(part.size, part.out.channels),
            Cell(pretty("params", part.cost.params), part.cost.params),
            Cell(pretty("macs", part.cost.macs), part.cost.macs),
            Cell(f"{100 * part.cost.macs / total.macs:.1f} %", part.cost.macs),
        )
        for place, part in enumerate(parts(arch)[1:])
    ]
    macs = f"MACs ({arch.image_size} px)"
    return Table(["stage", "block", "settings", "output", "params", macs, "share"], rows, 3)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def _pairs(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in settings.items() if value is not None)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else field_text(value)


# ---- validations


def _validation(report: Report) -> Values | None:
    """The table, the sentences and the figure of each validation, the last one first."""
    places = range(len(report.findings.validations))
    return {"validations": [_validated(report, place) for place in places]} if places else None


def _validated(report: Report, place: int) -> Values:
    validation, name = report.findings.validations[place], f"validation{place}"
    heads, rows = validation_rows(validation)
    return {
        "verdict": verdict(validation),
        "conditions": describe_conditions(validation),
        "table": Table(heads, _cells(rows)),
        "sentences": [comparison_sentence(validation, comparison) for comparison in validation.comparisons],
        "notes": notes(validation),
        "figure": name if name in report.figures else None,
    }


# ---- choices


def _choices(report: Report) -> Values:
    findings = report.findings
    return {
        "lines": len(charts.sample_by_score(findings)) if findings.front else 0,
        "score": metric(findings.score.name).label,
    }


def _importance(report: Report) -> Values:
    computed = [result for result in report.importances if result.shares]
    missing = [result for result in report.importances if result.missing]
    choices = report.findings.space.choices
    ranked = sorted(choices, key=lambda choice: -computed[0].shares[choice.name].share) if computed else []
    heads = ["choice", *(metric(result.objective).label for result in computed)]
    rows = [
        [Cell(choice.name, choice.name), *(_share(result, choice.name) for result in computed)] for choice in ranked
    ]
    return {
        "computed": computed,
        "missing": missing,
        "table": Table(heads, rows, len(heads)),
        "resamples": importance.RESAMPLES,
        "enough": importance.ENOUGH * len(choices),
    }


def _share(result: Importance, choice: str) -> Cell:
    share = result.shares[choice]
    value, low, high = (f"{100 * number:.0f}" for number in (share.share, share.low, share.high))
    spread = f" ({low} to {high})" if low != high else ""
    return Cell(f"{value} %{spread}", share.share, bar=100 * share.share)


# ---- progress and the proxy


def _progress(report: Report) -> Values:
    return {"minutes": sum(record.seconds for record in report.findings.records) / 60}


def _proxy(report: Report) -> Values:
    reliability = report.findings.reliability
    if reliability.score is None:
        return {"table": None, "fewest": proxy_reliability.FEWEST}
    heads = [
        "published model",
        metric(reliability.score).description,
        metric("params").label,
        "ImageNet top-1 as printed",
    ]
    rows = [
        (
            Cell(name, name),
            Cell(pretty(reliability.score, score), score),
            Cell(pretty("params", params), params),
            Cell(f"{top1:g} %", top1),
        )
        for name, score, top1, params in sorted(reliability.models, key=lambda row: -row[2])
    ]
    return {"table": Table(heads, rows) if rows else None, "fewest": proxy_reliability.FEWEST}


# ---- the plan


def _space(report: Report) -> Values:
    space = report.findings.space
    rows = [
        (Cell(choice.name, choice.name), Cell(_values(choice)), Cell(str(len(choice.values)), len(choice.values)))
        for choice in space.choices
    ]
    where = space.document.data.get("where", [])
    return {
        "pixels": space.image_size,
        "classes": space.num_classes,
        "conditions": [where] if isinstance(where, str) else where,
        "table": Table(["open value", "may be", "values"], rows, 2),
    }


def _values(choice: Choice) -> str:
    if choice.step is not None:
        return f"{choice.values[0]} to {choice.values[-1]} in steps of {choice.step}"
    return ", ".join(map(field_text, choice.values))


def _settings(report: Report) -> Values:
    findings, search = report.findings, report.findings.facts.search
    return {
        "settings": {
            "objectives": _join_words(_direction(objective) for objective in findings.objectives),
            "limits": join_limits(findings.limits),
            "sampler": f"{search.sampler}, seed {search.seed}",
            "trials": f"{len(findings.records)} of {search.trials}",
            "re-evaluation": _reevaluation(findings),
            "images": findings.facts.images or "none were needed",
            "held-out images": findings.facts.held_out or "none",
            "device": findings.facts.device() or "latency was not measured",
        }
        | {name: _pairs(part) for name, part in findings.facts.settings_used.items() if isinstance(part, dict)}
        | _rungs(findings)
    }


def _reevaluation(findings: Findings) -> str:
    """How many members of the front were evaluated again, with further seeds."""
    if repeated := sum(len(replicates(record)) > 1 for record in findings.front):
        return f"{repeated} of {len(findings.front)} members of the front evaluated again with further seeds"
    return "requested, none yet" if findings.facts.search.confirm else "none"


def _rungs(findings: Findings) -> dict[str, str]:
    """The rungs of the proxy; none where no score is sought, whatever the file has."""
    if "proxy" not in findings.facts.settings:
        return {}
    proxy = read_proxy(findings.space.document, findings.space.head.task)
    return {"rungs": f"{_text(proxy.rungs)} steps, keep {proxy.keep}"} if proxy.rungs else {}


def _machine(report: Report) -> Values:
    machines = [
        {key.removesuffix("_bytes"): _machine_fact(key, value) for key, value in machine.items() if value}
        for machine in report.findings.machines
    ]
    return {"machines": machines}


def _machine_fact(key: str, value: Any) -> str:
    if key == "memory_bytes":
        return f"{value / 2**30:.1f} GiB"
    return _pairs(value) if isinstance(value, dict) else _text(value)


def _reproduce(report: Report) -> Values:
    findings = report.findings
    text, file = plan_yaml(findings), f"{findings.name}.yaml"
    versions = dict.fromkeys(str(machine.get("versions", {}).get("mvsearch")) for machine in findings.machines)
    return {
        "plan": text,
        "file": file,
        "link": f"data:text/yaml;base64,{b64encode(text.encode()).decode()}",
        "command": f"mvsearch run {shlex.quote(file)} --name {shlex.quote(findings.name)}",
        "version": ", ".join(versions) or "unknown",
    }


def plan_yaml(findings: Findings) -> str:
    """The study's space file, with the search settings of its last run."""
    search = {key: value for key, value in findings.facts.to_json()["search"].items() if key != "workers"}
    return yaml_document.dump_block(dict(findings.facts.document) | {"search": search})


SECTIONS: dict[str, tuple[str, Callable[[Report], Values | None]]] = {
    "beat": ("Short list", _beat),
    "front": ("Front", _front),
    "validation": ("Validation", _validation),
    "members": ("Members", _members),
    "choices": ("Choices", _choices),
    "importance": ("Importance of choices", _importance),
    "progress": ("Progress", _progress),
    "proxy": ("Proxy reliability", _proxy),
    "space": ("Search space", _space),
    "settings": ("Settings", _settings),
    "machine": ("Machine", _machine),
    "reproduce": ("Reproduce", _reproduce),
}
"""In the order of the page: anchor and template, heading, and the function that computes the values."""
