"""What the validations of a study say of its trials: of each one the comparison by which it is recommended or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mvsearch.study.target import Target

if TYPE_CHECKING:
    from mvsearch.validation.outcome import Comparison, Validation

HEAD = "validated, points"
"""The column of the differences to the baseline, in points of the score on test images."""


@dataclass(frozen=True)
class ValidatedTrial:
    """A trial that was trained for real, by the last validation that has it.

    `comparison` is that with the network to beat; without one, the least favourable of those with its baselines.
    """

    comparison: "Comparison"
    finished: bool

    @property
    def outcome(self) -> str:
        """`better`, `worse`, `no difference` or `one seed`."""
        return self.comparison.verdict

    @property
    def text(self) -> str:
        """The difference in points with its interval."""
        from mvsearch.report.validation_table import difference_text

        return difference_text(self.comparison)

    @property
    def words(self) -> str:
        """E.g. `validation against mobilevitv3_xxs: better, +1.42 (0.91 to 1.93) points`."""
        unfinished = "" if self.finished else ", not finished"
        return f"validation against {self.comparison.baseline}: {self.outcome}, {self.text} points{unfinished}"

    @property
    def mark(self) -> str:
        """The difference as a figure shows it, e.g. `+1.4`."""
        return f"{100 * self.comparison.difference.mean:+.1f}"


def validated_trials(validations: "Sequence[Validation]", target: Target | None) -> dict[int, ValidatedTrial]:
    """The validated trials by number. `validations` are those of a study, the last written first.

    One where nothing was learned says nothing of its trials.
    """
    trials: dict[int, ValidatedTrial] = {}
    for validation in validations:
        if validation.nothing_learned:
            continue
        networks, by_trial = validation.by_name, dict[int, list[Any]]()
        for comparison in validation.comparisons:
            if (number := networks[comparison.candidate].number) is not None:
                by_trial.setdefault(number, []).append(comparison)
        for number, comparisons in by_trial.items():
            aimed = [c for c in comparisons if target and networks[c.baseline].key == target.arch.key]
            decisive = min(aimed or comparisons, key=lambda comparison: comparison.difference.mean)
            trials.setdefault(number, ValidatedTrial(decisive, validation.open == 0))
    return trials


def verdict_lines(validations: "Sequence[Validation]") -> list[tuple[str, str]]:
    """The verdict of each validation, and how its networks were trained."""
    if not validations:
        return []
    from mvsearch.validation.verdict import describe_conditions, verdict

    return [(verdict(each), f"validated by {describe_conditions(each)}") for each in validations]


def validations_json(validations: "Sequence[Validation]") -> list[dict[str, Any]]:
    """The verdicts with their comparisons; `mvsearch report --json` has all numbers."""
    if not validations:
        return []
    from mvsearch.validation.verdict import verdict

    return [
        {
            "name": each.conditions["name"],
            "metric": each.metric,
            "verdict": verdict(each),
            "open": each.open,
            "comparisons": [comparison.to_json() for comparison in each.comparisons],
        }
        for each in validations
    ]


def trial_json(validated: Mapping[int, ValidatedTrial], number: int) -> dict[str, Any] | None:
    """The comparison of a trial as raw numbers; None if it was not validated."""
    return validated[number].comparison.to_json() if number in validated else None
