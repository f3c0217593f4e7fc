"""The sections on the plan: the space, the settings, the machines, and how to run it again."""

import shlex
from base64 import b64encode
from typing import Any

from mvsearch.arch.schema import field_text
from mvsearch.metrics.constraints import join_limits
from mvsearch.report.findings import Findings
from mvsearch.report.page.content import Cell, Report, Table, Values, direction, pairs_text, value_text
from mvsearch.space.variables import Choice
from mvsearch.study.reevaluation import replicates
from mvsearch.study.settings import read_proxy
from mvsearch.utils import yaml_document
from mvsearch.utils.text import join_words


def space(report: Report) -> Values:
    """The open values."""
    space = report.findings.space
    rows = [
        (Cell(choice.name, choice.name), Cell(_values(choice)), Cell(str(len(choice.values)), len(choice.values)))
        for choice in space.choices
    ]
    where = space.document.data.get("where", [])
    return {
        "pixels": " or ".join(map(str, space.image_sizes)),
        "classes": space.num_classes,
        "conditions": [where] if isinstance(where, str) else where,
        "table": Table(["open value", "may be", "values"], rows, 2),
    }


def _values(choice: Choice) -> str:
    if choice.step is not None:
        return f"{choice.values[0]} to {choice.values[-1]} in steps of {choice.step}"
    return ", ".join(map(field_text, choice.values))


def settings(report: Report) -> Values:
    """What was searched for, how, and on which images."""
    findings, search = report.findings, report.findings.facts.search
    return {
        "settings": {
            "objectives": join_words(direction(objective) for objective in findings.objectives),
            "limits": join_limits(findings.limits),
            "sampler": f"{search.sampler}, seed {search.seed}",
            "trials": f"{len(findings.records)} of {search.trials}",
            "re-evaluation": _reevaluation(findings),
            "images": findings.facts.images or "none were needed",
            "held-out images": findings.facts.held_out or "none",
            "device": findings.facts.device() or "latency was not measured",
        }
        | {name: pairs_text(part) for name, part in findings.facts.settings_used.items() if isinstance(part, dict)}
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
    proxy = read_proxy(findings.space.document)
    return {"rungs": f"{value_text(proxy.rungs)} steps, keep {proxy.keep}"} if proxy.rungs else {}


def machine(report: Report) -> Values:
    """The machines that trials were measured on."""
    machines = [
        {key.removesuffix("_bytes"): _machine_fact(key, value) for key, value in machine.items() if value}
        for machine in report.findings.machines
    ]
    return {"machines": machines}


def _machine_fact(key: str, value: Any) -> str:
    if key == "memory_bytes":
        return f"{value / 2**30:.1f} GiB"
    return pairs_text(value) if isinstance(value, dict) else value_text(value)


def reproduce(report: Report) -> Values:
    """The space file, and the command that runs it."""
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
