"""The outcome of a validation as a value: its networks with their scores, and every comparison."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Self

from mvsearch.metrics.registry import TEST, measurements, with_devices
from mvsearch.training.sampler import is_guessing
from mvsearch.validation.comparison import CONFIDENCE, Difference, Noise, Scores, difference, pooled_noise
from mvsearch.validation.conditions import Conditions
from mvsearch.validation.job import ValidationJob
from mvsearch.validation.networks import Network
from mvsearch.validation.rounds import Schedule, Stop


@dataclass(frozen=True)
class ValidatedNetwork:
    """A network with its scores by seed. A candidate has the number of its trial, and may have stopped early.

    `metrics` are its costs, and what the study measured of it. `failure` is why a training of it has no result.
    """

    name: str
    key: str
    metrics: Mapping[str, Any]
    scores: Mapping[int, float]
    number: int | None = None
    against: tuple[str, ...] = ()
    stop: Stop | None = None
    failure: str | None = None

    @property
    def mean(self) -> float | None:
        """The mean score over its seeds; None before the first."""
        return fmean(self.scores.values()) if self.scores else None

    def rename(self, names: Mapping[str, str]) -> Self:
        """The network where some networks have other names."""
        stop = replace(self.stop, behind=names.get(self.stop.behind, self.stop.behind)) if self.stop else None
        return replace(self, name=names.get(self.name, self.name), stop=stop)

    def to_json(self) -> dict[str, Any]:
        """Raw numbers."""
        return {
            "name": self.name,
            "role": "baseline" if self.number is None else "candidate",
            "number": self.number,
            "key": self.key,
            **self.metrics,
            "scores": list(self.scores.values()),
            "seeds": list(self.scores),
            "mean": self.mean,
            "against": list(self.against),
            "stopped": asdict(self.stop) if self.stop else None,
            "failed": self.failure,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The network as it is stored."""
        own = ("name", "role", "number", "key", "scores", "seeds", "mean", "against", "stopped", "failed")
        return cls(
            name=stored["name"],
            key=stored["key"],
            metrics={name: value for name, value in stored.items() if name not in own},
            scores=dict(zip(stored["seeds"], stored["scores"], strict=True)),
            number=stored["number"],
            against=tuple(stored["against"]),
            stop=Stop(**stored["stopped"]) if stored["stopped"] else None,
            failure=stored["failed"],
        )


@dataclass(frozen=True)
class Comparison:
    """A candidate against one of its baselines: the difference of their scores."""

    candidate: str
    baseline: str
    difference: Difference

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `no difference`, as the interval says; `one seed` where there is no interval."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None:
            return "one seed"
        return "better" if low > 0 else "worse" if high < 0 else "no difference"

    def to_json(self) -> dict[str, Any]:
        """Raw numbers; the difference is a share, as scores are."""
        gap = self.difference
        facts = {"seeds": gap.seeds, "difference": gap.mean, "low": gap.low, "high": gap.high}
        return {"candidate": self.candidate, "baseline": self.baseline, **facts, "verdict": self.verdict}


@dataclass(frozen=True)
class Validation:
    """What was trained and how it compares. `conditions` are plain values that describe all trainings.

    `open` is the number of trainings that the validation still needs; 0 once it is finished.
    """

    study: str
    metric: str
    rounds: int
    networks: tuple[ValidatedNetwork, ...]
    conditions: Mapping[str, Any]
    open: int
    cpu_seconds: float

    @classmethod
    def of(cls, job: ValidationJob) -> Self:
        """The validation as its folder has it."""
        results, failures = job.results(), job.failures()
        schedule = job.schedule(results)
        networks = [_describe_network(network, schedule, failures.get(network.name)) for network in job.networks]
        all_results = [result for by_seed in results.values() for result in by_seed.values()]
        conditions = _describe(job.conditions)
        if all_results:
            conditions["test_images"] = all_results[0]["images"]
        return cls(
            study=job.study,
            metric=job.metric,
            rounds=job.rounds,
            networks=tuple(networks),
            conditions=conditions,
            open=len(schedule.next) + len(schedule.later),
            cpu_seconds=sum(result["cpu_seconds"] for result in all_results),
        )

    def of_study(self, study: str) -> Self:
        """The validation of a study that has another name now; its candidates are named after it."""
        names = {each.name: f"{study}:{each.number}" for each in self.networks if each.number is not None}
        networks = (each.rename(names) for each in self.networks)
        return replace(self, study=study, networks=tuple(networks))

    @property
    def by_name(self) -> dict[str, ValidatedNetwork]:
        """The networks by name."""
        return {network.name: network for network in self.networks}

    @property
    def scores(self) -> Scores:
        """The scores of each network by name."""
        return {network.name: network.scores for network in self.networks}

    @property
    def noise(self) -> Noise | None:
        """How much a score changes with the seed, besides what all networks share."""
        return pooled_noise(self.scores, self.conditions.get("test_images") if self.metric == "top1" else None)

    @property
    def guessing(self) -> list[str]:
        """The classifiers that learned nothing: as right as one that names the same class for every image."""
        classes, images = (self.conditions.get(key) for key in ("classes", "test_images"))
        if self.metric != "top1" or not classes or not images:
            return []
        means = {each.name: each.mean for each in self.networks}
        return [name for name, mean in means.items() if mean is not None and is_guessing(mean, 1 / classes, images)]

    @property
    def nothing_learned(self) -> bool:
        """Whether all networks that were trained learned nothing."""
        trained = [each.name for each in self.networks if each.scores]
        return bool(trained) and self.guessing == trained

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every candidate against each of its baselines, as far as both are trained.

        The intervals hold for all of them together: each misses the truth with an equal share of the error.
        """
        pairs = [(one.name, other) for one in self.networks for other in one.against]
        scores, noise = self.scores, self.noise
        error = (1 - CONFIDENCE) / max(1, len(pairs))
        return tuple(
            Comparison(one, other, difference(scores, one, other, noise, error=error))
            for one, other in pairs
            if scores[one].keys() & scores.get(other, {}).keys()
        )

    def to_json(self) -> dict[str, Any]:
        """Raw numbers; scores and differences are shares of 1."""
        noise = self.noise
        return {
            "study": self.study,
            "metric": self.metric,
            "part": TEST,
            "rounds": self.rounds,
            "open": self.open,
            "confidence": CONFIDENCE,
            "noise": asdict(noise) if noise else None,
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "networks": [network.to_json() for network in self.networks],
            "conditions": dict(self.conditions),
            "cpu_seconds": self.cpu_seconds,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The validation as it is stored."""
        names = ("study", "metric", "rounds", "conditions", "open", "cpu_seconds")
        networks = tuple(ValidatedNetwork.from_json(network) for network in stored["networks"])
        return cls(networks=networks, **{name: stored[name] for name in names})


def _describe_network(network: Network, schedule: Schedule, failure: str | None) -> ValidatedNetwork:
    measured = with_devices((n for n, metric in measurements().items() if metric.searchable), [network.metrics])
    metrics = {name: network.metrics[name] for name in ("params", "macs", *measured) if name in network.metrics}
    return ValidatedNetwork(
        name=network.name,
        key=network.key,
        metrics=metrics,
        scores=schedule.used.get(network.name, {}),
        number=network.number,
        against=network.against,
        stop=schedule.stops.get(network.name),
        failure=failure,
    )


def _describe(conditions: Conditions) -> dict[str, Any]:
    recipe = conditions.recipe
    return {
        "name": conditions.name,
        "recipe": conditions.recipe_name,
        "epochs": recipe.epochs,
        "batch": recipe.batch,
        "steps": conditions.steps,
        "image_size": recipe.image_size,
        "data": conditions.data_name,
        "images": asdict(conditions.data),
        "checksum": conditions.checksum,
        "train_images": conditions.train_images,
        "classes": conditions.classes,
        "precision": conditions.precision,
        "device": conditions.device,
        "init": conditions.init,
        "teacher": conditions.teacher,
    }
