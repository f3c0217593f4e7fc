"""The samplers that are compared, each as its users run it, and the budget that counts their evaluations."""

import statistics
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import moocore
import numpy as np
import optuna
from _landscape import ROOT, TASKS, Array, Task, volume
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from mvsearch.space.search_space import Codes
from mvsearch.study.distributions import distributions
from mvsearch.study.samplers._constrained import Constrained

POPULATION = 50  # Optuna's default, given to pymoo too: a first generation of 100 would be random until 100
_DIRECTIONS = ("maximize", "minimize", "minimize")


class Budget:
    """Evaluates up to `size` candidates and records the hypervolume of the true scores after each, and duplicates."""

    def __init__(self, task: Task, seed: int, size: int) -> None:
        self.task, self.size = task, size
        self.rng = np.random.default_rng([seed, 7])
        self.spent = self.duplicates = self.over = self.unbuildable = 0
        self.seen: set[bytes] = set()
        self.front: Array = np.empty((0, 3))
        self.curve: list[tuple[int, float]] = []
        self.seconds: deque[float] = deque(maxlen=20)

    @property
    def empty(self) -> bool:
        """Whether the budget is spent; also true if hardly any proposal could be built."""
        return self.spent >= self.size or self.unbuildable >= 100 * self.size

    def network(self, codes: Codes) -> Codes:
        """The proposal with choices that have no effect at their first values: what is built, counted and seen."""
        return self.task.plan.space.canonical(codes[None])[0]

    def buildable(self, codes: Codes) -> bool:
        """Whether a proposal meets the space's conditions; one that does not cannot be built and costs nothing."""
        legal = bool(self.task.plan.space.is_legal(codes[None])[0])
        self.unbuildable += not legal
        return legal

    def evaluate(self, codes: Codes) -> tuple[float, float, float]:
        """The score of a network with noise (0 to 1), its parameters and its MACs."""
        scaled = self.task.objectives(codes[None])[0]
        self.spent += 1
        self.duplicates += codes.tobytes() in self.seen
        self.seen.add(codes.tobytes())
        self.over += bool((scaled[1:] > 1).any())
        self._enter(scaled)
        params, macs = scaled[1] * self.task.params, scaled[2] * self.task.macs
        score = float(self.task.landscape.score(codes[None])[0]) + self.task.noise * self.rng.normal()
        return score / 100, float(params), float(macs)

    def _enter(self, scaled: Array) -> None:
        if (scaled >= 1).any() or (self.front <= scaled).all(1).any():
            return
        self.front = np.vstack((self.front, scaled))
        self.front = self.front[moocore.is_nondominated(self.front)]
        self.curve.append((self.spent, round(volume(self.front), 6)))

    @contextmanager
    def proposing(self, proposals: int = 1) -> Iterator[None]:
        """Measure the CPU time of proposals."""
        start = time.process_time()
        yield
        self.seconds.extend([(time.process_time() - start) / proposals] * proposals)

    def account(self) -> dict[str, Any]:
        """The results of a run."""
        return {
            "evaluations": self.spent,
            "curve": self.curve,
            "duplicates": self.duplicates,
            "over": self.over,
            "unbuildable": self.unbuildable,
            "proposal_ms": round(1e3 * statistics.median(self.seconds), 3),
        }


Walk = Callable[[Task, int, Budget], None]


def stock(make: Callable[[int], BaseSampler]) -> Walk:
    """Plain Optuna, without anything of mvsearch.

    A proposal that violates the space's conditions fails, as if the objective raised, and is not counted.
    One that violates the limits is evaluated, and reported with Optuna's own constraints.
    """

    def walk(task: Task, seed: int, budget: Budget) -> None:
        space = task.plan.space
        study = optuna.create_study(directions=_DIRECTIONS, sampler=make(seed))
        while not budget.empty:
            with budget.proposing():
                trial = study.ask(distributions(space))
            codes = budget.network(space.codes(trial.params))
            if not budget.buildable(codes):
                study.tell(trial, state=TrialState.FAIL)
                continue
            score, params, macs = budget.evaluate(codes)
            trial.set_constraint("params", params / task.params - 1)
            trial.set_constraint("macs", macs / task.macs - 1)
            study.tell(trial, (score, params, macs))

    return walk


def ours(sampler: str) -> Walk:
    """A sampler as `mvsearch run` runs it: inside conditions and limits, without duplicates, published models first."""

    def walk(task: Task, seed: int, budget: Budget) -> None:
        space = task.plan.space
        search = replace(task.plan.search, sampler=sampler, seed=seed, trials=budget.size)
        study = optuna.create_study(directions=_DIRECTIONS, sampler=Constrained(replace(task.plan, search=search)))
        for codes in task.published:
            study.enqueue_trial(space.point(codes))
        while not budget.empty:
            with budget.proposing():
                trial = study.ask(distributions(space))
            study.tell(trial, budget.evaluate(space.codes(trial.params)))

    return walk


def pymoo(seeded: bool) -> Walk:
    """pymoo's NSGA-II on whole numbers; conditions and limits are constraints of pymoo."""

    def walk(task: Task, seed: int, budget: Budget) -> None:
        algorithm, assign_values = _pymoo_algorithm(task, seed, seeded)
        while not budget.empty:
            with budget.proposing(POPULATION):
                population = algorithm.ask()
            values = [_evaluate_for_pymoo(budget, codes) for codes in population.get("X").astype(np.int64)]
            with budget.proposing(POPULATION):
                algorithm.tell(infills=assign_values(population, *map(np.array, zip(*values, strict=True))))

    return walk


def _pymoo_algorithm(task: Task, seed: int, seeded: bool) -> tuple[Any, Callable[..., Any]]:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.problems.static import StaticProblem

    space = task.plan.space
    last = np.array([len(choice.values) for choice in space.choices]) - 1
    problem = Problem(n_var=len(last), n_obj=3, n_ieq_constr=3, xl=0, xu=last, vtype=int)
    first: Any = IntegerRandomSampling()
    if seeded:
        first = np.vstack((task.published, space.sample(POPULATION - len(task.published), seed)))
    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=first,
        crossover=SBX(prob=0.9, eta=15, vtype=float, repair=RoundingRepair()),
        mutation=PM(eta=20, vtype=float, repair=RoundingRepair()),
    )
    algorithm.setup(problem, termination=NoTermination(), seed=seed)

    def assign_values(population: Any, objectives: Array, over: Array) -> Any:
        return Evaluator().eval(StaticProblem(problem, F=objectives, G=over), population)

    return algorithm, assign_values


def _evaluate_for_pymoo(budget: Budget, codes: Codes) -> tuple[Array, Array]:
    """Objectives (lower is better) and constraints (at most 0) for pymoo; the worst values if nothing is evaluated."""
    codes = budget.network(codes)
    if budget.empty or not budget.buildable(codes):
        return np.array([0.0, np.inf, np.inf]), np.array([1.0, 1.0, 1.0])
    score, params, macs = budget.evaluate(codes)
    return np.array([-score, params, macs]), np.array([0, params / budget.task.params - 1, macs / budget.task.macs - 1])


@dataclass(frozen=True)
class Searcher:
    """A row of the table: the search, and the evaluations, seeds and tasks that it runs with."""

    name: str
    title: str
    walk: Walk
    evaluations: int = 1000
    seeds: int = 99
    tasks: tuple[str, ...] = tuple(task.name for task in TASKS)


SEARCHERS = (
    Searcher("surrogate", "mvsearch", ours("surrogate"), 200),
    Searcher("random", "random", stock(lambda seed: RandomSampler(seed=seed))),
    Searcher("nsga2", "NSGA-II", stock(lambda seed: NSGAIISampler(seed=seed))),
    Searcher("nsga3", "NSGA-III", stock(lambda seed: NSGAIIISampler(seed=seed))),
    Searcher("pymoo", "pymoo NSGA-II", pymoo(seeded=False)),
    Searcher("tpe", "TPE", stock(lambda seed: TPESampler(multivariate=True, seed=seed))),
    Searcher("gp", "GP", stock(lambda seed: GPSampler(seed=seed)), 50, 2, ("smooth",)),
    Searcher("random+", "seeded random", ours("random")),
    Searcher("nsga2+", "seeded NSGA-II", ours("nsga2")),
    Searcher("nsga3+", "seeded NSGA-III", ours("nsga3")),
    Searcher("pymoo+", "seeded pymoo NSGA-II", pymoo(seeded=True)),
    Searcher("tpe+", "seeded TPE", ours("tpe")),
    Searcher("gp+", "seeded GP", ours("gp"), 100, 2, ("smooth",)),
)
"""Names are those of `mvsearch run --sampler`; a plus means that the published models are evaluated first."""


def source_key(searcher: Searcher) -> str:
    """A digest of the source of mvsearch's own sampler, so that a change runs it again; empty for the others."""
    if searcher.name != "surrogate":
        return ""
    folder = ROOT / "mvsearch/study/samplers"
    files = [*sorted(folder.glob("_[a-z]*.py")), folder / f"{searcher.name}.py"]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def run(searcher: Searcher, task: Task, seed: int, evaluations: int) -> dict[str, Any]:
    """Run a search once; its results."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    budget = Budget(task, seed, evaluations)
    searcher.walk(task, seed, budget)
    return budget.account()
