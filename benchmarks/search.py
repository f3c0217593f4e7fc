"""How many trainings a sampler needs: hypervolume against evaluations, on a score that costs nothing.

Parameters and MACs are exact, of spaces/v3.yaml. The score is made up, and documented in `Landscape`: it saturates,
rewards balanced widths, and puts the published models near their Top-1. It says how samplers compare on a landscape of
this size and shape, not what ImageNet does. Hypervolume is taken in the box params < 7 M, MACs < 2.5 G, score > 66, as
a share of that of a front found by a long evolution on the score itself. All begin with the published models.

    python benchmarks/search.py surrogate tpe nsga2 random --trials 200 --seeds 5 --noise 0.5
"""

import statistics
import time
import warnings
from dataclasses import dataclass, replace

import click
import moocore
import numpy as np
import optuna
from numpy.typing import NDArray

from mvsearch.plan import Plan
from mvsearch.samplers._legal import Legal, distributions
from mvsearch.space import Codes, SearchSpace

Array = NDArray[np.float64]

_STEPS = (25, 50, 100, 200, 500, 1000)
_BOX = (66.0, 7e6, 2.5e9)


@dataclass(frozen=True)
class Landscape:
    """Score = 83 - exp(a - b·g): g adds logarithms of widths, saturating depths, the fusion's choices, less imbalance.

    `rugged` adds a random table for each of 40 pairs of choices, of 0.7 points standard deviation in all.
    """

    space: SearchSpace
    rugged: bool = False

    def score(self, codes: Codes) -> Array:
        """The true score, in points, of many candidates."""
        value = {choice.name: choice.array[codes[:, i]] for i, choice in enumerate(self.space.choices)}
        log = {name: np.log2(v.astype(float)) for name, v in value.items() if v.dtype.kind in "iu"}
        weights = {"layer1.out": 0.10, "layer2.out": 0.15, "layer3.out": 0.14, "layer4.out": 0.17, "layer5.out": 0.17}
        weights |= {"layer3.dim": 0.10, "layer4.dim": 0.12, "layer5.dim": 0.10, "expand": 0.08, "ratio": 0.07}
        good = sum(weight * log[name] for name, weight in weights.items())
        for layer, weight in (("layer3", 0.15), ("layer4", 0.25), ("layer5", 0.20)):
            good = good - weight * np.exp(-value[f"{layer}.depth"] / 1.5)
            good = good - 0.06 * (log[f"{layer}.dim"] - log[f"{layer}.out"]) ** 2
        good = good - 0.05 * (log["layer4.out"] - log["layer3.out"] - 0.5) ** 2
        good = good - 0.05 * (log["layer5.out"] - log["layer4.out"] - 0.3) ** 2
        good = good + 0.04 * (value["fusion"] == 1) + 0.03 * value["add_input"]
        good = good + 0.02 * (value["local"] == "depthwise") * (value["concat"] == "local")
        return np.asarray(83 - np.exp(2.03 + 0.829 * (6.9 - good)) + self._bumps(codes))

    def _bumps(self, codes: Codes) -> Array:
        bumps = np.zeros(len(codes))
        rng = np.random.default_rng(11)
        for _ in range(40 if self.rugged else 0):
            one, other = rng.choice(codes.shape[1], size=2, replace=False)
            table = rng.normal(scale=0.7 / np.sqrt(40), size=(20, 20))
            bumps += table[codes[:, one], codes[:, other]]
        return bumps

    def objectives(self, codes: Codes) -> Array:
        """(n, 3) scaled to the box: below 1 in each is inside; less is better."""
        cost = self.space.costs(codes)
        worst, params, macs = _BOX
        return np.stack([(83 - self.score(codes)) / (83 - worst), cost.params / params, cost.macs / macs], 1)


def volume(points: Array) -> float:
    """Hypervolume inside the box."""
    inside = points[(points < 1).all(1)]
    return float(moocore.hypervolume(inside, ref=np.ones(3))) if len(inside) else 0.0


def best_front(landscape: Landscape, generations: int = 150, children: int = 6000) -> Array:
    """The front that a long evolution on the true score finds; no proof that it is the whole."""
    space, rng = landscape.space, np.random.default_rng(0)
    sizes = np.array([len(choice.values) for choice in space.choices])
    published = [space.codes(point)[None] for _, point in space.published_points()]
    pool = np.vstack([space.sample(20_000, rng), *published])
    for _ in range(generations):
        pool = pool[moocore.is_nondominated(landscape.objectives(pool))]
        one, other = (pool[rng.integers(len(pool), size=children)] for _ in range(2))
        made = np.where((rng.random((children, 1)) < 0.5) & (rng.random(one.shape) < 0.5), other, one)
        changed = rng.random(made.shape).argsort(1).argsort(1) < rng.integers(1, 4, size=(children, 1))
        step = np.clip(made + rng.choice((-1, 1), size=made.shape), 0, sizes - 1)
        jump = rng.integers(0, sizes, size=made.shape)
        made = np.where(changed, np.where(rng.random(made.shape) < 0.7, step, jump), made)
        pool = np.unique(np.vstack((pool, made[space.legal(made)])), axis=0)
    return np.asarray(landscape.objectives(pool))


def curve(plan: Plan, landscape: Landscape, noise: float) -> tuple[dict[int, float], float]:
    """Hypervolume after so many evaluations, and the median CPU seconds of the last 20 proposals."""
    space, rng = plan.space, np.random.default_rng([plan.search.seed, 7])
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"], sampler=Legal(plan))
    for _, point in space.published_points():
        study.enqueue_trial(point)
    points, seconds, volumes = [], [], {}
    for done in range(1, plan.search.trials + 1):
        start = time.process_time()
        trial = study.ask(distributions(space))
        seconds.append(time.process_time() - start)
        codes = space.codes(trial.params)[None]
        point = landscape.objectives(codes)[0]
        metrics = space.costs(codes)
        seen = landscape.score(codes)[0] + noise * rng.normal()
        study.tell(trial, [seen / 100, float(metrics.params[0]), float(metrics.macs[0])])
        points.append(point)
        if done in _STEPS:
            volumes[done] = volume(np.array(points))
    return volumes, statistics.median(seconds[-20:])


@click.command()
@click.argument("samplers", nargs=-1, required=True)
@click.option("--trials", default=100, show_default=True)
@click.option("--seeds", default=5, show_default=True)
@click.option("--noise", default=0.0, show_default=True, help="Standard deviation of the seen score, in points.")
@click.option("--rugged", is_flag=True, help="With random interactions of pairs of choices.")
@click.option("--space", default="spaces/v3.yaml", show_default=True)
def main(samplers: tuple[str, ...], trials: int, seeds: int, noise: float, rugged: bool, space: str) -> None:
    """Medians over seeds, and their spread, as shares of the long evolution's hypervolume."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    plan = Plan.load(space, trials=trials, limits=("params <= 7M", "macs <= 2.5G"))
    landscape = Landscape(plan.space, rugged)
    true = volume(best_front(landscape))
    for name, point in plan.space.published_points()[:6]:
        click.echo(f"{name}: score {landscape.score(plan.space.codes(point)[None])[0]:.2f}")
    click.echo(f"hypervolume of the long evolution: {true:.4f}; noise {noise}, {'rugged' if rugged else 'smooth'}")
    for sampler in samplers:
        runs = [
            curve(replace(plan, search=replace(plan.search, sampler=sampler, seed=seed)), landscape, noise)
            for seed in range(seeds)
        ]
        cells = []
        for step in runs[0][0]:
            shares = [volumes[step] / true for volumes, _ in runs]
            cells.append(f"{step}: {statistics.median(shares):.3f} [{min(shares):.3f}-{max(shares):.3f}]")
        click.echo(f"{sampler:10} {'  '.join(cells)}  {1e3 * statistics.median(s for _, s in runs):.0f} ms a proposal")


if __name__ == "__main__":
    main()
