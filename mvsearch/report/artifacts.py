"""The artifacts of a study: small files that are worth keeping in git when the database is not."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mvsearch.metrics.record import Record
from mvsearch.report.figures.front_plot import plot_fronts
from mvsearch.report.findings import Findings
from mvsearch.report.proxy_reliability import ProxyReliability
from mvsearch.utils import yaml_document
from mvsearch.utils.atomic_write import write_whole

ARTIFACTS = ("front.csv", "settings.yaml", "machine.json", "front.png")
"""The files that `write_artifacts` writes into a folder."""


def write_artifacts(findings: Findings, folder: Path) -> list[Path]:
    """Write the front, which must not be empty, the settings and the machines into a folder; the paths written."""
    machines = json.dumps(list(findings.machines), indent=2) + "\n"
    contents = (_front_csv(findings.front), yaml_document.dump_block(_settings(findings)), machines)
    folder.mkdir(parents=True, exist_ok=True)  # a study on a server has no folder yet
    *texts, image = paths = [folder / name for name in ARTIFACTS]
    for path, text in zip(texts, contents, strict=True):
        write_whole(path, text.encode())
    plot_fronts([findings.figure(findings.name)], image)
    return paths


def _settings(findings: Findings) -> dict[str, Any]:
    facts = findings.facts.to_json()
    facts["settings"] = findings.facts.settings_used
    kept = ("search", "settings", "data", "weights", "held_out", "device")
    settings: dict[str, Any] = {key: facts[key] for key in kept if key in facts}
    if findings.reliability.tau is not None:
        settings["trust"] = _reliability(findings.reliability)
    return settings | {"finished": len(findings.records), "space": facts["document"]}


def _reliability(reliability: ProxyReliability) -> dict[str, Any]:
    values = {name: getattr(reliability, name) for name in ("tau", "low", "high", "within", "baseline")}
    return {"score": reliability.score, "published_models": len(reliability.models), **values}


def _front_csv(members: Sequence[Record]) -> str:
    scalars = (
        name for record in members for name, value in record.metrics.items() if not isinstance(value, list | dict)
    )
    metrics = list(dict.fromkeys(scalars))
    choices = list(dict.fromkeys(name for record in members for name in record.choices))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["number", "key", "published", *metrics, *choices])
    for record in members:
        values = [record.metrics.get(name) for name in metrics]
        writer.writerow(
            [record.number, record.key, record.published, *values, *(record.choices.get(c) for c in choices)]
        )
    return out.getvalue()
