"""The programs of benchmarks/ground_truth that compute scores and write pages, on small made-up tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvsearch.proxy_eval.ground_truth import load_ground_truth

FOLDER = Path(__file__).parents[2] / "benchmarks" / "ground_truth"
SIZES = ("xxs", "xs", "s", "xxs_l2", "xs_l2", "s_l2")
NAMES = tuple(f"mobilevitv3_{size}" for size in SIZES)
TOP1 = dict(zip(NAMES, (0.70, 0.75, 0.80, 0.71, 0.76, 0.79), strict=True))


@pytest.fixture
def scores(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import scores

    return scores


@pytest.fixture
def sections(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import _sections

    return _sections


@pytest.fixture
def tables(tmp_path, scores, monkeypatch):
    """A ground truth, and short trainings whose held-out error ranks it and whose training loss does the opposite."""
    lines = ["network,group,seed,top1"]
    lines += [f"{name},{name.split('_')[1]},0,{top1}" for name, top1 in TOP1.items()]
    (tmp_path / "own.csv").write_text("\n".join(lines), "utf-8")
    recorded = [
        ",".join(
            (
                *("network", "steps", "seed", "channel_weights", "cpu_seconds", "evaluation_cpu_seconds"),
                *("evaluated_after", "top1", "loss", "train_loss_by_5_steps"),
            )
        )
    ]
    for name, top1 in TOP1.items():
        for seed in (0, 1):
            recorded.append(
                f"{name},10,{seed},1000000,5,1,5 10,{top1 - 0.3} {top1},{2 - top1} {1 - top1},{top1} {top1}"
            )
    (tmp_path / "short_trainings.csv").write_text("\n".join(recorded), "utf-8")
    monkeypatch.setattr(scores, "FOLDER", tmp_path)
    return load_ground_truth(tmp_path / "own.csv")


def test_scores_are_computed_from_what_was_recorded(scores, tables):
    single, double = scores.schedules(tables)
    assert (single.steps, single.seeds, double.seeds, len(double.networks())) == (10, 1, 2, 6)
    rows = {(row.words, row.coefficient): row for row in double.rows()}
    error, loss = rows["held-out error (1 - top-1)", ""], rows["mean training loss", ""]
    assert error.scores == pytest.approx({name: top1 - 1 for name, top1 in TOP1.items()})
    assert loss.scores == pytest.approx({name: -top1 for name, top1 in TOP1.items()})
    assert (error.seconds, loss.seconds) == (12, 10)
    assert double.between_seeds(error).value == 1
    assert single.between_seeds(error).value is None
    table = scores.table_of(double)
    assert table.splitlines()[2].startswith("| held-out")
    assert "| 1.00 [1.00, 1.00] |" in table.splitlines()[2]


def test_a_rung_is_compared_with_the_end(scores, tables):
    (line,) = scores.rungs_of(scores.schedules(tables)[1])
    assert line[:2] == ["5 of 10 steps, 2 seeds", "6"]
    assert line[4] == "1.00 [1.00, 1.00]"


def test_a_coefficient_is_fitted_to_the_fit_half_alone(scores, tables):
    schedule = scores.schedules(tables)[0]
    assert len(schedule.networks("fit")) == 3
    assert schedule._best(scores.GRID, lambda power: {}) is None  # three networks are too few
    more = replace(
        tables, networks=tuple(replace(n, half="fit" if i < 4 else "judged") for i, n in enumerate(tables.networks))
    )

    def score(power):
        """Ranks the fit half at 0.5 and the other half at 0.9."""
        return {
            n.name: np.array([n.mean * (1 if power == (0.5 if n.half == "fit" else 0.9) else -1)])
            for n in more.networks
        }

    assert replace(schedule, truth=more)._best(scores.GRID, score) == 0.5


def test_a_section_is_replaced_and_the_rest_stays(sections, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- results -->\nold\n<!-- end of results -->\nb\n", "utf-8")
    for _ in range(2):
        sections.write_section(page, "results", "new")
        assert page.read_text("utf-8") == "a\n<!-- results -->\nnew\n<!-- end of results -->\nb\n"
    with pytest.raises(ValueError, match="no section"):
        sections.write_section(page, "others", "new")


def test_a_power_of_size_is_judged_between_groups_and_at_equal_cost(scores, tables):
    import powers

    schedule = scores.schedules(tables)[1]
    truth = dict(TOP1)
    size = {name: float(cost.params) for name, cost in schedule.costs.items()}
    turned = {name: -value for name, value in size.items()}
    assert powers.between_groups(schedule, size) == 1
    assert powers.between_groups(schedule, turned) == -1
    assert powers.agreement(schedule, truth, truth) == (1, 1)
    assert powers.agreement(schedule, size, turned) == (-1, -1)
    assert powers.of_schedule(schedule, "loss", 0.5) == pytest.approx({name: top1 - 1 for name, top1 in TOP1.items()})
