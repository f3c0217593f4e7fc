"""What is known of a study, computed once: `front`, `run` and `report` print it as a table, as JSON or as a page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mvsearch.arch.blocks import PLAIN_BLOCKS
from mvsearch.arch.published import short_name
from mvsearch.errors import StudyError
from mvsearch.metrics.constraints import Constraint
from mvsearch.metrics.formatting import pretty, with_error
from mvsearch.metrics.latency_text import busy_note, predicted_note
from mvsearch.metrics.pareto import Objective, front, hypervolume, reference_point, running_hypervolume, spans
from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import GAIN, HELD_OUT, STATIC_COSTS, metric, scores
from mvsearch.proxy_eval.families import FamilyEvidence, family_evidence, own_evidence
from mvsearch.report.beyond_size import FEWEST, SizeGain, gain_beyond_size
from mvsearch.report.figures.front import FrontFigure, front_figure
from mvsearch.report.figures.front_families import with_families
from mvsearch.report.models_beyond import ModelBeyond, models_beyond
from mvsearch.report.proxy_reliability import ProxyReliability, proxy_reliability
from mvsearch.report.recommendations import Recommendation, figure_marks, recommend
from mvsearch.report.table import complete_beyond, tally, undecided
from mvsearch.report.validated import ValidatedTrial, trial_json, validated_trials, validations_json
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.facts import StudyFacts
from mvsearch.study.reader import Reader
from mvsearch.study.short_list import SHORT_LIST, ShortListEntry, short_list, short_list_json
from mvsearch.study.target import Target
from mvsearch.utils.text import join_words
from mvsearch.utils.yaml_document import Document
from mvsearch.validation.folder import validation_documents

if TYPE_CHECKING:
    from mvsearch.validation.outcome import Validation


@dataclass(frozen=True)
class Findings:
    """A study under some objectives, by default its own.

    `records` are all finished trials, `measured` those within the limits, by default of the last run. Without a front,
    `no_front` is the reason, and `measured`, `front` and `reference_point` are empty. `references` are the measured
    trials, by number, as the command line takes them (`v3:17`). `progress` is empty once the study has all its trials.
    `validations` are those of the study, those on its own images first.
    """

    name: str
    facts: StudyFacts
    objectives: tuple[Objective, ...]
    limits: tuple[Constraint, ...]
    progress: str
    records: tuple[Record, ...]
    measured: tuple[Record, ...]
    front: tuple[Record, ...]
    references: Mapping[int, str]
    no_front: str
    reference_point: Mapping[str, float]
    reliability: ProxyReliability
    machines: tuple[Mapping[str, Any], ...]
    validations: "tuple[Validation, ...]" = ()

    @property
    def score(self) -> Objective:
        """The objective that candidates are coloured by: the first score if there is one, else the first."""
        return next((o for o in self.objectives if o.name in scores()), self.objectives[0])

    @cached_property
    def suggestion(self) -> Record:
        """The candidate to look at first: the one that is farthest above its baseline by validation.

        Where validation found none better, the first by score that it did not find worse; the first if all are.
        """

        def place(record: Record) -> tuple[int, float]:
            trial = self.validated.get(record.number)
            if trial and trial.outcome == "better":
                return 0, -trial.comparison.difference.mean
            return (2 if trial and trial.outcome == "worse" else 1), 0.0

        return min(self._by_score, key=place)

    @cached_property
    def _by_score(self) -> list[Record]:
        """Candidates in the order in which they are suggested without validation, published models only if all are.

        With a network to beat that is the short list. Else it is the front by the score, or without a score by the
        distance to the best of all objectives, in units of their ranges.
        """
        if self.short_list:
            return [entry.record for entry in self.short_list]
        own = [record for record in self.front if not record.published] or self.front
        sought = [self.score] if self.score.name in scores() else self.objectives
        ranges = {name: (high - low) or 1.0 for name, (low, high) in spans(self.front, sought).items()}
        best = {o.name: min(o.cost(record.metrics[o.name]) for record in self.front) for o in sought}

        def distance(record: Record) -> float:
            return math.hypot(*((o.cost(record.metrics[o.name]) - best[o.name]) / ranges[o.name] for o in sought))

        return sorted(own, key=lambda record: (distance(record), record.number))

    @property
    def suggestion_words(self) -> str:
        """Why it is suggested, e.g. `trial 17 has the best scaled loss among the front's unpublished networks`."""
        number, first = self.suggestion.number, self._by_score[0].number
        trial, before = self.validated.get(number), self.validated.get(first)
        if number == first:
            reason = f"trial {number} {self._reason}"
        elif before and before.outcome == "worse":
            baseline = before.comparison.baseline
            reason = f"trial {number} instead of trial {first}, which validation found worse than {baseline}"
        else:
            reason = f"trial {number} is the best by validation"
        return f"{reason}; {trial.words}" if trial else reason

    @property
    def _reason(self) -> str:
        """Why the first candidate is suggested without validation."""
        if self.short_list:
            return "is the first of the short list"
        networks = "networks" if self.suggestion.published else "unpublished networks"
        if self.score.name in scores():
            label = metric(self.score.name).label
            return f"has the best {label} among the front's {networks}{self._equal_scores}{self._better_model}"
        return f"is nearest to the best of all objectives among the front's {networks}"

    @property
    def _equal_scores(self) -> str:
        """The candidates whose scores are those of the first to the digits that are shown; empty if there are none."""
        first, *others = self._by_score
        shown = pretty(self.score.name, first.metrics[self.score.name])
        equal = [str(r.number) for r in others if pretty(self.score.name, r.metrics[self.score.name]) == shown]
        if not equal:
            return ""
        return f", as good as {join_words(equal)} to the digits shown (`mvsearch run --reevaluate` measures the noise)"

    @property
    def _better_model(self) -> str:
        """A published model with a better score than the first candidate at no more static cost; empty without one.

        That candidate is on the front by a measurement alone.
        """
        first, score = self._by_score[0].metrics, self.score
        costs = [objective for objective in self.objectives if objective.name in STATIC_COSTS]
        better = [
            record
            for record in self.front
            if record.published
            and score.cost(record.metrics[score.name]) < score.cost(first[score.name])
            and all(cost.cost(record.metrics[cost.name]) <= cost.cost(first[cost.name]) for cost in costs)
        ]
        if not (costs and better):
            return ""
        model = min(better, key=lambda record: score.cost(record.metrics[score.name]))
        name, value = short_name(str(model.published)), with_error(score.name, model.metrics)
        cost = join_words((metric(each.name).label for each in costs), "or")
        return f"; {name} has a better one ({value}) at no more {cost}"

    @property
    def target(self) -> Target | None:
        """The network to beat; None if there is none, or under other objectives than the study's."""
        return self.facts.target if [o.name for o in self.objectives] == [*self.facts.objectives] else None

    @cached_property
    def short_list(self) -> tuple[ShortListEntry, ...]:
        """The candidates that may be better than the network to beat, the best first; empty without one."""
        return short_list(self.measured, self.target, self.objectives[0]) if self.target else ()

    @property
    def listed(self) -> tuple[ShortListEntry, ...]:
        """The entries of the short list that are shown: the best, and those that were validated."""
        validated = (entry for entry in self.short_list[SHORT_LIST:] if entry.record.number in self.validated)
        return (*self.short_list[:SHORT_LIST], *validated)

    @cached_property
    def validated(self) -> Mapping[int, ValidatedTrial]:
        """The trials that were trained for real, by number."""
        return validated_trials(self.validations, self.facts.target)

    @cached_property
    def recommendations(self) -> tuple[Recommendation, ...]:
        """The members of the front to look at first, with what validation says of them; empty without a score and a
        cost."""
        return tuple(
            replace(each, reasons=(*each.reasons, self.validated[each.record.number].words))
            if each.record.number in self.validated
            else each
            for each in recommend(self.front, self.objectives)
        )

    @cached_property
    def gains(self) -> SizeGain | None:
        """What the score adds beyond size; None for few trials, or without a score."""
        return gain_beyond_size(self.measured, self.score) if self.score.name in scores() else None

    def figure(
        self,
        title: str,
        *,
        x: str | None = None,
        y: str | None = None,
        area: str | None = None,
        show_failed: bool = False,
    ) -> FrontFigure:
        """All candidates along two metrics, by default the score against a cost; recommended and validated are marked.

        Where rows have several kinds of blocks, markers tell them apart. With `show_failed`, trials that are pruned,
        failed or beyond a limit are drawn too. `gain` as y is the score beyond size. Raises PlanError for an unknown
        metric, StudyError for one that no trial has.
        """
        records: Sequence[Record] = self.measured
        if y == GAIN.name:
            if self.gains is None:
                raise StudyError(f"{self.name} has no score, or fewer than {FEWEST} complete trials to fit a line to.")
            records = self.gains.records(records)
        marks, shown = figure_marks(self.recommendations), {"x": x, "y": y, "area": area}
        marks |= {entry.record.number: f"short list {place}" for place, entry in enumerate(self.listed, 1)}
        figure = front_figure(
            records,
            self.objectives,
            title=title,
            limits=self.limits,
            beyond=self.beyond,
            marks=marks,
            validated=self.validated,
            left_out=self.left_out if show_failed else (),
            goal=self.target.score_limit(self.score) if self.target and y in (None, self.score.name) else None,
            **shown,
        )
        return with_families(figure, records) if self.has_families else figure

    @property
    def left_out(self) -> list[Record]:
        """The trials that are pruned, failed, or complete and beyond a limit."""
        beyond = {record.number for record in complete_beyond(self.records, self.limits)}
        return [record for record in self.records if record.state != "complete" or record.number in beyond]

    @property
    def beyond(self) -> int:
        """The number of complete trials that break a limit."""
        return len(complete_beyond(self.records, self.limits))

    @cached_property
    def models_beyond(self) -> tuple[ModelBeyond, ...]:
        """The published models in the space that a limit excludes, with their costs."""
        return models_beyond(self.facts, self.records, self.limits)

    @property
    def tally(self) -> str:
        """How many trials are on the front, and how many are not and why."""
        return tally(self.records, self.front, self.limits)

    @property
    def latency_notes(self) -> list[str]:
        """How other processes disturbed latencies, and how many are predicted, each in a sentence where it is so."""
        metrics = [record.metrics for record in self.records]
        return [note for note in (busy_note(metrics), predicted_note(metrics)) if note]

    @cached_property
    def space(self) -> SearchSpace:
        """The space that was searched."""
        return SearchSpace.parse(Document(dict(self.facts.document)))

    @cached_property
    def has_families(self) -> bool:
        """Whether the trials are of several families: beside plain convolutions they have two kinds of blocks."""
        kinds = {row["block"] for record in self.records for row in record.architecture["blocks"]}
        return len(kinds - PLAIN_BLOCKS) > 1

    @cached_property
    def family_evidence(self) -> FamilyEvidence | None:
        """How the study's score orders published models across families; None for a study of one family.

        It is from the study's own scores where `--check-proxy` scored the models, else from recorded ones.
        """
        score, settings = self.reliability.score, self.facts.settings
        if score is None or "proxy" not in settings or not self.has_families:
            return None
        values = {name: -Objective.named(score).cost(value) for name, value, *_ in self.reliability.models}
        if own := own_evidence(score, values, {kind for row in self.space.rows for kind in row.kinds}):
            return own
        one_size = not isinstance(settings.get("image_size"), list)
        return family_evidence(score, settings["proxy"], settings["data"]["source"], one_size=one_size)

    @cached_property
    def hypervolume(self) -> float:
        """What the front dominates, as a share of the box from the ideal to the reference point."""
        return hypervolume(self.front, self.objectives, self.reference_point)

    @cached_property
    def hypervolumes(self) -> tuple[float, ...]:
        """The hypervolume after each measured trial."""
        if not self.measured:
            return ()
        return tuple(running_hypervolume(self.measured, self.objectives, self.reference_point))

    def to_json(self) -> dict[str, Any]:
        """The front as raw numbers."""
        return {
            "study": self.name,
            "objectives": [objective.name for objective in self.objectives],
            "limits": [limit.text for limit in self.limits],
            "beyond_limits": self.beyond,
            "published_beyond_limits": [
                {"name": model.name, **model.metrics, "breaks": model.limits} for model in self.models_beyond
            ],
            "undecided": [record.number for record in undecided(self.records, self.limits)],
            "suggestion": self.suggestion.number,
            "reference_point": dict(self.reference_point),
            "hypervolume": self.hypervolume,
            "proxy": self.facts.settings_used.get("proxy"),
            "held_out": self.facts.held_out,
            "weights": self.facts.weights,
            "part": HELD_OUT if "proxy" in self.facts.settings else None,
            "trust": asdict(self.reliability),
            "across_families": asdict(self.family_evidence) if self.family_evidence else None,
            "beat": self._beat_json(),
            "validations": validations_json(self.validations),
            "size_line": {"r2": self.gains.r2, "noise": self.gains.noise} if self.gains else None,
            "recommendations": [
                {"number": each.record.number, "labels": each.labels, "reasons": each.reasons}
                for each in self.recommendations
            ],
            "trials": [
                {
                    "number": r.number,
                    "key": r.key,
                    **r.metrics,
                    "gain": self.gains.gains.get(r.number) if self.gains else None,
                    "published": r.published,
                    "validated": trial_json(self.validated, r.number),
                    "choices": r.choices,
                }
                for r in self.front
            ],
        }

    def _beat_json(self) -> dict[str, Any] | None:
        """The network to beat, and the short list; None without one."""
        if self.target is None:
            return None
        entries = short_list_json(self.listed)
        validated = [{"validated": trial_json(self.validated, entry["number"])} for entry in entries]
        return {
            **self.target.to_json(),
            "short_list": [entry | more for entry, more in zip(entries, validated, strict=True)],
        }


def _read_validations(reader: Reader) -> "tuple[Validation, ...]":
    """The validations of a study; what reads them is loaded only if there are any."""
    if not validation_documents(reader):
        return ()
    from mvsearch.validation.document import read_validations

    return tuple(read_validations(reader))


def compute_findings(
    reader: Reader, objectives: Sequence[Objective] = (), *, limits: Sequence[str] = (), allow_empty: bool = False
) -> Findings:
    """The findings under the study's own objectives, or others; `limits` are added to those of the last run.

    Raises StudyError without a front, unless allowed.
    """
    objectives, constraints = tuple(objectives) or reader.objectives, reader.override_limits(limits)
    records, no_front = reader.records(), ""
    measured: list[Record] = []
    try:
        measured = reader.measured(objectives, constraints)
    except StudyError as error:
        if not allow_empty:
            raise
        no_front = str(error)
    members = front(measured, objectives)
    return Findings(
        name=reader.name,
        facts=reader.facts,
        objectives=objectives,
        limits=constraints,
        progress=reader.progress,
        records=tuple(records),
        measured=tuple(measured),
        front=tuple(members),
        references={record.number: reader.reference(record.number) for record in (*measured, *members)},
        no_front=no_front,
        reference_point=reference_point(measured, objectives) if measured else {},
        reliability=proxy_reliability(records, objectives, reader.facts.proxy_check),
        machines=tuple(reader.machines()),
        validations=_read_validations(reader),
    )
