"""Latencies from few measurements: how near they are, and how often the interval contains them."""

import numpy as np
import pytest

from mvsearch.arch.published import published
from mvsearch.profiling.latency_features import NetworkFeatures, choice_features, cost_features
from mvsearch.profiling.prediction import LEAST_MEASURED, KnownDevice, LatencyModel, LinearModel, rank_correlation


def networks(count, features=6, seed=0):
    return NetworkFeatures.of_choices(np.random.default_rng(seed).normal(size=(count, features)))


def times(features, weights, *, noise=0.0, seed=1):
    """Milliseconds whose logarithm is linear in the choices."""
    return np.exp(2 + features.choices @ weights + noise * np.random.default_rng(seed).normal(size=len(features)))


LAW = np.array([0.3, 0.2, 0.0, -0.1, 0.05, 0.0])


def test_nine_in_ten_are_within_ten_percent_and_in_their_interval_where_latency_follows_the_features():
    features = networks(220)
    times_ms = times(features, LAW, noise=0.02)
    predicted = LatencyModel.fit(features[:20], times_ms[:20]).predict(features[20:])
    assert (np.abs(predicted.ms / times_ms[20:] - 1) < 0.1).mean() >= 0.9
    assert 0.8 <= ((predicted.low_ms <= times_ms[20:]) & (times_ms[20:] <= predicted.high_ms)).mean() <= 1
    assert np.median(predicted.half_width) < 0.1


def test_measurements_that_were_disturbed_hardly_change_predictions():
    features = networks(240)
    times_ms = times(features, LAW, noise=0.02)
    disturbed = times_ms[:40] * np.where(np.arange(40) % 10 == 3, 1.8, 1)
    predicted = LatencyModel.fit(features[:40], disturbed).predict(features[40:])
    assert (np.abs(predicted.ms / times_ms[40:] - 1) < 0.1).mean() >= 0.9


def test_the_interval_is_wide_where_the_features_explain_nothing():
    features = networks(40)
    times_ms = np.exp(np.random.default_rng(3).normal(size=40))
    assert LatencyModel.fit(features[:20], times_ms[:20]).predict(features[20:]).half_width.min() > 0.5


def test_the_interval_is_wider_far_from_what_was_measured():
    features = networks(20)
    model = LatencyModel.fit(features, times(features, LAW, noise=0.02))
    near, far = model.predict(NetworkFeatures.of_choices(np.stack([np.zeros(6), np.full(6, 9.0)]))).half_width
    assert far > 2 * near


@pytest.mark.parametrize("useful", [True, False])
def test_a_known_device_helps_where_it_orders_networks_alike(useful):
    features, weights = networks(400, 60), np.random.default_rng(7).normal(size=60) / 8
    times_ms = times(features, weights)
    scale = 1.3 if useful else 0.0
    other = np.random.default_rng(8).normal(size=60) / 8
    law = scale * weights + (1 - useful) * other
    known = LinearModel.fit(KnownDevice(features[200:], 3 * times(features[200:], law, noise=0.05)))
    errors = [
        np.abs(np.log(LatencyModel.fit(features[:15], times_ms[:15], devices).predict(features[15:200]).ms
                      / times_ms[15:200])).mean()
        for devices in ((known,), ())
    ]  # fmt: skip
    assert errors[0] < (0.3 if useful else 1.2) * errors[1]


def test_degenerate_measurements_are_predicted_without_an_error():
    features = NetworkFeatures.of_choices(np.ones((LEAST_MEASURED, 3)))
    equal = LatencyModel.fit(features, np.full(LEAST_MEASURED, 7.0)).predict(features[:1])
    assert equal.ms[0] == pytest.approx(7)
    assert 6.3 < equal.low_ms[0] < 7 < equal.high_ms[0] < 7.8
    twice = NetworkFeatures.join([networks(3)] * 2)
    predicted = LatencyModel.fit(twice, times(twice, LAW, noise=0.3)).predict(networks(2, seed=5))
    assert np.isfinite([predicted.ms, predicted.low_ms, predicted.high_ms]).all()


def test_features_are_the_exact_costs_of_rows_and_the_choices():
    archs = [published("mobilevitv3_xxs"), published("mobilevitv3_xs")]
    choices = choice_features([{"out": 16, "act": "relu"}, {}], {"out": (8, 16), "act": ("silu", "relu")})
    features = cost_features(archs, [*(stage.name for stage in archs[0].stages()), "missing"], choices)
    assert np.exp(features.work) == pytest.approx([arch.cost().macs for arch in archs])
    rows = len(archs[0].stages()) + 1
    assert features.costs[:, :rows].sum(1) == pytest.approx([1, 1])
    assert features.costs[:, rows - 1].tolist() == [0, 0]
    assert features.choices.tolist() == [[16, 1], [12, 0.5]]


def test_the_rank_correlation_counts_ties_in_the_middle():
    assert rank_correlation(np.array([1.0, 2, 3, 4]), np.array([1.0, 4, 9, 16])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 1, 2]), np.array([3.0, 1, 2])) == pytest.approx(0)
    assert rank_correlation(np.ones(3), np.arange(3.0)) == 0
