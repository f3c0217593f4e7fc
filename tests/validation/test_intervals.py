"""Differences, their intervals and early stopping, on drawn scores whose truth is known."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from mvsearch.validation.comparison import difference, pooled_noise
from mvsearch.validation.rounds import Stop, schedule

ERROR = 0.05


def drawn(truth, rounds, rng, *, noise=0.3, shared=0.5):
    """Scores of every network: its truth, what a seed adds to all, and noise."""
    seeds = rng.normal(0, shared, rounds)
    return {
        name: {seed: mean + seeds[seed] + rng.normal(0, noise) for seed in range(rounds)}
        for name, mean in truth.items()
    }


def test_two_networks_have_the_paired_t_interval():
    scores = drawn({"a": 1.0, "b": 0.0}, 4, np.random.default_rng(0))
    one, other = (list(scores[name].values()) for name in "ab")
    expected = ttest_rel(one, other).confidence_interval(0.95)

    found = difference(scores, "a", "b", pooled_noise(scores), error=ERROR)

    assert found.mean == pytest.approx(np.mean(one) - np.mean(other))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_single_seed_has_no_noise_and_no_interval():
    scores = {"a": {0: 0.6}, "b": {0: 0.5}, "c": {0: 0.4}}
    noise = pooled_noise(scores)

    assert noise is None
    assert difference(scores, "a", "b", noise, error=ERROR).low is None


def test_two_equal_gaps_in_shares_of_few_images_are_no_certainty():
    rng, missed = np.random.default_rng(0), 0
    for _ in range(2000):
        right = rng.binomial(50, rng.normal(0.8, 0.01, (2, 2))) / 50
        scores = {name: dict(enumerate(values)) for name, values in zip("ab", right.tolist(), strict=True)}
        found = difference(scores, "a", "b", pooled_noise(scores, images=50), error=ERROR)
        missed += not found.low <= 0 <= found.high

    assert missed / 2000 < ERROR


def test_a_network_that_stopped_is_compared_on_the_seeds_that_both_have():
    scores = {"a": {0: 0.5, 1: 0.6}, "b": {0: 0.4, 1: 0.5, 2: 0.9, 3: 0.9}}
    found = difference(scores, "a", "b", pooled_noise(scores), error=ERROR)

    assert (found.seeds, found.mean) == (2, pytest.approx(0.1))


def test_the_noise_needs_neither_equal_means_nor_all_scores():
    scores = drawn({"a": 3.0, "b": 0.0, "c": -2.0}, 2000, np.random.default_rng(1))
    scores["c"] = {seed: scores["c"][seed] for seed in range(50)}
    noise = pooled_noise({name: dict(list(by_seed.items())[:300]) for name, by_seed in scores.items()})

    assert noise.deviation == pytest.approx(0.3, rel=0.1)
    assert noise.freedom == 300 + 50 - 2


def test_the_first_two_rounds_are_trained_before_anyone_stops():
    start = schedule({}, {"a": ["x"], "b": ["x"]}, 4)
    clear = {"a": {0: 0.9, 1: 0.9}, "b": {0: 0.1, 1: 0.101}, "x": {0: 0.5, 1: 0.5}}

    assert set(start.next) == {(name, seed) for name in "abx" for seed in (0, 1)}
    assert len(start.later) == 6
    assert schedule({**clear, "a": {0: 0.9}}, {"a": ["x"], "b": ["x"]}, 4).next == (("a", 1),)
    assert schedule(clear, {"a": ["x"], "b": ["x"]}, 4).stops == {"b": Stop(2, "a")}
    assert schedule(clear, {"a": ["x"], "b": ["x"]}, 4).next == (("a", 2), ("x", 2))
    assert not schedule(clear, {"a": ["x"], "b": ["x"]}, 2).stops


def test_a_validation_ends_when_all_candidates_have_stopped():
    clear = {"a": {0: 0.1, 1: 0.1}, "b": {0: 0.1, 1: 0.101}, "x": {0: 0.5, 1: 0.5}}
    found = schedule(clear, {"a": ["x"], "b": ["x"]}, 5)

    assert set(found.stops) == {"a", "b"}
    assert not found.next
    assert not found.later


def test_a_baseline_that_is_added_later_leaves_its_own_trainings_only():
    finished = {name: {0: 0.5, 1: 0.5, 2: 0.5} for name in "ax"}

    state = schedule(finished, {"a": ["x", "y"]}, 3)

    assert (state.next, state.later) == ((("y", 0), ("y", 1)), (("y", 2),))


def test_candidates_with_other_baselines_do_not_stop_each_other():
    clear = {"a": {0: 0.9, 1: 0.9}, "b": {0: 0.1, 1: 0.101}, "x": {0: 0.9, 1: 0.9}, "y": {0: 0.1, 1: 0.1}}

    assert not schedule(clear, {"a": ["x"], "b": ["y"]}, 5).stops


def test_a_result_after_its_stop_does_not_count():
    scores = {"a": dict.fromkeys(range(4), 0.9), "b": {0: 0.1, 1: 0.101, 2: 0.9}, "x": dict.fromkeys(range(4), 0.5)}
    found = schedule(scores, {"a": ["x"], "b": ["x"]}, 4)

    assert found.used["b"] == {0: 0.1, 1: 0.101}
    assert not found.next


@pytest.mark.parametrize(
    ("truth", "most_stopped", "most_trained"),
    [
        ({"a": 0.0, "b": 0.0, "c": 0.0, "x": 0.0}, 0.05, 1.0),
        ({"a": 2.0, "b": 1.0, "c": -1.0, "x": 0.0}, 0.01, 0.85),
    ],
    ids=["equal", "spread"],
)
def test_the_best_seldom_stops_and_the_intervals_cover(truth, most_stopped, most_trained):
    rng, runs, rounds = np.random.default_rng(2), 300, 5
    against = {name: ["x"] for name in "abc"}
    stopped = covered = trained = 0
    for _ in range(runs):
        found = schedule(drawn(truth, rounds, rng), against, rounds)
        noise = pooled_noise(found.used)
        each = {name: difference(found.used, name, "x", noise, error=ERROR / 3) for name in "abc"}
        covered += all(each[name].low <= truth[name] - truth["x"] <= each[name].high for name in "abc")
        stopped += "a" in found.stops
        trained += sum(map(len, found.used.values())) / (4 * rounds)

    assert stopped / runs <= most_stopped
    assert covered / runs >= 0.93
    assert trained / runs <= most_trained
