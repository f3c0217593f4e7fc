"""What a score adds beyond size: the distance of each candidate from the line of the score over its costs.

Most of a score is size: over the networks of one space a loss, on a logarithmic scale, is close to a straight line in
the logarithms of parameters and MACs. The line is fitted by least squares over all complete trials (an accuracy as it
is, not as a logarithm); the gain of a candidate is how much better its score is than the line at its costs. So networks
of different sizes can be compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mvsearch.metrics.pareto import Objective, comparable
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import GAIN, SIZE

FEWEST = 8
"""The fewest trials for which the line is fitted: it has three coefficients."""


@dataclass(frozen=True)
class SizeGain:
    """The gain of each trial by its number, in the unit of the score and above 0 where it is better than the line.

    `r2` is the share of the score's variance that the line explains, `noise` the standard deviation of the gains.
    """

    score: str
    gains: Mapping[int, float]
    r2: float
    noise: float

    def records(self, records: Sequence[Record]) -> list[Record]:
        """The records with their gain as a metric, with the standard error of the score; those without are left out."""
        return [
            replace(record, metrics=record.metrics | self._metrics(record))
            for record in records
            if record.number in self.gains
        ]

    def text(self, record: Record) -> str:
        """The gain of a record, with the standard error of its score if that is known, e.g. `+0.046 ± 0.0038`."""
        error = record.metrics.get(f"{self.score}_sem")
        return f"{self.gains[record.number]:+.3f}" + ("" if error is None else f" ± {error:.2g}")

    def _metrics(self, record: Record) -> dict[str, float]:
        error = record.metrics.get(f"{self.score}_sem")
        gain = {GAIN.name: self.gains[record.number]}
        return gain | ({f"{GAIN.name}_sem": error} if error is not None else {})


def gain_beyond_size(records: Sequence[Record], score: Objective) -> SizeGain | None:
    """The gains of all complete trials; None for fewer than `FEWEST`, or if the score is a cost."""
    rows = comparable(records, [score, *(Objective(name, False) for name in SIZE)])
    if len(rows) < FEWEST or score.name in SIZE:
        return None
    costs = np.log([[record.metrics[name] for name in SIZE] for record in rows])
    values = np.array([score.cost(record.metrics[score.name]) for record in rows])
    logarithmic = bool((values > 0).all())
    matrix = np.column_stack((np.ones(len(rows)), costs))
    coefficients, *_ = np.linalg.lstsq(matrix, np.log(values) if logarithmic else values, rcond=None)
    line = matrix @ coefficients
    gains = (np.exp(line) if logarithmic else line) - values
    variance = float(values.var())
    r2 = 1 - float(np.mean(gains**2)) / variance if variance > 0 else 0.0
    numbers = (record.number for record in rows)
    return SizeGain(score.name, dict(zip(numbers, gains.tolist(), strict=True)), r2, float(gains.std(ddof=3)))
