"""How well scores rank published models: every statistic in closed form, and against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from mvsearch.arch import published as models
from mvsearch.proxy_eval import rank_correlation

SIZES = ("a", "a", "b", "b")


def repeated(values, weights):
    return np.repeat(values, np.asarray(weights, dtype=int))


# ---- the models


def test_the_reference_set_is_fifteen_models_in_groups_of_about_equal_cost():
    params = {}
    for reference in rank_correlation.published():
        cost = models.published(reference.name).cost()
        params.setdefault(reference.size, []).append(cost.params)

    assert {size: len(found) for size, found in params.items()} == {"XXS": 5, "XS": 5, "S": 5}
    assert max(params["XXS"]) < min(params["XS"]) < max(params["XS"]) < min(params["S"])


def test_the_ablation_is_table_5_in_its_order():
    assert [row.top1 for row in rank_correlation.ablation()] == [73.7, 74.8, 74.7, 75.3, 75.0]


def test_a_model_at_384_px_is_of_its_own_size():
    assert rank_correlation.size_of("mobilevitv3_0.75_384") == rank_correlation.size_of("mobilevitv3_xs") == "XS"
    assert rank_correlation.size_of("ablation_2_conv1x1") is None


# ---- statistics


def test_tau_with_ties_is_known_in_closed_form():
    # of six pairs x ties one and y ties one; four agree, none is turned round: 4 / sqrt(5 * 5)
    assert rank_correlation.tau([1, 1, 2, 3], [1, 2, 3, 3]) == pytest.approx(4 / 5)
    assert rank_correlation.tau([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert np.isnan(rank_correlation.tau([1, 1, 1], [1, 2, 3]))


@pytest.mark.parametrize("seed", range(5))
def test_tau_and_rho_are_scipys_with_ties_and_under_resampling(seed):
    random = np.random.default_rng(seed)
    x, y = random.integers(6, size=(2, 15))
    weights = random.multinomial(15, np.full(15, 1 / 15), size=3)

    assert rank_correlation.tau(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)
    assert rank_correlation.rho(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    drawn = [(repeated(x, row), repeated(y, row)) for row in weights]
    assert rank_correlation.tau(x, y, weights) == pytest.approx([stats.kendalltau(*pair).statistic for pair in drawn])
    assert rank_correlation.rho(x, y, weights) == pytest.approx([stats.spearmanr(*pair).statistic for pair in drawn])


def test_within_sees_only_the_pairs_of_a_group():
    assert rank_correlation.within([2, 1, 20, 10], [1, 2, 3, 4], SIZES) == -1
    assert rank_correlation.within([1, 2, 20, 10], [1, 2, 3, 4], SIZES) == 0
    assert rank_correlation.within([1, 2, 10, 10], [1, 2, 3, 4], SIZES) == 1 / 2  # a tie is no order
    assert np.isnan(rank_correlation.within([1, 2], [1, 2], ("a", "b")))


def test_regret_is_what_the_pick_of_each_group_loses():
    found = rank_correlation.regrets([2, 1, 10, 20], [70.0, 71.0, 78.0, 79.0], SIZES)
    assert list(found) == [1.0, 0.0]
    assert list(rank_correlation.regrets([1, 1, 10, 20], [70.0, 71.0, 78.0, 79.0], SIZES)) == [0.5, 0.0]


def test_a_group_of_one_model_has_no_regret_because_it_has_no_choice():
    found = rank_correlation.regrets([2, 1, 10, 20], [70.0, 71.0, 78.0, 79.0], SIZES, [[2, 0, 1, 1]])
    assert np.isnan(found[0, 0])
    assert found[0, 1] == 0


def test_seeds_are_compared_each_with_each():
    assert rank_correlation.between_seeds([[1, 2, 3], [1, 2, 3], [3, 2, 1]]) == pytest.approx((1 - 1 - 1) / 3)
    assert np.isnan(rank_correlation.between_seeds([[1, 2, 3]]))


# ---- how sure


def test_an_interval_holds_the_value_and_is_the_same_every_time():
    x, y = np.arange(15) + np.random.default_rng(1).normal(0, 4, 15), np.arange(15)
    found = rank_correlation.estimate(lambda weights: rank_correlation.tau(x, y, weights), 15)

    assert -1 <= found.low < found.value < found.high <= 1
    assert found == rank_correlation.estimate(lambda weights: rank_correlation.tau(x, y, weights), 15)


def test_where_all_pairs_agree_no_resample_can_doubt_it():
    found = rank_correlation.estimate(lambda weights: rank_correlation.tau(range(5), range(5), weights), 5)
    assert (found.value, found.low, found.high) == (1, 1, 1)


@pytest.mark.parametrize("x", [[1, 2, 3], [7, 7, 7, 7]])
def test_too_few_models_or_equal_scores_give_no_estimate(x):
    found = rank_correlation.estimate(lambda weights: rank_correlation.tau(x, range(len(x)), weights), len(x))
    assert found == rank_correlation.Estimate()


def all_scores(cost):
    references = (*rank_correlation.published(), *rank_correlation.ablation())
    return {r.name: [float(getattr(models.published(r.name).cost(), cost))] for r in references}


def test_size_alone_ranks_all_models_well_and_those_of_a_size_badly():
    found = rank_correlation.rank(all_scores("params"))

    assert found.models == 15
    assert found.tau.value > 0.8
    assert found.tau.high - found.tau.low > 0.3
    assert found.within.value == pytest.approx(1 / 3)
    assert found.ablation.value < 0
    assert found.seed_tau == rank_correlation.Estimate()


def test_the_printed_figures_themselves_rank_perfectly():
    found = rank_correlation.rank(
        {r.name: [r.top1, r.top1] for r in (*rank_correlation.published(), *rank_correlation.ablation())}
    )

    for estimate in (found.tau, found.rho, found.within, found.ablation, found.seed_tau):
        assert estimate.value == pytest.approx(1)
    assert found.regret.value == found.worst_regret.value == 0


def test_regret_is_told_as_the_mean_over_the_sizes_and_at_worst():
    found = rank_correlation.rank({r.name: [-r.top1] for r in rank_correlation.published()})
    tops = {size: [r.top1 for r in rank_correlation.published() if r.size == size] for size in ("XXS", "XS", "S")}
    lost = [max(values) - min(values) for values in tops.values()]

    assert found.regret.value == pytest.approx(sum(lost) / 3)
    assert found.worst_regret.value == pytest.approx(max(lost))
    assert max(lost) > min(lost)


def test_models_without_a_score_are_left_out_and_seeds_count_as_far_as_all_have_them():
    scores = {r.name: [r.top1, r.top1, -r.top1] for r in rank_correlation.published()}
    scores["mobilevitv1_s"] = [float("nan"), 1.0, 1.0]
    scores["mobilevitv1_xs"] = scores["mobilevitv1_xs"][:2]
    found = rank_correlation.rank(scores)

    assert (found.models, found.seeds) == (14, 2)
    assert found.tau.value == found.seed_tau.value == 1
    assert found.ablation == rank_correlation.Estimate()


def test_nothing_at_all_is_ranked_without_complaint():
    assert rank_correlation.rank({}).tau == rank_correlation.Estimate()


# ---- anything fitted


def line(x, y):
    return np.polyfit(x, y, 1)


def test_what_is_left_out_is_predicted_by_the_others():
    found = rank_correlation.leave_out(line, np.polyval, [0, 1, 2, 3, 4], [0, 1, 2, 3, 40], ("a", "a", "b", "b", "c"))

    assert found[4] == pytest.approx(4)  # the line of the others, whatever its own value
    assert found[:2] != pytest.approx([0, 1])


def test_a_rule_that_knows_only_its_families_is_found_out():
    references = rank_correlation.published()
    families = [r.series for r in references]
    codes = np.array([sorted(set(families)).index(family) for family in families])
    tops = np.array([r.top1 for r in references])

    def learnt(x, y):
        return {code: y[x == code].mean() for code in set(x)}

    def predicted(means, x):
        return [means.get(code, 0.0) for code in x]

    assert rank_correlation.tau(predicted(learnt(codes, tops), codes), tops) > 0
    assert not rank_correlation.leave_out(learnt, predicted, codes, tops, families).any()


def test_one_family_leaves_nothing_to_fit_to():
    with pytest.raises(ValueError, match="one group"):
        rank_correlation.leave_out(line, np.polyval, [0, 1], [0, 1], ("a", "a"))
