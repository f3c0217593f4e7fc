"""The share of the best known hypervolume that each sampler reaches, by task and by evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from _kept import Kept
from _landscape import Array, Reference, Task
from _searchers import SEARCHERS, Searcher

OURS = SEARCHERS[0]
OTHERS = SEARCHERS[1:]
STOCK = [searcher for searcher in OTHERS if not searcher.name.endswith("+")]


def share_curves(task: Task, results: Mapping[Any, dict[str, Any]], reference: Reference) -> dict[str, Array]:
    """Sampler → (seeds, evaluations) shares, up to the evaluations that all seeds have."""
    by_sampler: dict[str, list[Array]] = {}
    for run, account in results.items():
        if run.task == task.name:
            curve = _values_by_evaluation(account["curve"], account["evaluations"]) / reference.volume
            if curve[-1] > 1:
                raise ValueError(f"{run} exceeds the best known front by {curve[-1] - 1:.2e}: evolve longer.")
            by_sampler.setdefault(run.sampler, []).append(curve)
    return {name: np.stack([c[: min(map(len, curves))] for c in curves]) for name, curves in by_sampler.items()}


def _values_by_evaluation(curve: Sequence[tuple[int, float]], evaluations: int) -> Array:
    """The value after each evaluation, from a curve that is stored only where it rises."""
    at, values = zip((0, 0.0), *curve, strict=True)
    return np.asarray(np.array(values)[np.searchsorted(at, np.arange(1, evaluations + 1), side="right") - 1])


@dataclass(frozen=True)
class Board:
    """All curves: task → sampler → (seeds, evaluations) shares; where there is none, shares of an earlier page."""

    curves: dict[str, dict[str, Array]]
    results: Mapping[Any, dict[str, Any]]
    kept: Kept = field(default_factory=Kept)

    def median(self, task: str, sampler: str) -> Array:
        """(evaluations,) the median share; empty if the sampler was not run."""
        runs = self.curves[task].get(sampler)
        return np.empty(0) if runs is None else np.asarray(np.median(runs, axis=0))

    def at(self, task: str, sampler: str, step: int) -> float | None:
        """The median share after `step` evaluations; None if the runs are shorter."""
        median = self.median(task, sampler)
        if not len(median):
            return self.kept.shares(task, sampler).get(step)
        return float(median[step - 1]) if len(median) >= step else None

    def reaches(self, task: str, sampler: str, share: float) -> tuple[int, bool]:
        """The evaluations after which the median reaches a share, and True; or the length of the runs, and False.

        Of an earlier page they are the first column that reaches it.
        """
        median = self.median(task, sampler)
        if not len(median):
            steps = self.kept.shares(task, sampler)
            reached = [step for step, value in steps.items() if value >= round(share, 3)]  # as the page has it
            return (min(reached), True) if reached else (max(steps, default=0), False)
        reached = np.flatnonzero(median >= share)
        return (int(reached[0]) + 1, True) if len(reached) else (len(median), False)

    def accounts(self, task: str, sampler: str) -> list[dict[str, Any]]:
        """The results of each seed."""
        return [account for run, account in self.results.items() if (run.task, run.sampler) == (task, sampler)]

    def lead(self, task: str, others: Sequence[Searcher]) -> float | None:
        """The share of mvsearch's sampler at 100 evaluations minus the best of the others."""
        ours = self.at(task, OURS.name, 100)
        theirs = [share for other in others if (share := self.at(task, other.name, 100)) is not None]
        return None if ours is None or not theirs else ours - max(theirs)
