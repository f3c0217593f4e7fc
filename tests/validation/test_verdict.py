"""A validation with made-up scores: the sentences, the document, the figure."""

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from mvsearch.report.figures.validation import validation_figure
from mvsearch.report.figures.validation_plot import plot_validation
from mvsearch.report.validation_table import validation_rows, validation_table
from mvsearch.validation.outcome import ValidatedNetwork, Validation
from mvsearch.validation.rounds import Stop
from mvsearch.validation.verdict import compare_costs, notes, verdict

CONDITIONS = {
    **{"name": "short_0", "recipe": "short", "epochs": 10, "image_size": 32, "data": "cifar10", "init": None},
    **{"train_images": 50_000, "test_images": 10_000, "classes": 10, "steps": 3900},
}
BASE = ValidatedNetwork("mobilevitv3_xxs", "b", {"params": 1_000_000, "macs": 400}, {0: 0.700, 1: 0.704, 2: 0.699})


def candidate(number: int, *scores: float, **other) -> ValidatedNetwork:
    metrics = {"params": 960_000, "macs": 440}
    by_seed = dict(enumerate(scores))
    return ValidatedNetwork(f"v3:{number}", f"k{number}", metrics, by_seed, number, ("mobilevitv3_xxs",), **other)


def validation(*networks: ValidatedNetwork) -> Validation:
    return Validation("v3", "top1", 3, (*networks, BASE), CONDITIONS, 0, 7200.0)


BETTER = candidate(17, 0.724, 0.729, 0.722)
EQUAL = candidate(18, 0.702, 0.703, 0.700)
WORSE = candidate(19, 0.651, 0.654, stop=Stop(2, "v3:17"))


def test_each_candidate_is_better_worse_or_neither():
    found = validation(BETTER, EQUAL, WORSE)

    assert [each.verdict for each in found.comparisons] == ["better", "no difference", "worse"]
    assert [each.difference.seeds for each in found.comparisons] == [3, 3, 2]
    assert found.comparisons[0].difference.mean == pytest.approx(0.024)


def test_the_verdict_names_networks_difference_interval_seeds_and_costs():
    sentence = verdict(validation(BETTER, EQUAL, WORSE))
    found = validation(BETTER, EQUAL, WORSE).comparisons[0].difference

    for part in ("v3:17", "better", "mobilevitv3_xxs", "2.4 points", "3 seeds", "4 % fewer param", "10 % more MACs"):
        assert part in sentence
    assert f"{100 * found.low:.1f} to {100 * found.high:.1f}" in sentence


def test_no_winner_is_said_first():
    assert verdict(validation(EQUAL, WORSE)).startswith("No candidate is better")
    assert "no difference" in verdict(validation(EQUAL))
    assert "2 seeds" in verdict(validation(WORSE))


XS = ValidatedNetwork("xs", "c", {"params": 950_000, "macs": 420}, {0: 0.720, 1: 0.724, 2: 0.719})


def against_both(number: int, *scores: float) -> ValidatedNetwork:
    return replace(candidate(number, *scores), against=("mobilevitv3_xxs", "xs"))


def test_the_verdict_names_every_baseline_and_the_candidate_whose_worst_comparison_is_best():
    found = validation(against_both(17, 0.724, 0.729, 0.719), WORSE, XS)
    sentence, gap = verdict(found), found.comparisons[1].difference

    assert sentence.startswith(
        "No candidate is better than every one of its baselines beyond noise. v3:17 is better than mob"
    )
    interval = f"{100 * gap.low:.1f} to {100 * gap.high:.1f}"
    assert sentence.endswith(f"; no difference beyond noise to xs (+0.3 points, {interval}).")
    worse = verdict(validation(against_both(17, 0.710, 0.714, 0.709), XS))
    assert worse.startswith("v3:17 is better than mobilevitv3_xxs by 1.0 points")
    assert "; worse than xs (-1.0 points, -1.0 to -1.0)" in worse
    far = replace(candidate(18, 0.712, 0.716, 0.711), against=("mobilevitv3_xxs",))
    assert "v3:18 is better" in verdict(validation(against_both(17, 0.725, 0.729, 0.724), far, XS))
    one = replace(
        validation(), networks=tuple(replace(n, scores={0: n.scores[0]}) for n in (against_both(17, 0.7), XS, BASE))
    )
    assert "; -2.0 points against xs." in verdict(one)


def test_networks_that_learned_nothing_get_no_verdict():
    base = replace(BASE, scores={0: 0.1, 1: 0.1, 2: 0.104})
    guessed = replace(validation(), networks=(candidate(17, 0.1, 0.1, 0.1), base))
    guessed = replace(guessed, conditions=CONDITIONS | {"epochs": 1, "steps": 12}, open=2)

    assert verdict(guessed) == (
        "v3:17 and mobilevitv3_xxs learned nothing, the top-1 (test) is about what guessing among 10 classes gives "
        "(10.0 %); more steps are needed, e.g. --epochs 25. The validation is not finished: 2 trainings are open."
    )
    assert notes(guessed) == []
    some = validation(BETTER, candidate(18, 0.1, 0.1, 0.1))
    assert "v3:17 is better than mobilevitv3_xxs" in verdict(some)
    assert notes(some)[-1].startswith("v3:18 learned nothing, the top-1 (test)")


def test_the_notes_say_what_the_intervals_say():
    assert notes(validation(BETTER))[0].startswith("The interval says what other seeds would change")
    assert notes(validation(BETTER, EQUAL))[1].startswith("The intervals say what other seeds would change")


def test_one_seed_has_no_interval():
    base = replace(BASE, scores={0: 0.7})
    found = Validation("v3", "top1", 1, (candidate(17, 0.72), base), CONDITIONS, 0, 10.0)

    assert found.noise is None
    assert found.comparisons[0].verdict == "one seed"
    assert "--seeds" in verdict(found)
    assert notes(found) == []


def test_an_unfinished_validation_and_a_failed_training_are_said():
    failed = candidate(20, failure="the training loss became nan at step 3")
    found = replace(validation(BETTER, failed), open=4)

    assert "4 trainings" in verdict(found)
    assert any("nan at step 3" in note for note in notes(found))
    assert verdict(validation(candidate(17)))


def test_costs_that_one_network_lacks_are_left_out():
    fast = replace(BETTER, metrics={**BETTER.metrics, "latency_ms": 8.0})

    assert "latency" not in compare_costs(fast, BASE)
    assert "20 % less latency" in compare_costs(fast, replace(BASE, metrics={**BASE.metrics, "latency_ms": 10.0}))
    assert "about equal parameters" in compare_costs(replace(BETTER, metrics={"params": 1_000_001}), BASE)


def test_the_document_reads_back():
    found = validation(BETTER, EQUAL, WORSE)

    assert Validation.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_renamed_study_renames_its_candidates():
    found = validation(BETTER, WORSE).of_study("other")

    assert [network.name for network in found.networks] == ["other:17", "other:19", "mobilevitv3_xxs"]
    assert found.networks[1].stop == Stop(2, "other:17")


def test_the_table_has_a_row_for_each_comparison():
    second = ValidatedNetwork("mobilevitv3_xs", "c", {"params": 2_000_000, "macs": 900}, {0: 0.75, 1: 0.75, 2: 0.751})
    both = replace(BETTER, against=("mobilevitv3_xxs", "mobilevitv3_xs"))
    found = Validation("v3", "top1", 3, (both, BASE, second), CONDITIONS, 0, 10.0)
    heads, rows = validation_rows(found)

    assert [row[0][0] for row in rows] == ["v3:17", "v3:17", "mobilevitv3_xxs", "mobilevitv3_xs"]
    assert [row[heads.index("outcome")][0] for row in rows] == ["better", "worse", "baseline", "baseline"]
    assert [row[heads.index("above")][0] for row in rows] == ["mobilevitv3_xxs", "mobilevitv3_xs", "", ""]


def test_the_table_fits_100_columns_and_keeps_the_numbers_of_trials():
    trials = [replace(BETTER, name=f"my_cifar10_beat_mobilevitv3_xxs:{n}", number=n, key=str(n)) for n in (17, 44)]
    both = [replace(trial, against=("mobilevitv3_xxs", "mobilevitv3_xs")) for trial in trials]
    second = ValidatedNetwork("mobilevitv3_xs", "c", {"params": 2_000_000, "macs": 900}, {0: 0.75, 1: 0.75, 2: 0.751})
    screen = Console(width=100, file=StringIO())
    screen.print(validation_table(Validation("v3", "top1", 3, (*both, BASE, second), CONDITIONS, 0, 10.0)))
    lines = screen.file.getvalue().splitlines()

    assert max(map(len, lines)) <= 100
    assert [line.split()[0][-3:] for line in lines if line.startswith(" my")] == [":17", ":17", ":44", ":44"]
    assert len([line for line in lines if "outcome" in line]) == 1


@pytest.mark.parametrize("suffix", ["png", "html"])
def test_the_figure_shows_seeds_means_and_intervals(tmp_path, suffix):
    found = validation(BETTER, EQUAL, WORSE)
    figure = validation_figure(found)
    plot_validation(figure, tmp_path / f"validation.{suffix}")

    assert [dots.name for dots in figure.dots] == ["trial 17", "trial 18", "trial 19", "v3-XXS"]
    assert figure.dots[0].scores == pytest.approx((72.4, 72.9, 72.2))
    assert [bar.verdict for bar in figure.bars] == ["better", "no difference", "worse"]
    assert figure.bars[0].difference == pytest.approx(2.4)
    assert figure.bar_limits[0] < figure.bars[2].low
    assert (tmp_path / f"validation.{suffix}").stat().st_size > 1000


@pytest.mark.filterwarnings("error")
def test_a_figure_of_the_first_training_has_no_bars(tmp_path):
    figure = validation_figure(validation(candidate(17)))
    plot_validation(figure, tmp_path / "validation.png")

    assert [dots.name for dots in figure.dots] == ["v3-XXS"]
    assert figure.bars == ()
