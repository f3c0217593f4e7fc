"""The ImageNet Top-1 that a study's scores correspond to, by the published models that it scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import CLASSES
from mvsearch.errors import StudyError
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Record
from mvsearch.proxy_eval import rank_correlation
from mvsearch.proxy_eval.calibration import Calibration, Expected
from mvsearch.report.proxy_reliability import ProxyReliability


@dataclass(frozen=True)
class Estimates:
    """By trial number; `words` explain the method, `head` is that of their column."""

    expected: Mapping[int, Expected]
    words: str
    head: str = "ImageNet top-1, est."

    def cell(self, number: int) -> str:
        """The text in a table."""
        expected = self.expected[number]
        if expected.beyond:
            return f"{expected.beyond} {expected.top1:.1f} %"
        return f"{expected.top1:.1f} % [{expected.low:.1f}, {expected.high:.1f}]"

    def facts(self, number: int) -> dict[str, float | bool]:
        """As raw numbers: shares, as every top-1."""
        expected = self.expected[number]
        return {
            "top1_imagenet_est": expected.top1 / 100,
            "top1_imagenet_low": expected.low / 100,
            "top1_imagenet_high": expected.high / 100,
            "top1_imagenet_extrapolated": bool(expected.beyond),
        }


def estimate_top1(records: Sequence[Record], reliability: ProxyReliability) -> Estimates:
    """For records that have the study's score.

    Raises StudyError where no score is sought, or too few published models have it.
    """
    if reliability.score is None:
        raise StudyError("no objective is a score; an ImageNet top-1 is estimated from a proxy's score.")
    score = Objective.named(reliability.score)
    line = Calibration.of(
        [-score.cost(row[1]) for row in reliability.models],
        [row[2] for row in reliability.models],
        [rank_correlation.series_of(row[0]) for row in reliability.models],
    )
    expected = {record.number: line.expected(-score.cost(float(record.metrics[score.name]))) for record in records}
    return Estimates(
        expected,
        f"ImageNet top-1 expected from {score.name}: an isotonic regression over {len(reliability.models)} published "
        f"models. In brackets the interval that {line.inside} of these {line.models} models lie in when the regression "
        f"leaves out their own series; < and >: beyond all published scores.{other_classes(records)}",
    )


def other_classes(records: Sequence[Record]) -> str:
    """A sentence for studies whose networks are not for the classes of ImageNet-1k, after a blank; else nothing."""
    classes = next((Architecture.from_dict(record.architecture).num_classes for record in records), CLASSES)
    if classes == CLASSES:
        return ""
    return f" These are figures for ImageNet-1k: they predict nothing for the {classes:,} classes of this study."
