"""The small remains of a study: what is worth keeping in git when the database is not."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from mvsearch.metrics.pareto import front
from mvsearch.metrics.record import Record
from mvsearch.report.figures.front import front_picture
from mvsearch.report.figures.plot import plot_fronts
from mvsearch.report.proxy_reliability import Trust, trust
from mvsearch.study.reader import Reader
from mvsearch.utils import yaml_document
from mvsearch.utils.atomic_write import write_whole

REMAINS = ("front.csv", "settings.yaml", "machine.json", "front.png")
"""What `write_remains` leaves in a folder."""


def write_remains(reader: Reader, folder: Path) -> list[Path]:
    """Write the front, which must not be empty, the settings and the machines into a folder; the paths written."""
    records = reader.within_limits(reader.records())
    best = front(records, reader.objectives)
    settings: dict[str, Any] = {
        key: reader.facts[key] for key in ("search", "settings", "data", "device") if key in reader.facts
    }
    known = trust(records, reader.objectives, reader.checked)
    settings |= {"trust": _trust(known)} if known.tau is not None else {}
    settings |= {"finished": reader.count(), "space": reader.facts["document"]}
    content = (_csv(best), yaml_document.dump_block(settings), json.dumps(reader.machines(), indent=2) + "\n")
    folder.mkdir(parents=True, exist_ok=True)  # a study on a server has none until now
    *texts, drawn = paths = [folder / name for name in REMAINS]
    for path, text in zip(texts, content, strict=True):
        write_whole(path, text.encode())
    picture = front_picture(records, reader.objectives, title=reader.name, limits=reader.limits)
    plot_fronts([picture], drawn)
    return paths


def _trust(known: Trust) -> dict[str, Any]:
    told = ("tau", "low", "high", "within", "baseline")
    return {"score": known.score, "published_models": len(known.models)} | {name: getattr(known, name) for name in told}


def _csv(best: list[Record]) -> str:
    plain = (name for record in best for name, value in record.metrics.items() if not isinstance(value, list | dict))
    metrics = list(dict.fromkeys(plain))
    choices = list(best[0].choices)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["number", "key", "published", *metrics, *choices])
    for record in best:
        values = [record.metrics.get(name) for name in metrics]
        writer.writerow([record.number, record.key, record.published, *values, *(record.choices[c] for c in choices)])
    return out.getvalue()
