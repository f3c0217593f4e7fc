"""The default sampler on real Optuna studies in memory."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import moocore
import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from toy import TOY, toy_space

from mvsearch.metrics.pareto import Objective
from mvsearch.space.exact_front import exact_front
from mvsearch.space.search_space import Codes, SearchSpace
from mvsearch.study.distributions import distributions
from mvsearch.study.plan import Plan
from mvsearch.study.samplers._constrained import Constrained
from mvsearch.study.samplers._features import Features
from mvsearch.study.samplers._gaussian_process import Array, GaussianProcess, fit_theta
from mvsearch.study.samplers._history import History
from mvsearch.study.samplers._improvement import ExpectedHypervolumeImprovement
from mvsearch.study.samplers._observations import observe
from mvsearch.study.samplers._points import sample_admissible
from mvsearch.study.samplers.surrogate import Surrogate

TOP1, LATENCY = Objective.named("top1"), Objective.named("latency_ms")
WIDE = TOY.replace("64, 8]", "64, 4]")  # too many points to be enumerated
ONE_CHOICE = """
name: one
image_size: 32
num_classes: 10
blocks:
  - {name: stem, block: conv, out: {range: [8, 8000, 8]}, stride: 2}
"""


def plan_of(text: str = WIDE, **search: Any) -> Plan:
    search = {"objectives": ("top1", "params"), "sampler": "surrogate", "trials": 60, **search}
    return Plan.of(toy_space(text), **search)


def study_of(plan: Plan) -> optuna.Study:
    directions = ["maximize" if objective.maximise else "minimize" for objective in plan.objectives]
    return optuna.create_study(directions=directions, sampler=Constrained(plan))


def measured(plan: Plan, params: dict[str, Any]) -> dict[str, float]:
    """The metrics of one point, by `metrics_of`."""
    return {name: values[0].item() for name, values in metrics_of(plan, plan.space.codes(params)[None]).items()}


def metrics_of(plan: Plan, codes: Codes) -> dict[str, Array]:
    """A formula in place of a training: larger is better with diminishing returns, best in balance."""
    cost = plan.space.costs(codes)
    columns = {choice.name: np.array(choice.values)[codes[:, i]] for i, choice in enumerate(plan.space.choices)}
    stem, out, dim, depth = (columns[name].astype(float) for name in ("stem.out", "body.out", "dim", "body.depth"))
    good = np.log2(stem * out * dim) + depth / 2 - (np.log2(dim / out)) ** 2
    return {
        "params": cost.params,
        "macs": cost.macs,
        "top1": 1 - 0.9 * np.exp(-good / 12),
        "loss": 3 * np.exp(-good / 12),
        "latency_ms": 1 + cost.macs / 1e6 * np.where(dim == 24, 1.5, 1.0),
    }


def tell_metrics(plan: Plan, study: optuna.Study, trial: optuna.Trial, metrics: dict[str, Any]) -> None:
    """As a study does: metrics besides the values, and a trial that violates a constraint is pruned."""
    trial.set_user_attr("metrics", metrics)
    violated = [limit for limit in plan.limits if limit.name in metrics and not limit.holds(metrics[limit.name])]
    if violated:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, [metrics[name] for name in plan.search.objectives])


def run(plan: Plan, trials: int, study: optuna.Study | None = None) -> optuna.Study:
    study = study or study_of(plan)
    for _ in range(trials):
        trial = study.ask(distributions(plan.space))
        tell_metrics(plan, study, trial, measured(plan, trial.params))
    return study


def keys(study: optuna.Study) -> list[tuple[Any, ...]]:
    return [tuple(trial.params.values()) for trial in study.get_trials(deepcopy=False)]


def finished(
    params: dict[str, Any], number: int, state: TrialState = TrialState.COMPLETE, **metrics: Any
) -> FrozenTrial:
    trial = create_trial(state=TrialState.PRUNED, params={}, distributions={}, user_attrs={"metrics": metrics})
    trial.state, trial.params, trial.number = state, params, number
    return trial


# ---- observations


def test_pruned_trials_are_observed_as_far_as_measured_and_failed_ones_are_not():
    trials = [
        finished({}, 0, top1=0.7),
        finished({}, 1, TrialState.PRUNED, top1=0.6, latency_ms=15.0),
        finished({}, 2, TrialState.PRUNED, latency_ms=30.0),
        finished({}, 3, TrialState.FAIL, top1=0.9),
    ]

    assert observe(trials, TOP1, ("top1",)).numbers == (0, 1)
    assert observe(trials, LATENCY, ("top1",)).numbers == (1, 2)


def test_without_metrics_the_values_count_in_the_order_of_the_objectives():
    trial = create_trial(params={}, distributions={}, values=[0.7, 9.0])
    found = observe([trial], LATENCY, ("top1", "latency_ms"))

    assert found.scale.cost(found.y) == pytest.approx([9.0])


@pytest.mark.parametrize("name", ["top1", "loss", "latency_ms"])
def test_a_scale_leads_there_and_back(name):
    objective = Objective.named(name)
    found = observe([finished({}, i, **{name: value}) for i, value in enumerate((0.2, 0.9))], objective, (name,))

    assert found.scale.logarithmic
    assert found.scale.cost(found.y) == pytest.approx([objective.cost(0.2), objective.cost(0.9)])


def test_scores_beyond_the_ideal_are_taken_as_they_are():
    found = observe([finished({}, i, top1=value) for i, value in enumerate((71.0, 74.0))], TOP1, ("top1",))

    assert found.scale.cost(found.y) == pytest.approx([-71.0, -74.0])


def test_the_full_score_of_a_trial_stopped_early_is_extrapolated_from_others():
    rng = np.random.default_rng(0)
    shorts = rng.uniform(0.4, 0.7, 12)
    trials = [
        finished({}, i, top1=1 - 0.5 * (1 - s) ** 1.2, rungs={"75": {"top1": s - 0.1}, "150": {"top1": s}})
        for i, s in enumerate(shorts)
    ]
    trials.append(finished({}, 12, TrialState.PRUNED, rungs={"75": {"top1": 0.2}, "150": {"top1": 0.5}}))
    found = observe(trials, TOP1, ("top1",))

    assert -found.scale.cost(found.y)[-1] == pytest.approx(1 - 0.5 * 0.5**1.2)
    assert found.full.numbers == tuple(range(12))


def test_the_scatter_of_full_scores_about_short_ones_is_noise_of_a_stopped_trial():
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.normal(size=40)
    trials = [
        finished({}, i, loss=float(np.exp(x + e)), rungs={"75": {"loss": float(np.exp(x))}})
        for i, (x, e) in enumerate(zip(rng.normal(size=40), noise, strict=True))
    ]
    trials.append(finished({}, 40, TrialState.PRUNED, rungs={"75": {"loss": 1.0}}))
    found = observe(trials, Objective.named("loss"), ("loss",))

    assert found.extra[-1] == pytest.approx(noise.var(), rel=0.1)


def test_a_stopped_trial_is_not_observed_until_enough_others_have_both_scores():
    trials = [finished({}, i, top1=0.7 + i / 100, rungs={"75": {"top1": 0.5 + i / 90}}) for i in range(3)]
    trials.append(finished({}, 3, TrialState.PRUNED, rungs={"75": {"top1": 0.5}}))

    assert observe(trials, TOP1, ("top1",)).numbers == (0, 1, 2)


def test_a_score_measured_several_times_weighs_more():
    space = toy_space()
    codes = space.sample(30, 0)
    noisy = np.random.default_rng(1).normal(0.5, 0.05, 30)

    def off(sem: float | None) -> float:
        known = {3: {"top1_sem": sem}} if sem else {}
        trials = [finished({}, i, top1=y, **known.get(i, {})) for i, y in enumerate(noisy)]
        found = observe(trials, TOP1, ("top1",))
        features = Features(space)
        points = features.of(codes)
        model = GaussianProcess.of(points, found, fit_theta(points, found, features.lengths), features.lengths)
        return float(abs(model.mean(points)[3] - found.y[3]))

    assert off(0.001) < 0.5 * off(None)


def model_of(space: SearchSpace, codes: Codes, values: Sequence[float]) -> tuple[Features, GaussianProcess]:
    """A model of the scores themselves: they exceed the ideal, so that no logarithm is taken."""
    features = Features(space)
    trials = [finished({}, i, top1=1.5 + value) for i, value in enumerate(values)]
    found = observe(trials, TOP1, ("top1",))
    points = features.of(codes)
    return features, GaussianProcess.of(points, found, fit_theta(points, found, features.lengths), features.lengths)


def test_the_model_learns_a_smooth_score_and_is_less_certain_elsewhere():
    space = toy_space(TOY.replace("{range: [8, 64, 8]}", "{range: [8, 512, 8]}"))
    codes = space.sample(120, seed=3)

    def score(some: Codes) -> Array:
        x = Features(space).of(some).near
        return 3 * x[:, 0] + np.sin(3 * x[:, 1]) + 10

    features, model = model_of(space, codes[:80], score(codes[:80]))
    mean, deviation = model.predict(features.of(codes[80:]))
    assert np.abs(-mean - 0.5 - score(codes[80:])).max() < 0.15
    assert mean == pytest.approx(model.mean(features.of(codes[80:])))
    assert deviation.mean() > model.predict(features.of(codes[:80]))[1].mean()
    flat = model_of(space, codes[:20], [7.0] * 20)[1]
    assert np.allclose(-flat.mean(features.of(codes[80:])) - 0.5, 7.0)


def test_conditioning_on_running_candidates_reduces_uncertainty_and_keeps_the_means():
    plan = plan_of()
    codes = plan.space.sample(60, 0)
    values = metrics_of(plan, codes)["top1"]
    features, model = model_of(plan.space, codes[:40], values[:40])
    conditioned = model.condition_on(features.of(codes[40:]))

    assert conditioned.mean(features.of(codes)) == pytest.approx(model.mean(features.of(codes)), abs=1e-4)
    assert (conditioned.predict(features.of(codes[40:]))[1] < model.predict(features.of(codes[40:]))[1]).all()


# ---- proposals


@pytest.mark.parametrize(
    "objectives",
    [("params", "macs"), ("params",), ("top1",), ("top1", "latency_ms"), ("loss", "macs", "latency_ms", "params")],
)
def test_any_objectives_work_and_nothing_is_proposed_twice(objectives):
    study = run(plan_of(objectives=objectives), 18)

    assert len(set(keys(study))) == 18


def test_exact_objectives_alone_are_optimised_without_a_model():
    plan = plan_of(objectives=("params", "macs"))
    found = np.array([trial.values for trial in run(plan, 40).get_trials()])
    space = plan.space
    every = np.indices([len(choice.values) for choice in space.choices]).reshape(len(space.choices), -1).T
    cost = space.costs(every[space.is_legal(every)])
    front = np.stack((cost.params, cost.macs), 1)
    front = front[moocore.is_nondominated(front)].astype(float)

    reference = front.max(0) * 1.1
    assert moocore.hypervolume(found, ref=reference) == pytest.approx(moocore.hypervolume(front, ref=reference))


def test_the_minimum_of_one_static_cost_is_found():
    plan = replace(Plan.load("spaces/v3.yaml", objectives=("params",), sampler="surrogate"))
    study = study_of(plan)
    for _ in range(25):
        trial = study.ask(distributions(plan.space))
        study.tell(trial, float(plan.space.costs(plan.space.codes(trial.params)[None]).params[0]))

    (least,) = exact_front(plan.space, ("params",))
    assert study.best_value == least.cost.params


@pytest.mark.parametrize(
    "name", ["top1", *(pytest.param(name, marks=pytest.mark.slow) for name in ("loss", "latency_ms"))]
)
def test_an_expensive_objective_alone_is_optimised(name):
    plan = plan_of(objectives=(name,))
    cost = Objective.named(name).cost
    values = [cost(trial.value) for trial in run(plan, 30).get_trials()]
    anywhere = sorted({cost(value) for value in metrics_of(plan, plan.space.sample(5000, 0))[name]})

    assert min(values) <= anywhere[2]


def test_more_is_found_than_by_chance():
    def volume(sampler: str, seed: int) -> float:
        found = [trial.values for trial in run(plan_of(sampler=sampler, seed=seed), 25).get_trials()]
        return float(moocore.hypervolume(np.array(found) * (-1, 1), ref=np.array([-0.5, 2e5])))

    ours, feasibility = ([volume(sampler, seed) for seed in range(3)] for sampler in ("surrogate", "random"))
    assert min(ours) > max(feasibility)


def test_random_search_draws_evenly_from_the_points_within_the_limits():
    limits = ("params <= 1.3M",)
    plan = Plan.load("spaces/v3_small.yaml", objectives=("params", "macs"), limits=limits, sampler="random")
    anywhere = plan.space.sample(20_000, 0)
    within = plan.space.costs(anywhere[plan.admissible(anywhere)]).params
    study = study_of(plan)
    found = [study.ask(distributions(plan.space)).params for _ in range(150)]
    params = plan.space.costs(np.array([plan.space.codes(point) for point in found])).params

    assert len(within) < 0.1 * len(anywhere)
    assert abs(params.mean() - within.mean()) < 4 * within.std() / 150**0.5


def test_static_limits_hold_even_where_few_points_satisfy_them():
    plan = Plan.load("spaces/v3.yaml", limits=("params <= 1M", "macs >= 0.3G"), sampler="surrogate")
    study = study_of(plan)
    for _ in range(14):
        trial = study.ask(distributions(plan.space))
        cost = plan.space.costs(plan.space.codes(trial.params)[None])
        study.tell(trial, [0.7 - 1e5 / cost.macs[0], cost.params[0], cost.macs[0]])

    for params, macs in [trial.values[1:] for trial in study.get_trials()]:
        assert params <= 1e6
        assert macs >= 0.3e9
    assert len(set(keys(study))) == 14


def test_points_within_narrow_limits_are_found():
    space = SearchSpace.load("spaces/v3.yaml")
    plan = replace(Plan.of(space), search=replace(Plan.of(space).search, limits=("params <= 0.95M",)))
    codes = sample_admissible(plan, 2000, np.random.default_rng(0))

    assert plan.admissible(space.sample(2000, 0)).mean() < 0.001
    assert plan.admissible(codes).all()
    assert len(codes) > 20


def test_a_limit_on_a_measurement_is_learned():
    plan = plan_of(objectives=("top1",), limits=("latency_ms <= 6",))
    anywhere = metrics_of(plan, plan.space.sample(1000, 0))
    within = anywhere["latency_ms"] <= 6
    study = run(plan, 40)

    complete = [trial.state == TrialState.COMPLETE for trial in study.get_trials()]
    assert 0 < within.mean() < 0.2
    assert np.mean(complete[20:]) > 2 * within.mean()
    assert study.best_value >= anywhere["top1"][within].max()


def test_a_limit_that_excludes_almost_all_points_is_learned_before_there_are_scores():
    plan = plan_of(objectives=("top1",), limits=("latency_ms <= 4",))
    study = study_of(plan)
    for _ in range(40):
        trial = study.ask(distributions(plan.space))
        metrics = measured(plan, trial.params)
        if metrics["latency_ms"] > 4:
            del metrics["top1"]  # pruned before the training
        tell_metrics(plan, study, trial, metrics)

    complete = sum(trial.state == TrialState.COMPLETE for trial in study.get_trials())
    assert complete >= 8  # of 22 points among 1,404: by chance it would be one


def test_proposals_for_several_workers_at_once_spread_out():
    plan = plan_of(objectives=("top1", "params", "macs"))
    study = run(plan, 15)
    trials = [study.ask(distributions(plan.space)) for _ in range(8)]

    assert len(set(keys(study))) == 23
    costs = np.array([[measured(plan, trial.params)[name] for name in ("params", "macs")] for trial in trials])
    assert np.log(costs.max(0) / costs.min(0)).min() > 0.7


def test_failed_and_queued_candidates_are_not_proposed_again():
    plan = plan_of()
    study = study_of(plan)
    queued = [plan.space.point(row) for row in plan.space.sample(5, 3)]
    for n in range(40):
        if n == 20:
            for point in [point for point in queued if tuple(point.values()) not in keys(study)]:
                study.enqueue_trial(point)
        trial = study.ask(distributions(plan.space))
        if n % 3 == 0:
            study.tell(trial, state=TrialState.FAIL)
        else:
            tell_metrics(plan, study, trial, measured(plan, trial.params))

    assert len(set(keys(study))) == 40


def test_a_study_in_which_all_trials_fail_continues_without_a_score():
    plan = plan_of()
    study = study_of(plan)
    for _ in range(20):
        study.tell(study.ask(distributions(plan.space)), state=TrialState.FAIL)

    assert len(set(keys(study))) == 20


@pytest.mark.parametrize("score", [lambda n: 0.5, lambda n: float(n % 2), lambda n: 1.0, lambda n: 0.0])
@pytest.mark.parametrize(
    "objectives", [("top1",), pytest.param(("top1", "params"), marks=pytest.mark.slow), ("loss", "top1")]
)
def test_uninformative_scores_do_not_break_the_sampler(score: Callable[[int], float], objectives):
    plan = plan_of(objectives=objectives)
    study = study_of(plan)
    for n in range(20):
        trial = study.ask(distributions(plan.space))
        tell_metrics(plan, study, trial, measured(plan, trial.params) | {"top1": score(n), "loss": score(n)})

    assert len(set(keys(study))) == 20


@pytest.mark.parametrize("objectives", [("top1", "params"), ("params",)])
def test_every_point_of_a_small_space_is_proposed(objectives):
    text = TOY.replace("range: [8, 64, 8]", "range: [8, 24, 8]").replace("range: [16, 64, 8]", "range: [16, 24, 8]")
    plan = plan_of(text, objectives=objectives)
    study = run(plan, plan.space.size)
    assert len(set(keys(study))) == plan.space.size

    run(plan, 2, study)  # no new point is left: known candidates are proposed, without hanging


def test_one_choice_is_enough():
    plan = plan_of(ONE_CHOICE, objectives=("loss", "params"), limits=("params <= 40k",))
    study = study_of(plan)
    for _ in range(15):
        trial = study.ask(distributions(plan.space))
        study.tell(trial, [1 / trial.params["stem.out"], float(trial.params["stem.out"])])

    assert len(set(keys(study))) == 15


@pytest.mark.parametrize("objectives", [("top1", "params"), ("top1", "latency_ms"), ("params", "macs")])
def test_a_resumed_study_gets_the_same_proposals(objectives):
    plan = plan_of(objectives=objectives, seed=5)
    whole = run(plan, 18)
    half = run(plan, 12)
    again = study_of(plan)
    again.add_trials(half.get_trials())
    run(plan, 6, again)

    assert keys(again) == keys(whole)


def test_another_seed_gives_other_candidates():
    assert keys(run(plan_of(seed=5), 12)) != keys(run(plan_of(seed=6), 12))


def test_trials_stopped_early_are_used_and_not_proposed_again():
    plan = plan_of(objectives=("top1", "params"))

    def run_with_rungs(study: optuna.Study, n: int) -> optuna.Study:
        for _ in range(n):
            trial = study.ask(distributions(plan.space))
            metrics: dict[str, Any] = measured(plan, trial.params)
            metrics["rungs"] = {"75": {"top1": metrics["top1"] - 0.1}}
            if trial.number % 2:
                del metrics["top1"]
                trial.set_user_attr("metrics", metrics)
                study.tell(trial, state=TrialState.PRUNED)
            else:
                tell_metrics(plan, study, trial, metrics)
        return study

    study = run_with_rungs(study_of(plan), 20)
    states = [trial.state for trial in study.get_trials()]
    assert states.count(TrialState.PRUNED) == 10
    assert len(set(keys(study))) == 20
    again = study_of(plan)
    again.add_trials(run_with_rungs(study_of(plan), 13).get_trials())
    assert keys(run_with_rungs(again, 7)) == keys(study)


# ---- time and memory


def test_each_trial_is_read_once(monkeypatch):
    plan = plan_of(sampler="random", trials=200)
    read = []
    codes = SearchSpace.codes
    monkeypatch.setattr(SearchSpace, "codes", lambda self, point: read.append(1) or codes(self, point))
    study = study_of(plan)
    for n in range(200):
        study.tell(study.ask(distributions(plan.space)), [0.5, float(n)])

    assert len(read) < 3 * 200


def test_a_history_belongs_to_one_study():
    plan = plan_of(sampler="random")
    history = History(plan.space)
    one, other = run(plan, 12), run(replace(plan, search=replace(plan.search, seed=1)), 7)
    history.update(one)
    history.update(other)

    assert list(history.codes) == list(range(7))
    assert history.seen == {plan.space.codes(trial.params).tobytes() for trial in other.get_trials()}


def test_a_model_is_conditioned_on_a_bounded_number_of_scores():
    plan = replace(Plan.load("spaces/v3.yaml", objectives=("top1", "params", "macs"), sampler="surrogate"))
    study = study_of(plan)
    space = plan.space
    codes = space.sample(1200, 0)
    costs, known = space.costs(codes), distributions(space)
    for row, params, macs in zip(codes, costs.params, costs.macs, strict=True):
        values = [0.8 - 1e4 / params**0.8, float(params), float(macs)]
        study.add_trial(create_trial(params=space.point(row), distributions=known, values=values))
    sampler = study.sampler.inner
    assert isinstance(sampler, Surrogate)
    sampler._history.update(study)

    _, model = sampler._fit_models(study.get_trials()).models["top1"]
    assert len(model.points) == 1000
    assert study.ask(known).number == 1200


@pytest.mark.slow
def test_proposals_cover_the_range_of_budgets():
    plan = Plan.load("spaces/v3.yaml", objectives=("top1", "params", "macs"), sampler="surrogate")
    study = study_of(plan)
    for _ in range(40):
        trial = study.ask(distributions(plan.space))
        cost = plan.space.costs(plan.space.codes(trial.params)[None])
        size = float(cost.params[0]) * float(cost.macs[0])
        study.tell(trial, [1 - 0.9 * (size / 1e12) ** -0.1, float(cost.params[0]), float(cost.macs[0])])

    params = np.sort([trial.values[1] for trial in study.get_trials()[10:]])
    assert params[0] < 1.2e6
    assert params[-1] > 4.5e6
    assert statistics.median(params) < 4e6


# ---- choices without order


KINDS = """
name: kinds
image_size: 32
num_classes: 10
blocks:
  - {name: stem, block: conv, out: 16}
  - {name: a, block: {choose: [conv, mv2, uib, repvit, star]}, out: 16}
  - {name: b, block: {choose: [conv, mv2, uib, repvit, star]}, out: 16}
  - {name: c, block: {choose: [conv, mv2, uib, repvit, star]}, out: 16}
  - {name: d, block: {choose: [conv, mv2, uib, repvit, star]}, out: 16}
"""


def test_kinds_without_order_and_pairs_of_them_are_learnt():
    space = toy_space(KINDS)
    worth = np.array([0.0, 3.0, 0.5, 2.5, 1.0])  # of the kinds in their order: no line and no curve fits it
    codes = space.sample(400, 0)
    score = worth[codes].sum(1) + 2.0 * (codes[:, 0] == codes[:, 1])
    features, model = model_of(space, codes[:60], score[:60])

    found = -model.mean(features.of(codes[60:])) - 0.5
    assert np.abs(found - score[60:]).mean() < 0.1 * np.abs(score[:60].mean() - score[60:]).mean()


def test_a_choice_without_effect_has_no_effect_in_the_model():
    text = """
name: idle
image_size: 32
num_classes: 10
blocks:
  - {name: stem, block: conv, out: 16}
  - {name: a, block: {choose: [conv, mv2]}, out: 16, mv2: {expand: {choose: [2, 3, 4, 6]}}}
  - {name: b, block: {choose: [conv, mv2]}, out: 16}
"""
    space = toy_space(text)
    expand = next(i for i, choice in enumerate(space.choices) if choice.name.endswith("expand"))
    kind = next(i for i, choice in enumerate(space.choices) if choice.name == "a.block")
    codes = space.sample(50, 0)
    idle = codes[:, kind] == 0
    features = Features(space)
    points = features.of(codes)

    assert idle.any()
    assert len(np.unique(points.near[idle], axis=0)) == 2  # a point for each kind of the other row
    assert (points.additive[idle] ** 2).sum(1) == pytest.approx(2 / 3)  # of three choices, two have an effect
    others = [i for i in range(3) if i != expand]
    assert features.words == ("conv", "mv2")
    assert 2 * points.counts == pytest.approx(np.stack([(codes[:, others] == kind).sum(1) for kind in (0, 1)], 1))


def test_networks_that_learn_nothing_do_not_decide_the_scale():
    values = [0.70, 0.72, 0.74, 0.75, 0.76, 0.77, 0.78, 0.80, 0.01, 0.10]
    found = observe([finished({}, i, top1=value) for i, value in enumerate(values)], TOP1, ("top1",))
    plain = np.log(1 - np.array(values))

    assert found.y[:8] == pytest.approx(plain[:8])
    assert np.ptp(found.y) < 0.75 * np.ptp(plain)
    assert (np.argsort(found.y) == np.argsort(plain)).all()
    assert found.scale.cost(found.y) == pytest.approx(-np.array(values))


def test_the_first_proposals_have_every_kind_in_every_row():
    plan = plan_of(KINDS, objectives=("top1", "latency_ms"))
    study = study_of(plan)
    trials = [study.ask(distributions(plan.space)) for _ in range(8)]
    codes = np.array([plan.space.codes(trial.params) for trial in trials])

    assert all(len(set(column)) == 5 for column in codes.T)


def test_the_improvement_over_a_front_of_two_objectives_is_the_hypervolume_gained():
    rng = np.random.default_rng(0)
    front, costs = rng.random((20, 2)), 1.2 * rng.random((3, 30, 2))
    gain = ExpectedHypervolumeImprovement(front, np.zeros(2), np.ones(2), np.zeros(2, dtype=bool))
    reference = gain.reference

    def gained(cost: Array) -> float:
        both = np.vstack((front, np.minimum(cost, reference)))
        return float(moocore.hypervolume(both, ref=reference) - moocore.hypervolume(front, ref=reference))

    expected = np.mean([[gained(cost) for cost in level] for level in costs], axis=0)
    assert gain.of(costs) == pytest.approx(expected, abs=1e-12)
