"""Proxies put to the test: the reference models scored, seed by seed, and no score taken twice.

    Scorer.fill ── for each seed, each network ── known? ── score ── remember, in one transaction
    Scorer.read ── what is known by now, however far it came

Two names for one network (row 1 of the ablation is MobileViTv1-S) share its scores.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

from mvsearch._version import __version__
from mvsearch.arch import published as models
from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet
from mvsearch.errors import ArchitectureError, MvsearchError, PlanError
from mvsearch.metrics.record import EvaluationFailed, Metrics, is_number
from mvsearch.proxies import load_proxy
from mvsearch.proxy_eval.rank_correlation import Ranking, ablation, published, rank
from mvsearch.study.storage.store import Store
from mvsearch.utils import machine, machine_lock, plugins
from mvsearch.utils.hashing import digest

BASELINES = ("params", "macs")
"""What every proxy has to be better than: closed forms that cost nothing. More is taken for better."""

Tell = Callable[[str, int, float], None]
"""Told a name, a seed, and the share of that score that is done: 0 as it begins, 1 when it is known."""


def reference_names() -> tuple[str, ...]:
    """The published models that proxies are held to, and the rows of the ablation."""
    return tuple(reference.name for reference in (*published(), *ablation()))


@dataclass(frozen=True)
class ProxyBenchmark:
    """What a proxy said of each model: `metrics` by name, a row of one each seed; `missing` says why some have none.

    Beside the proxy's scores, metrics hold `cpu_s` and `wall_s`, the time that they took.
    """

    proxy: str
    score: str
    maximise: bool
    settings: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, list[Metrics]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @cached_property
    def scores(self) -> dict[str, list[float]]:
        """The score it ranks by, by name, one each seed, turned so that more is better."""
        sign = 1 if self.maximise else -1
        return {name: [sign * float(row[self.score]) for row in rows] for name, rows in self.metrics.items()}

    @cached_property
    def ranking(self) -> Ranking:
        """How that ranks the reference models."""
        return rank(self.scores)

    @property
    def reasons(self) -> dict[str, list[str]]:
        """Why models have no score, or not all, and which."""
        found: dict[str, list[str]] = {}
        for name, reason in self.missing.items():
            found.setdefault(reason, []).append(name)
        return found

    @property
    def cpu_s(self) -> float | None:
        """Seconds of CPU that one score of one model takes, the mean; None for closed forms."""
        return self._mean("cpu_s")

    @property
    def wall_s(self) -> float | None:
        """The same by the clock on the wall."""
        return self._mean("wall_s")

    def _mean(self, name: str) -> float | None:
        spent = [float(row[name]) for rows in self.metrics.values() for row in rows if name in row]
        return sum(spent) / len(spent) if spent else None


def baseline(name: str, archs: Mapping[str, Architecture]) -> ProxyBenchmark:
    """What a cost alone, in closed form, says of each model."""
    metrics = {each: [{name: arch.metrics()[name]}] for each, arch in archs.items()}
    return ProxyBenchmark(name, name, True, metrics=metrics)


@dataclass
class ProxyScores:
    """One proxy under one set of settings, on one set of images and one device (`cpu`, `cuda:0`).

    Scores are kept in the store by architecture, the proxy's version and settings, seed, the images' checksum and the
    device. `failed` says of each key and seed that could not be scored why; that is not kept, and the next run tries
    again.
    """

    store: Store
    proxy: str
    settings: Any
    data: DataSet
    device: str = "cpu"
    failed: dict[tuple[str, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._proxy = load_proxy(self.proxy)
        self.score, self._maximise = self._proxy.scores[0].name, self._proxy.scores[0].maximise

    def fill(self, archs: Mapping[str, Architecture], seeds: Iterable[int], tell: Tell) -> None:
        """Score each network that has no score yet, all of them with one seed before the next one begins."""
        for module in ("mvsearch.nn", "mvsearch.training.tasks", "mvsearch.training.in_memory"):
            import_module(module)  # or the first score would be charged for it
        for seed in seeds:
            for name, arch in distinct(archs).items():
                if self._known(arch.key, seed) is None:
                    self._take(name, arch, seed, tell)
                tell(name, seed, 1.0)

    def read(self, archs: Mapping[str, Architecture], seeds: Sequence[int]) -> ProxyBenchmark:
        """What is known by now, as far as each model's seeds come without a gap."""
        judged = ProxyBenchmark(self.proxy, self.score, self._maximise, asdict(self.settings))
        for name, arch in archs.items():
            rows = [self._known(arch.key, seed) for seed in seeds]
            if found := [row for row in rows[: (*rows, None).index(None)] if row is not None]:
                judged.metrics[name] = found
            if len(found) < len(rows):
                seed = seeds[len(found)]
                judged.missing[name] = self.failed.get((arch.key, seed), f"seed {seed} is not scored yet")
        return judged

    def _known(self, key: str, seed: int) -> Metrics | None:
        return self.store.evaluation(key, self._cache_key(seed))

    def _cache_key(self, seed: int) -> str:
        proxy = {
            "name": self.proxy,
            "version": self._proxy.version,
            "seed": seed,
            "settings": asdict(self.settings),
        }
        images = f"{self.data.name} {self.data.checksum}"
        return digest({"judged": proxy, "data": images, "device": self.device, "version": __version__})

    def _take(self, name: str, arch: Architecture, seed: int, tell: Tell) -> None:
        tell(name, seed, 0.0)
        try:
            with machine_lock.shared():
                began, cpu_began = time.monotonic(), time.process_time()
                metrics = self._proxy.score(
                    arch,
                    self.settings,
                    self.data,
                    seed=seed,
                    device=self.device,
                    progress=lambda done, total, _step="": tell(name, seed, min(done / (total or 1), 0.999)),
                )
                wall, cpu = time.monotonic() - began, time.process_time() - cpu_began
            if not is_number(metrics.get(self.score)):
                raise EvaluationFailed(f"{self.score} came out as {metrics.get(self.score)}")
        except ArchitectureError as error:  # a reference that cannot be built for these images
            self.failed[arch.key, seed] = str(error)
        except MvsearchError:
            raise
        except Exception as error:
            self.failed[arch.key, seed] = (
                str(error) if isinstance(error, EvaluationFailed) else f"{type(error).__name__}: {error}"
            )
        else:
            known = {**metrics, "cpu_s": cpu, "wall_s": wall}
            self.store.cache_evaluation(arch.key, self._cache_key(seed), known, wall, machine.describe())


def distinct(archs: Mapping[str, Architecture]) -> dict[str, Architecture]:
    """Each network once, by the first of its names."""
    first = {arch.key: name for name, arch in reversed(list(archs.items()))}
    return {name: arch for name, arch in archs.items() if first[arch.key] == name}


def found_device() -> str:
    """The first GPU, or one core of the CPU: a score does not depend on how many there are."""
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
