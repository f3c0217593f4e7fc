"""The proxy benchmark: proxies score the reference models, seed by seed. No score is computed twice.

    ProxyBenchmark.run ────── for each seed and each network: in the store? ── score ── store, in one transaction
    ProxyBenchmark.results ── the ProxyScores in the store, also after an interrupted run

Two names of one network (row 1 of the ablation is MobileViTv1-S) share its scores.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

from mvsearch._version import __version__
from mvsearch.arch import published as models
from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.errors import ArchitectureError, MvsearchError, PlanError
from mvsearch.metrics.record import EvaluationFailed, Metrics, is_number
from mvsearch.proxies import HeldOut, load_proxy, settings_used
from mvsearch.proxy_eval.families import FamilyRanking, family_models, rank_families
from mvsearch.proxy_eval.rank_correlation import Ranking, ablation, published, rank
from mvsearch.study.storage.store import Store
from mvsearch.utils import machine, machine_lock, plugins
from mvsearch.utils.hashing import digest

BASELINES = ("params", "macs")
"""Static costs that every proxy must outperform; they are ranked as if higher were better."""

ScoreCallback = Callable[[str, int, float], None]
"""Called with a name, a seed, and the finished share of that score: 0 as it begins, 1 when it is in the store."""


def reference_names() -> tuple[str, ...]:
    """The published models that proxies are compared with, the rows of the ablation, and models of other families."""
    own = (reference.name for reference in (*published(), *ablation()))
    return tuple(dict.fromkeys((*own, *(model.name for model in family_models()))))


@dataclass(frozen=True)
class ProxyScores:
    """A proxy's scores of each model: `metrics` by name, one for each seed; `missing` has the reasons for missing ones.

    Besides the proxy's scores, metrics have `cpu_s` and `wall_s`, the time that the evaluation took.
    """

    proxy: str
    score: str
    maximise: bool
    settings: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, list[Metrics]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @cached_property
    def scores(self) -> dict[str, list[float]]:
        """The score that the proxy ranks by, by name, one for each seed; negated if lower is better."""
        sign = 1 if self.maximise else -1
        return {name: [sign * float(row[self.score]) for row in rows] for name, rows in self.metrics.items()}

    @cached_property
    def ranking(self) -> Ranking:
        """How well the scores rank the reference models."""
        return rank(self.scores)

    @cached_property
    def families(self) -> FamilyRanking:
        """How well the scores order published models within and across families: means over the seeds that all have."""
        seeds = min(map(len, self.scores.values()), default=0)
        return rank_families({name: sum(row[:seeds]) / seeds for name, row in self.scores.items()})

    @property
    def reasons(self) -> dict[str, list[str]]:
        """The names of models with missing scores, by the reason."""
        names: dict[str, list[str]] = {}
        for name, reason in self.missing.items():
            names.setdefault(reason, []).append(name)
        return names

    @property
    def cpu_s(self) -> float | None:
        """The mean CPU time of one score of one model; None for static costs."""
        return self._mean("cpu_s")

    @property
    def wall_s(self) -> float | None:
        """The mean wall time of one score of one model; None for static costs."""
        return self._mean("wall_s")

    def _mean(self, name: str) -> float | None:
        times = [float(row[name]) for rows in self.metrics.values() for row in rows if name in row]
        return sum(times) / len(times) if times else None


def baseline(name: str, archs: Mapping[str, Architecture]) -> ProxyScores:
    """A static cost as the score of each model."""
    metrics = {model: [{name: arch.metrics()[name]}] for model, arch in archs.items()}
    return ProxyScores(name, name, True, metrics=metrics)


@dataclass
class ProxyBenchmark:
    """One proxy under one set of settings, on one set of images and one device (`cpu`, `cuda:0`).

    The store has scores by architecture, version and settings of the proxy, seed, checksum of the images, and device.
    `failed` has the reason for each key and seed that could not be scored; the next run tries them again.
    """

    store: Store
    proxy: str
    settings: Any
    data: DataSet
    device: str = "cpu"
    failed: dict[tuple[str, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._proxy = load_proxy(self.proxy)
        first = self._proxy.scores_for("classification")[0]
        self.score, self._maximise = first.name, first.maximise

    def run(self, archs: Mapping[str, Architecture], seeds: Iterable[int], callback: ScoreCallback) -> None:
        """Score each network that has no score yet: all networks with the first seed, then with the next."""
        for module in ("mvsearch.nn", "mvsearch.training.tasks", "mvsearch.training.in_memory"):
            import_module(module)  # otherwise the time of the first score includes the import
        for seed in seeds:
            for name, arch in distinct_networks(archs).items():
                if self._load(arch.key, seed) is None:
                    self._compute(name, arch, seed, callback)
                callback(name, seed, 1.0)

    def missing(self, archs: Mapping[str, Architecture], seeds: Iterable[int]) -> int:
        """How many scores the store does not have."""
        keys = [arch.key for arch in distinct_networks(archs).values()]
        return sum(self._load(key, seed) is None for seed in seeds for key in keys)

    def results(self, archs: Mapping[str, Architecture], seeds: Sequence[int]) -> ProxyScores:
        """The scores in the store: of each model those of the first seeds, up to the first that is missing."""
        results = ProxyScores(self.proxy, self.score, self._maximise, settings_used(self.settings))
        for name, arch in archs.items():
            rows = [self._load(arch.key, seed) for seed in seeds]
            if stored := [row for row in rows[: (*rows, None).index(None)] if row is not None]:
                results.metrics[name] = stored
            if len(stored) < len(rows):
                seed = seeds[len(stored)]
                results.missing[name] = self.failed.get((arch.key, seed), f"seed {seed} is not scored yet")
        return results

    @cached_property
    def held_out(self) -> HeldOut | None:
        """The images that networks are evaluated on; None for a proxy that evaluates none."""
        return self._proxy.held_out("classification", self.settings, self.data) if self._proxy.held_out else None

    @cached_property
    def _images_key(self) -> str:
        return self._proxy.images_key("classification", self.settings, self.data)

    @cached_property
    def _weights(self) -> str:
        return self._proxy.weights("classification", self.settings, self.data) if self._proxy.weights else ""

    def _load(self, key: str, seed: int) -> Metrics | None:
        return self.store.evaluation(key, self._cache_key(seed))

    def _cache_key(self, seed: int) -> str:
        proxy = {
            "name": self.proxy,
            "version": self._proxy.version,
            "seed": seed,
            "settings": settings_used(self.settings),
        }
        proxy |= {"weights": self._weights} if self._weights else {}
        return digest({"judged": proxy, "data": self._images_key, "device": self.device, "version": __version__})

    def _compute(self, name: str, arch: Architecture, seed: int, callback: ScoreCallback) -> None:
        callback(name, seed, 0.0)
        try:
            with machine_lock.shared():
                start, cpu_start = time.monotonic(), time.process_time()
                metrics = self._proxy.score(
                    arch,
                    self.settings,
                    self.data,
                    seed=seed,
                    device=self.device,
                    progress=lambda done, total, _step="": callback(name, seed, min(done / (total or 1), 0.999)),
                )
                wall, cpu = time.monotonic() - start, time.process_time() - cpu_start
            if not is_number(metrics.get(self.score)):
                raise EvaluationFailed(f"{self.score} is {metrics.get(self.score)}")
        except ArchitectureError as error:  # a reference that cannot be built for these images
            self.failed[arch.key, seed] = str(error)
        except MvsearchError:
            raise
        except Exception as error:
            self.failed[arch.key, seed] = (
                str(error) if isinstance(error, EvaluationFailed) else f"{type(error).__name__}: {error}"
            )
        else:
            metrics = {**metrics, "cpu_s": cpu, "wall_s": wall}
            self.store.cache_evaluation(arch.key, self._cache_key(seed), metrics, wall, machine.describe())


def distinct_networks(archs: Mapping[str, Architecture]) -> dict[str, Architecture]:
    """Each network once, under the first of its names."""
    first = {arch.key: name for name, arch in reversed(list(archs.items()))}
    return {name: arch for name, arch in archs.items() if first[arch.key] == name}


def detect_device() -> str:
    """The first GPU, otherwise one core of the CPU: a score must not depend on the number of cores."""
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    torch.set_num_threads(1)
    return "cpu"


def architectures(names: Sequence[str] = ()) -> dict[str, Architecture]:
    """The reference models by name, or those named; raises PlanError, with a suggestion, for another name."""
    for name in names:
        if name not in reference_names():
            raise PlanError(f"unknown reference model {name!r}; {plugins.suggest(name, reference_names())}")
    return {name: models.published(name) for name in reference_names() if not names or name in names}
