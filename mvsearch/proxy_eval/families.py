"""Whether a score's order holds across families: published models of seven families, and what scores say of them.

    pairs of models      all ─┬─ within a family      MobileViTv3-XXS and -XS: size decides most of them
                              ├─ across families      RepViT-M0.9 and StarNet-S3: what a mixed space must know
                              │    └─ plain           both trained without a teacher: top-1 from comparable recipes
                              └─ within size          parameters and MACs both within a factor of 1.5

`families.csv` has scores of these models, made by `benchmarks/ground_truth/families.py`: a line a model, data set,
number of steps and seed. NumPy alone.
"""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch import published as models
from mvsearch.arch.architecture import Architecture
from mvsearch.arch.blocks import PLAIN_BLOCKS
from mvsearch.arch.cost import Cost
from mvsearch.proxies import load_proxy, settings_used
from mvsearch.proxy_eval.rank_correlation import FEWEST, Estimate, concordance, estimate, published, reference_families

Values = NDArray[np.float64]

FILE = Path(__file__).with_name("families.csv")
"""The recorded scores."""

SAME_SIZE = 1.5
"""Models whose parameters differ by no more than this factor, and their MACs too, are of about equal cost."""


@dataclass(frozen=True)
class FamilyModel:
    """A published model with its printed ImageNet-1k top-1 in %; `distilled` if it was trained with a teacher."""

    name: str
    family: str
    top1: float
    distilled: bool

    @property
    def architecture(self) -> Architecture:
        """The model itself."""
        return models.published(self.name)

    @cached_property
    def cost(self) -> Cost:
        """Its parameters and MACs."""
        return self.architecture.cost()

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of blocks that tell its family."""
        return frozenset(row.kind() for row in self.architecture.blocks) - PLAIN_BLOCKS


@cache
def family_models() -> tuple[FamilyModel, ...]:
    """The fifteen reference models of MobileViT, and all published models of the other families."""
    names = [reference.name for reference in published()]
    left_out = {None, *reference_families()}
    others = [name for name in models.model_names() if models.family(name) not in left_out]
    return tuple(_family_model(name) for name in (*names, *others))


def models_to_check(kinds: Set[str]) -> tuple[str, ...]:
    """The published models that a score is compared on for a space with these kinds of blocks.

    They are the fifteen of MobileViT, whatever the space, and those of other families whose blocks the space has.
    """
    mobilevits = reference_families()
    return tuple(each.name for each in family_models() if each.family in mobilevits or each.kinds <= kinds)


def _family_model(name: str) -> FamilyModel:
    figures = models.model(name).figures
    return FamilyModel(name, str(models.family(name)), float(figures["top1"]), bool(figures.get("distilled")))


@dataclass(frozen=True)
class FamilyRanking:
    """How a score orders pairs of `models` of several families: agreements less reversals, over all pairs of a kind.

    `pairs` counts the pairs of each estimate, by its name; one of fewer pairs than `FEWEST` models form is not defined.
    """

    models: int
    all: Estimate
    within_size: Estimate
    within_family: Estimate
    across_families: Estimate
    across_plain: Estimate
    pairs: Mapping[str, int]


def rank_families(scores: Mapping[str, float]) -> FamilyRanking:
    """The order of scores by published name, of which higher is better; models without a finite score are left out."""
    known = [each for each in family_models() if np.isfinite(scores.get(each.name, np.nan))]
    x, y = [scores[each.name] for each in known], [each.top1 for each in known]
    kinds = {name: _pairs(known, kind) for name, kind in _KINDS.items()}
    pairs = {name: int(np.triu(table, 1).sum()) for name, table in kinds.items()}
    estimates = {
        name: estimate(lambda weights, table=table: concordance(x, y, table, weights), len(known))  # type: ignore[misc]
        if pairs[name] >= math.comb(FEWEST, 2)
        else Estimate()
        for name, table in kinds.items()
    }
    return FamilyRanking(models=len(known), pairs=pairs, **estimates)


def _same_family(one: FamilyModel, other: FamilyModel) -> bool:
    return one.family == other.family


def _same_size(one: FamilyModel, other: FamilyModel) -> bool:
    pairs = ((one.cost.params, other.cost.params), (one.cost.macs, other.cost.macs))
    return all(max(pair) <= SAME_SIZE * min(pair) for pair in pairs)


_KINDS: Mapping[str, Callable[[FamilyModel, FamilyModel], bool]] = {
    "all": lambda one, other: True,
    "within_size": _same_size,
    "within_family": _same_family,
    "across_families": lambda one, other: not _same_family(one, other),
    "across_plain": lambda one, other: not (_same_family(one, other) or one.distilled or other.distilled),
}


def _pairs(known: Sequence[FamilyModel], kind: Callable[[FamilyModel, FamilyModel], bool]) -> Values:
    """(models, models): 1 for a pair of this kind."""
    return np.array([[float(kind(one, other)) for other in known] for one in known]).reshape(len(known), len(known))


# ---- recorded scores


@dataclass(frozen=True)
class Recorded:
    """A line of the table: `metrics` by name. Scores of untrained networks have no `steps`."""

    data: str
    steps: int | None
    seed: int
    network: str
    metrics: Mapping[str, float]


_FACTS = ("data", "steps", "seed", "network")


@cache
def recorded() -> tuple[Recorded, ...]:
    """The lines of the table."""
    with FILE.open(encoding="utf-8") as file:
        return tuple(_recorded(row) for row in csv.DictReader(file))


def _recorded(row: Mapping[str, str]) -> Recorded:
    metrics = {name: float(value) for name, value in row.items() if name not in _FACTS and value}
    return Recorded(row["data"], int(row["steps"]) if row["steps"] else None, int(row["seed"]), row["network"], metrics)


@dataclass(frozen=True)
class Training:
    """The short trainings that a recorded score is from."""

    data: str
    steps: int
    seeds: int


def trainings() -> tuple[Training, ...]:
    """Those that all models have, each with as many seeds as all have."""
    found = []
    for data, steps in dict.fromkeys((row.data, row.steps) for row in recorded()):
        rows = [(row.network, row.seed) for row in recorded() if (row.data, row.steps) == (data, steps)]
        seeds = min(sum(name == each.name for name, _ in rows) for each in family_models())
        if steps is not None and seeds:
            found.append(Training(data, steps, seeds))
    return tuple(found)


def recorded_scores(training: Training, metric: str, power: float = 0.0) -> dict[str, float]:
    """Means over seeds of a metric of short trainings, with the sign at which higher is better, by published name.

    A loss is divided by that power of the channel weights in millions.
    """
    values: dict[str, list[float]] = {}
    for row in recorded():
        if (row.data, row.steps) == (training.data, training.steps) and row.seed < training.seeds:
            size = (row.metrics["channel_weights"] / 1e6) ** power
            values.setdefault(row.network, []).append(row.metrics[metric] / size)
    sign = 1 if metric == "top1" else -1
    return {name: sign * sum(each) / len(each) for name, each in values.items()}


@dataclass(frozen=True)
class FamilyEvidence:
    """How a score orders the models by recorded scores: of short `training`s, or of untrained networks (None).

    `unlike` are the settings of a study that differ from those of the recorded scores. `own` are scores of the study
    itself instead of recorded ones.
    """

    score: str
    training: Training | None
    ranking: FamilyRanking
    params: FamilyRanking
    unlike: tuple[str, ...]
    own: bool = False


def own_evidence(score: str, scores: Mapping[str, float], kinds: Set[str]) -> FamilyEvidence | None:
    """The evidence of a study's own scores by published name (higher is better), whose space has these kinds of blocks.

    None unless it has scores of three quarters of the models that `--check-proxy` scores.
    """
    wanted = models_to_check(kinds)
    if 4 * len(scores.keys() & wanted) < 3 * len(wanted):
        return None
    params = rank_families({each.name: float(each.cost.params) for each in family_models() if each.name in scores})
    return FamilyEvidence(score, None, rank_families(scores), params, (), own=True)


def family_evidence(score: str, proxy: Mapping[str, Any], data: str, *, one_size: bool = True) -> FamilyEvidence | None:
    """The recorded evidence on a score under the settings of a study's proxy, on images of a source.

    Of several recorded trainings it is the one on the same images, then the one with the nearest number of steps.
    `one_size`: the study scores all networks at one image size. None for a score that was not recorded.
    """
    params = rank_families({model.name: float(model.cost.params) for model in family_models()})
    if proxy["name"] == "train" and score in _TRAINED and trainings():
        training = min(
            trainings(),
            key=lambda each: (each.data != data, abs(math.log(each.steps / proxy["steps"]))),
        )
        scores = recorded_scores(training, *_TRAINED[score](proxy))
        unlike = (*_unlike(training, proxy, data), *(() if one_size else (f"{proxy['image_size']} px for all",)))
        return FamilyEvidence(score, training, rank_families(scores), params, unlike)
    rows = [row for row in recorded() if row.steps is None and score in row.metrics]
    sources = dict.fromkeys(row.data for row in rows)
    if not sources:
        return None
    source = data if data in sources else next(iter(sources))
    ranking = rank_families({row.network: row.metrics[score] for row in rows if row.data == source})
    return FamilyEvidence(score, None, ranking, params, (f"images of {source}",) if source != data else ())


_TRAINED: Mapping[str, Callable[[Mapping[str, Any]], tuple[str, float]]] = {
    "top1": lambda proxy: ("top1", 0.0),
    "loss": lambda proxy: ("loss", 0.0),
    "scaled_loss": lambda proxy: ("train_loss", proxy["power"]),
}


def _unlike(training: Training, proxy: Mapping[str, Any], data: str) -> Iterator[str]:
    """What differs from a study."""
    if training.data != data:
        yield f"images of {training.data}"
    if training.steps != proxy["steps"]:
        yield f"{training.steps} steps"
    if training.seeds != proxy["seeds"]:
        yield f"{training.seeds} seed{'s' * (training.seeds > 1)}"
    usual = load_proxy("train").settings()
    fixed = {
        name: getattr(usual, name)
        for name in settings_used(usual)
        if name not in ("steps", "seed", "power", "image_size")
    }
    yield from (f"{name} {value}" for name, value in fixed.items() if proxy.get(name, value) != value)
    if proxy["image_size"] != usual.image_size:
        yield f"{usual.image_size} px"
    yield from (f"no {name}" for name in ("init", "teacher") if proxy.get(name))
