"""How reliable a study's proxy is: Kendall's tau over the published models."""

from dataclasses import replace

import pytest
from report_records import LOSS, TOP1, measured

from mvsearch.arch.published import published
from mvsearch.metrics.pareto import Objective
from mvsearch.proxy_eval.families import family_evidence
from mvsearch.report.proxy_reliability import families_line, proxy_reliability
from mvsearch.study.resolve import find_architecture
from mvsearch.utils.text import join_words

MODELS = ("mobilevitv3_xxs", "mobilevitv3_xs", "mobilevitv1_s", "mobilevitv3_s")
"""In the order of their printed Top-1."""


def test_it_is_kendalls_tau_over_the_published_models():
    records = [measured(i, name, top1) for i, (name, top1) in enumerate(zip(MODELS, (0.5, 0.7, 0.6, 0.8), strict=True))]
    reliability = proxy_reliability([*records, measured(9, None, 0.1), measured(10, "ablation_2_conv1x1", 0.1)], [TOP1])

    assert reliability.tau == pytest.approx(4 / 6)  # five pairs agree, one does not
    assert reliability.low < reliability.tau < reliability.high == 1
    assert [row[0] for row in reliability.models] == list(MODELS)
    assert reliability == proxy_reliability([*records, measured(9, None, 0.9)], [TOP1])


def test_a_network_at_another_image_size_is_not_another_network():
    one, same = ([measured(0, name, 0.7)] for name in ("mobilevitv3_0.5", "mobilevitv3_0.5_384"))
    checked = {"mobilevitv3_0.5": {"top1": 0.6}, "mobilevitv3_xxs": {"top1": 0.5}}
    assert proxy_reliability(one, [TOP1], checked).models == proxy_reliability(same, [TOP1], checked).models
    assert len(proxy_reliability(same, [TOP1], checked).models) == 2


def test_the_number_of_parameters_is_the_baseline_on_the_same_models():
    scores = [(name, published(name).cost().params) for name in MODELS]
    same = proxy_reliability([measured(i, name, params / 1e7) for i, (name, params) in enumerate(scores)], [TOP1])
    worse = proxy_reliability([measured(i, name, 1 - params / 1e7) for i, (name, params) in enumerate(scores)], [TOP1])

    assert [row[3] for row in same.models] == [params for _, params in scores]
    assert same.baseline == same.tau == worse.baseline == 1  # these four are printed in the order of their size
    assert worse.tau == -1


def test_for_a_loss_less_counts_as_better():
    records = [replace(measured(i, name, 0), metrics={"loss": 4.0 - i}) for i, name in enumerate(MODELS)]

    assert proxy_reliability(records, [LOSS]).tau == 1


@pytest.mark.parametrize("scores", [(0.5, 0.6, 0.7), (0.5, 0.5, 0.5, 0.5), ()])
def test_it_is_not_measured_with_too_few_or_equal_scores(scores):
    records = [measured(i, name, top1) for i, (name, top1) in enumerate(zip(MODELS, scores, strict=False))]

    assert proxy_reliability(records, [TOP1]).tau is None


def test_networks_for_another_task_are_not_compared_with_imagenet():
    architecture = find_architecture("mobilevitv3_xxs+deeplabv3").to_dict()
    record = replace(measured(0, None, 0), metrics={"loss": 1.0}, architecture=architecture)
    assert proxy_reliability([record], [LOSS]).score is None


def test_a_search_for_costs_alone_has_no_proxy():
    assert proxy_reliability([measured(0, "mobilevitv3_s", 0.5)], [Objective.named("params")]).score is None


def test_the_line_on_families_has_recorded_correlations_and_what_differs_from_the_study():
    proxy = {"name": "train", "steps": 75, "seeds": 2, "image_size": 32, "power": 0.5}
    evidence = family_evidence("scaled_loss", proxy, "fashion_mnist")

    line = families_line(evidence)
    assert evidence.ranking.across_families.words in line
    assert evidence.params.across_families.words in line
    assert "27 published models" in line
    assert "(296 pairs)" in line
    assert not evidence.unlike or join_words(evidence.unlike) in line
