"""The recommended members of a front, and what a score adds beyond size."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvsearch.metrics.pareto import Objective, front
from mvsearch.metrics.record import Record
from mvsearch.report.beyond_size import FEWEST, gain_beyond_size
from mvsearch.report.recommendations import figure_marks, recommend

LOSS, TOP1 = Objective("loss", False), Objective("top1", True)
COSTS = (Objective("params", False), Objective("macs", False))


def record(number: int, params: float, macs: float, published: str | None = None, **scores: float) -> Record:
    metrics = {"params": params, "macs": macs, **scores}
    return Record(number, f"key{number}", "complete", None, metrics, {}, {}, published, 1.0)


def sized(gains: list[float], *, name: str = "loss") -> list[Record]:
    """Records along a line of the score over both costs; each is better than the line by its gain."""
    draw = np.random.default_rng(0)
    rows = []
    for number, gain in enumerate(gains):
        params, macs = np.exp(draw.normal([14, 20], 0.5)).tolist()
        line = 3 * (params / 1e6) ** -0.3 * (macs / 1e9) ** -0.1
        score = line - gain if name == "loss" else 0.5 + 0.1 * math.log(params / 1e6) + gain
        rows.append(record(number, params, macs, **{name: score}))
    return rows


@pytest.mark.parametrize("score", [LOSS, TOP1], ids=lambda objective: objective.name)
def test_the_gain_is_the_distance_from_the_line_in_the_direction_that_is_better(score):
    on_the_line = gain_beyond_size(sized([0.0] * 12, name=score.name), score)
    assert max(map(abs, on_the_line.gains.values())) < 1e-9
    assert on_the_line.r2 == pytest.approx(1)

    one_is_better = gain_beyond_size(sized([0.0] * 40 + [0.1], name=score.name), score)
    assert max(one_is_better.gains, key=one_is_better.gains.get) == 40
    assert one_is_better.gains[40] == pytest.approx(0.1, abs=0.02)


def test_a_gain_is_shown_with_the_noise_of_its_score():
    once, *rows = sized([0.0] * 12 + [0.1])
    *rows, again = (replace(row, metrics=row.metrics | {"loss_sem": 0.0123}) for row in rows)
    gains = gain_beyond_size([once, *rows, again], LOSS)

    assert gains.text(again) == f"{gains.gains[12]:+.3f} ± 0.012"
    assert gains.text(once) == f"{gains.gains[0]:+.3f}"


def test_a_line_through_few_trials_or_over_a_cost_says_nothing():
    assert gain_beyond_size(sized([0.0] * (FEWEST - 1)), LOSS) is None
    assert gain_beyond_size(sized([0.0] * 20), COSTS[0]) is None


ROWS = [
    record(0, 1.0e6, 3e8, "mobilevitv3_xxs", loss=1.00),
    record(1, 0.9e6, 3e8, loss=1.10),  # costs no more than XXS, and is worse
    record(2, 0.8e6, 2e8, loss=1.20),
    record(3, 2.0e6, 5e8, loss=0.60),
    record(4, 4.0e6, 9e8, "mobilevitv3_xs", loss=0.55),
    record(5, 8.0e6, 2e9, loss=0.50),
    record(6, 9.0e6, 3e9, loss=0.80),  # dominated
]


def test_each_published_model_the_knee_and_three_sizes_have_a_candidate():
    objectives = (LOSS, *COSTS)
    found = {each.record.number: each.labels for each in recommend(front(ROWS, objectives), objectives)}
    assert found == {1: ("v3-XXS", "S"), 3: ("v3-XS", "knee", "M"), 5: ("L",)}
    assert figure_marks(recommend(front(ROWS, objectives), objectives))[5] == "L"


@pytest.mark.parametrize("objectives", [(LOSS,), COSTS], ids=["score", "costs"])
def test_without_a_score_and_a_cost_nothing_is_recommended(objectives):
    assert recommend(front(ROWS, objectives), objectives) == ()


def test_the_study_in_git_has_its_recommendations_first_and_the_whole_front_on_demand(mvsearch):
    kept = Path(__file__).parents[2] / "studies/reference/v3/study.jsonl"
    assert mvsearch("studies", "import", str(kept)).code == 0
    document = json.loads(mvsearch("front", "v3", "--json").out)
    recommended = {each["number"] for each in document["recommendations"]}
    assert recommended < {trial["number"] for trial in document["trials"]}
    assert {label for each in document["recommendations"] for label in each["labels"]} >= {"S", "M", "L", "knee"}
    assert 0.9 < document["size_line"]["r2"] < 1

    short, whole = mvsearch("front", "v3").out, mvsearch("front", "v3", "--all").out
    assert len(whole.splitlines()) > len(short.splitlines()) > len(recommended)
    assert mvsearch("front", "v3", "--plot", "gain.svg", "--y", "gain").code == 0
    assert "beyond size" in Path("gain.svg").read_text(encoding="utf-8")
    assert mvsearch("front", "v3", "--objective", "params", "--plot", "no.svg", "--y", "gain").code == 1


@pytest.mark.parametrize(("members", "knees"), [(2, 0), (3, 1)])
def test_a_front_of_one_or_two_candidates_has_no_knee_and_no_sizes(members, knees):
    records = [record(n, 1e6 * 2**n, 3e8 * 2**n, loss=2.0 - 0.1 * n) for n in range(members)]
    labels = [label for each in recommend(records, [LOSS, *COSTS]) for label in each.labels]
    assert labels.count("knee") == knees
    assert len(set(labels) & {"S", "M", "L"}) == 3 * knees
