"""The ImageNet Top-1 that a study's scores stand for, by the published models that it scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mvsearch.errors import StudyError
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Record
from mvsearch.proxy_eval import rank_correlation
from mvsearch.proxy_eval.calibration import Calibration, Expected
from mvsearch.report.proxy_reliability import Trust

HEAD = "ImageNet top-1, est."


@dataclass(frozen=True)
class Estimates:
    """By trial number; `words` says what all rests on."""

    expected: Mapping[int, Expected]
    words: str

    def cell(self, number: int) -> str:
        """As it stands in a table."""
        found = self.expected[number]
        if found.beyond:
            return f"{found.beyond} {found.top1:.1f} %"
        return f"{found.top1:.1f} % [{found.low:.1f}, {found.high:.1f}]"

    def facts(self, number: int) -> dict[str, float | bool]:
        """As raw numbers: shares, as every top-1."""
        found = self.expected[number]
        return {
            "top1_imagenet_est": found.top1 / 100,
            "top1_imagenet_low": found.low / 100,
            "top1_imagenet_high": found.high / 100,
            "top1_imagenet_extrapolated": bool(found.beyond),
        }


def estimates(records: Sequence[Record], trust: Trust) -> Estimates:
    """For records that have the study's score.

    Raises StudyError where no score is sought, or too few published models have it.
    """
    if trust.score is None:
        raise StudyError("no score is among the objectives that an ImageNet top-1 could be estimated from.")
    score = Objective.named(trust.score)
    line = Calibration.of(
        [-score.cost(row[1]) for row in trust.models],
        [row[2] for row in trust.models],
        [rank_correlation.family_of(row[0]) for row in trust.models],
    )
    found = {record.number: line.expected(-score.cost(float(record.metrics[score.name]))) for record in records}
    return Estimates(
        found,
        f"ImageNet top-1 expected of {score.name}, by a line that never falls through {len(trust.models)} published "
        f"models; in brackets as far as {line.inside} of these {line.models} were off at most when the line was drawn "
        "through the other families alone; < and >: beyond all published scores.",
    )
