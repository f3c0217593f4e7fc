"""Scores of proxies compared with a ground truth, as one value: what `mvsearch proxies --against` prints and draws."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.metrics.registry import metric
from mvsearch.proxies import load_proxy
from mvsearch.proxy_eval.agreement import Agreement, Difference, agreement, chance, difference
from mvsearch.proxy_eval.benchmark import BASELINES, ProxyScores
from mvsearch.proxy_eval.ground_truth import FIT, JUDGED, GroundTruth, TrainedNetwork
from mvsearch.proxy_eval.rank_correlation import Estimate, published, rank
from mvsearch.utils import plugins

DEFAULT_PROXY = "train"
"""The proxy of a study that names none."""

ALL = "all"
HALVES = {ALL: None, FIT: FIT, JUDGED: JUDGED}
"""What each agreement is computed over: all trained networks, and each half."""


@dataclass(frozen=True)
class Score:
    """One metric of a proxy under its settings, for each network and seed."""

    result: ProxyScores
    metric: str

    @property
    def changes(self) -> dict[str, Any]:
        """The settings of the proxy that are not its defaults."""
        if self.is_baseline:
            return {}
        usual = asdict(load_proxy(self.result.proxy).settings())
        return {name: value for name, value in self.result.settings.items() if value != usual.get(name)}

    @property
    def words(self) -> str:
        """The proxy, or its metric where it has several; `as set` if some settings are not its defaults."""
        name = self.result.proxy
        words = name if self.metric in (name, f"{name}_score") else self.metric
        return f"{words}, as set" if self.changes else words

    @property
    def maximise(self) -> bool:
        """Whether higher is better."""
        return self.result.maximise if self.metric == self.result.score else metric(self.metric).maximise

    @property
    def is_baseline(self) -> bool:
        """Whether it is a static cost."""
        return self.result.proxy in BASELINES

    @property
    def is_default(self) -> bool:
        """Whether it is the score of a study that names none."""
        return (self.result.proxy, self.metric) == (DEFAULT_PROXY, self.result.score) and not self.changes

    @cached_property
    def rows(self) -> dict[str, list[float]]:
        """The values of each seed by name, with the sign at which higher is better."""
        sign = 1 if self.maximise else -1
        rows = {
            name: [sign * float(metrics[self.metric]) for metrics in each if self.metric in metrics]
            for name, each in self.result.metrics.items()
        }
        return {name: row for name, row in rows.items() if row}

    @cached_property
    def means(self) -> dict[str, float]:
        """The means by name over the seeds that all networks have, with the sign at which higher is better."""
        seeds = min(map(len, self.rows.values()), default=0)
        return {name: sum(row[:seeds]) / seeds for name, row in self.rows.items()}

    @cached_property
    def published_order(self) -> Estimate:
        """Tau with ImageNet top-1 within the sizes of the published models."""
        return rank(self.rows).within


@dataclass(frozen=True)
class Comparison:
    """A ground truth, and all scores of some proxies on its networks and on the published models.

    `data` is the name of the images that scores were computed on, `device` the kind of seconds: of CPU, or of a GPU's
    clock.
    """

    truth: GroundTruth
    archs: Mapping[str, Architecture]
    scores: tuple[Score, ...]
    data: str
    seeds: int
    device: str

    def networks(self, half: str | None = None) -> list[TrainedNetwork]:
        """The trained networks that are compared: all, or those of a half."""
        return [each for each in self.truth.of_half(half) if each.name in self.archs]

    @cached_property
    def agreements(self) -> list[dict[str, Agreement]]:
        """The agreement of each score, by half."""
        costs = {each.name: self.archs[each.name].cost() for each in self.networks()}
        return [
            {words: agreement(score.means, self.networks(half), costs) for words, half in HALVES.items()}
            for score in self.scores
        ]

    @property
    def differences(self) -> list[dict[str, dict[str, Difference]]]:
        """How much better each score agrees than the static costs and the default score, by half."""
        others = {score.metric: score.means for score in self.scores if score.is_default or score.is_baseline}
        return [
            {
                words: {name: difference(score.means, other, self.networks(half)) for name, other in others.items()}
                for words, half in HALVES.items()
            }
            for score in self.scores
        ]

    @property
    def changes(self) -> dict[str, str]:
        """The settings of each proxy that are not its defaults, in words; none of proxies without."""
        changes = {score.result.proxy: score.changes for score in self.scores if score.changes}
        return {proxy: ", ".join(f"{key}={value}" for key, value in each.items()) for proxy, each in changes.items()}

    def seconds(self, score: Score) -> float | None:
        """The seconds that a candidate takes, with all its seeds; None for static costs."""
        each = score.result.cpu_s if self.device == "cpu" else score.result.wall_s
        return None if each is None else each * self.seeds

    def to_json(self) -> dict[str, Any]:
        """All of it, as plain values; top-1 as shares."""
        truth = self.truth
        scores = zip(self.scores, self.agreements, self.differences, strict=True)
        return {
            "ground_truth": {
                "table": str(truth.table),
                "untrained": list(truth.untrained),
                "fewer_trainings": list(truth.incomplete),
                "ceiling": None if truth.ceiling is None else asdict(truth.ceiling),
                "halves": {half: [each.name for each in self.networks(half)] for half in (FIT, JUDGED)},
            },
            "data": self.data,
            "seeds": self.seeds,
            "device": self.device,
            "networks": [self._network(each) for each in self.networks()],
            "scores": [self._score(*each) for each in scores],
            "random": {
                words: dict(zip(("tau", "within"), map(asdict, chance(self.networks(half))), strict=True))
                for words, half in HALVES.items()
            },
        }

    def _network(self, each: TrainedNetwork) -> dict[str, Any]:
        arch, network = self.archs[each.name], each.network
        facts = {"name": each.name, "group": network.group, "origin": network.origin, "half": each.half}
        return facts | {"top1": list(each.top1), "key": arch.key, **arch.metrics()}

    def _score(
        self, score: Score, agreements: Mapping[str, Agreement], gains: Mapping[str, Mapping[str, Difference]]
    ) -> dict[str, Any]:
        result = score.result
        return {
            "score": score.metric,
            "proxy": result.proxy,
            "maximise": score.maximise,
            "settings": result.settings,
            "seconds": self.seconds(score),
            "agreement": {half: asdict(each) for half, each in agreements.items()},
            "better_than": {half: {o: asdict(each) for o, each in others.items()} for half, others in gains.items()},
            "published_within_size": asdict(score.published_order),
            "scores": {name: [row[score.metric] for row in result.metrics[name]] for name in score.rows},
            "missing": result.missing,
        }


def compared_architectures(truth: GroundTruth, names: Sequence[str]) -> dict[str, Architecture]:
    """The networks to score: the trained ones, then the other published models of known size; or those named.

    Raises PlanError, with a suggestion, for a name that is neither.
    """
    archs = dict(truth.architectures)
    keys = {arch.key for arch in archs.values()}
    for reference in published():
        if (arch := reference.architecture).key not in keys:
            archs[reference.name] = arch
    if unknown := [name for name in names if name not in archs]:
        raise PlanError(f"--models: {unknown[0]!r} is not compared; {plugins.suggest(unknown[0], list(archs))}")
    return {name: arch for name, arch in archs.items() if not names or name in names}


def scores_of(result: ProxyScores) -> list[Score]:
    """Every score that a proxy computed: those that it declares, and its training loss."""
    if result.proxy in BASELINES:
        return [Score(result, result.score)]
    declared = [*(each.name for each in load_proxy(result.proxy).scores), "train_loss"]
    computed = {name for rows in result.metrics.values() for row in rows for name in row}
    return [Score(result, name) for name in declared if name in computed] or [Score(result, result.score)]
