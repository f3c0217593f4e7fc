"""The tasks: spaces of real cost and made-up score, and the fronts that searches are measured against."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import moocore
import numpy as np
from _mixed_score import LEVEL, mixed_gain
from numpy.typing import NDArray

from mvsearch.arch.published import model
from mvsearch.space.search_space import Codes, SearchSpace
from mvsearch.space.variables import Scope
from mvsearch.study.plan import Plan

Array = NDArray[np.float64]

ROOT = Path(__file__).parent.parent

_CEILING = 83.0
_WEIGHTS = {"layer1.out": 0.10, "layer2.out": 0.15, "layer3.out": 0.14, "layer4.out": 0.17, "layer5.out": 0.17}
_WEIGHTS |= {"layer3.dim": 0.10, "layer4.dim": 0.12, "layer5.dim": 0.10}
_DEPTHS = {"layer3": 0.15, "layer4": 0.25, "layer5": 0.20}
_PAIRS, _BUMPS = 40, 0.7


@dataclass(frozen=True)
class Landscape:
    """A made-up Top-1, in points, for any space of the v1 family: 83 - exp(a - b·g), so that it saturates.

    g adds the logarithms of all widths, expansion and FFN ratio, depths that saturate and the fusion's choices (their
    mean over the three blocks), less the square of imbalance: between a block's two widths, and from stage to stage.
    The weights were set by hand until the published models came out near their Top-1: the six MobileViTv3 to within
    0.6 points; MobileViTv1-S 1.1 below (`misfits` computes it, a test holds it, the report prints it).
    `mixed` is that of `_mixed_score.py` instead, for a space with several kinds of blocks.
    `rugged` adds a random table for each of 40 pairs of choices, 0.7 points of standard deviation in all.
    """

    space: SearchSpace
    rugged: bool = False
    mixed: bool = False

    def score(self, codes: Codes) -> Array:
        """The true score of many candidates."""
        chosen = {choice.name: choice.array[codes[:, i]] for i, choice in enumerate(self.space.choices)}
        value = Scope(self.space.variables, chosen).value
        if self.mixed:
            return np.asarray(_CEILING - np.exp(LEVEL - mixed_gain(value)))
        ratio = np.asarray(value("layer3.ffn")) / value("layer3.dim")
        good = sum((weight * np.log2(value(name)) for name, weight in _WEIGHTS.items()), start=np.zeros(len(codes)))
        good = good + 0.08 * np.log2(value("layer1.expand")) + 0.07 * np.log2(ratio)
        for layer, weight in _DEPTHS.items():
            good = good - weight * np.exp(-np.asarray(value(f"{layer}.depth")) / 1.5)
            good = good - 0.06 * np.log2(np.asarray(value(f"{layer}.dim")) / value(f"{layer}.out")) ** 2
            local = np.asarray(value(f"{layer}.local")) == "depthwise"
            good = good + 0.04 / 3 * (np.asarray(value(f"{layer}.fusion")) == 1)
            good = good + 0.03 / 3 * np.asarray(value(f"{layer}.add_input"))
            good = good + 0.02 / 3 * local * (np.asarray(value(f"{layer}.concat")) == "local")
        good = good - 0.05 * (np.log2(np.asarray(value("layer4.out")) / value("layer3.out")) - 0.5) ** 2
        good = good - 0.05 * (np.log2(np.asarray(value("layer5.out")) / value("layer4.out")) - 0.3) ** 2
        return np.asarray(_CEILING - np.exp(2.03 + 0.829 * (6.9 - good)) + self._bumps(codes))

    def _bumps(self, codes: Codes) -> Array:
        bumps = np.zeros(len(codes))
        rng = np.random.default_rng(11)
        for _ in range(_PAIRS if self.rugged else 0):
            one, other = rng.choice(codes.shape[1], size=2, replace=False)
            table = rng.normal(scale=_BUMPS / np.sqrt(_PAIRS), size=(20, 20))
            bumps += table[codes[:, one], codes[:, other]]
        return bumps

    def misfits(self) -> dict[str, tuple[float, float]]:
        """Published name → published Top-1, made-up score; of the models here whose full training is published."""
        found = {}
        for name, point in self.space.published_points():
            figures: dict[str, Any] = model(name).figures
            if "top1" in figures:
                found[name] = (figures["top1"], float(self.score(self.space.codes(point)[None])[0]))
        return found


@dataclass(frozen=True)
class Task:
    """A landscape, the noise on what a search sees of it, and the box in which hypervolume is taken.

    The box is also the constraints of the search: its limits on parameters and MACs. `worst` and `noise` are in points.
    """

    name: str
    title: str
    file: str = "spaces/v3.yaml"
    noise: float = 0.0
    rugged: bool = False
    mixed: bool = False
    worst: float = 66.0
    params: float = 7e6
    macs: float = 2.5e9
    note: str = ""
    """A sentence under the table."""

    @cached_property
    def plan(self) -> Plan:
        """The plan of `mvsearch run` for this task."""
        limits = (f"params <= {self.params:.0f}", f"macs <= {self.macs:.0f}")
        return Plan.load(ROOT / self.file, objectives=("top1", "params", "macs"), limits=limits)

    @cached_property
    def landscape(self) -> Landscape:
        """The score."""
        return Landscape(self.plan.space, self.rugged, self.mixed)

    def objectives(self, codes: Codes) -> Array:
        """(n, 3) true score, parameters, MACs scaled to the box: below 1 in each is inside; less is better."""
        cost = self.plan.space.costs(codes)
        score = (_CEILING - self.landscape.score(codes)) / (_CEILING - self.worst)
        return np.stack([score, cost.params / self.params, cost.macs / self.macs], 1)

    @cached_property
    def published(self) -> Codes:
        """(n, choices) the published models inside the limits."""
        space = self.plan.space
        codes = np.array([space.codes(point) for _, point in space.published_points()])
        return np.asarray(codes[self.plan.admissible(codes)])

    @cached_property
    def landscape_key(self) -> str:
        """Changes with the space, its costs, the score or the box; not with the noise."""
        values = self.objectives(self.plan.space.sample(500, 0)).round(5)
        return hashlib.sha256(values.tobytes()).hexdigest()[:12]


def volume(points: Array) -> float:
    """Hypervolume inside the box, of (n, 3) scaled objectives."""
    inside = points[(points < 1).all(1)]
    return float(moocore.hypervolume(inside, ref=np.ones(3))) if len(inside) else 0.0


TASKS = (
    Task("smooth", "v3 space, no noise"),
    Task("noise05", "v3 space, noise of 0.5 points", noise=0.5),
    Task("rugged", "v3 space, rugged", rugged=True),
    Task("limited", "v3 space, params ≤ 2 M", params=2e6),
    Task("fusion", "fusion by widths space", file="benchmarks/spaces/fusion_widths.yaml", worst=72.0),
    Task("noise10", "v3 space, noise of 1.0 points", noise=1.0),
    Task(
        "mixed",
        "mixed space",
        file="spaces/mixed.yaml",
        mixed=True,
        macs=9e8,
        note="Followed to 200 evaluations, on a busy machine; NSGA-III, pymoo and GP were left out. "
        "The target was set after the first run.",
    ),
)
"""By importance."""


@dataclass(frozen=True)
class Reference:
    """The best front known: of several long evolutions together, then closed under every change of one choice.

    It is not proven to be the whole front. `alone` holds the hypervolume of each evolution by itself.
    """

    volume: float
    points: int
    alone: tuple[float, ...]

    @classmethod
    def of(cls, task: Task, cache: Path) -> "Reference":
        """Computed once for each landscape, then read from the cache."""
        file = cache / f"{task.landscape_key}.json"
        if file.exists():
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        runs = [evolve(task, seed) for seed in range(3)]
        front = close_front(task, np.unique(np.vstack(runs), axis=0))
        found = cls(volume(task.objectives(front)), len(front), tuple(volume(task.objectives(run)) for run in runs))
        cache.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(vars(found)), encoding="utf-8")
        return found


def evolve(task: Task, seed: int, generations: int = 150, children: int = 6000) -> Codes:
    """(n, choices) the front that a long evolution on the true score finds."""
    space, rng = task.plan.space, np.random.default_rng(seed)
    sizes = np.array([len(choice.values) for choice in space.choices])
    pool = np.vstack([_inside(task, space.sample(20_000, rng)), task.published])
    for _ in range(generations):
        pool = _front(task, pool)
        one, other = (pool[rng.integers(len(pool), size=children)] for _ in range(2))
        made = np.where((rng.random((children, 1)) < 0.5) & (rng.random(one.shape) < 0.5), other, one)
        changed = rng.random(made.shape).argsort(1).argsort(1) < rng.integers(1, 4, size=(children, 1))
        step = np.clip(made + rng.choice((-1, 1), size=made.shape), 0, sizes - 1)
        jump = rng.integers(0, sizes, size=made.shape)
        made = np.where(changed, np.where(rng.random(made.shape) < 0.7, step, jump), made)
        pool = np.unique(np.vstack((pool, _inside(task, space.canonical(made)))), axis=0)
    return _front(task, pool)


def close_front(task: Task, codes: Codes) -> Codes:
    """The front of the points, of all that differ from one of it in one choice, and so on until nothing new comes."""
    front, tried = _front(task, codes), set[bytes]()
    while len(fresh := np.array([row for row in front if row.tobytes() not in tried], dtype=np.int64)):
        tried |= {row.tobytes() for row in fresh}
        for column, choice in enumerate(task.plan.space.choices):
            made = np.repeat(fresh, len(choice.values), axis=0)
            made[:, column] = np.tile(np.arange(len(choice.values)), len(fresh))
            made = task.plan.space.canonical(made)
            front = _front(task, np.unique(np.vstack((front, _inside(task, made))), axis=0))
    return front


def _inside(task: Task, codes: Codes) -> Codes:
    return np.asarray(codes[task.plan.admissible(codes)])


def _front(task: Task, codes: Codes) -> Codes:
    return np.asarray(codes[moocore.is_nondominated(task.objectives(codes))])
