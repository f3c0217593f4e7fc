"""Records of published models and of candidates, with a score."""

from typing import Any

from mvsearch.arch.published import published
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Record

LOSS = Objective.named("loss")
TOP1 = Objective.named("top1")


def measured(number: int, name: str | None, top1: float, **choices: Any) -> Record:
    architecture = published(name or "mobilevitv3_xxs").to_dict()
    metrics = {"top1": top1, "params": 10}
    return Record(number, f"{number:012x}", "complete", None, metrics, choices, architecture, name, 1.0)
