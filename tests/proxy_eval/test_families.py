"""Pairs within and across families of published models, and the recorded scores of these models."""

import pytest

from mvsearch.proxy_eval import families
from mvsearch.proxy_eval.families import Recorded, Training, family_models, rank_families, recorded_scores
from mvsearch.space.shipped import find_space

TOP1 = {model.name: model.top1 for model in family_models()}
FAMILIES = {model.name: model.family for model in family_models()}


def test_the_models_are_of_seven_families_and_only_repvit_was_trained_with_a_teacher():
    assert len(FAMILIES) == 27
    assert len(set(FAMILIES.values())) == 7
    assert {model.family for model in family_models() if model.distilled} == {"repvit"}


@pytest.mark.parametrize(
    ("kinds", "count"), [({"mobilevit"}, 15), ({"uib"}, 17), ({"star", "shsa"}, 15 + 4 + 3), ({"uib", "repvit"}, 20)]
)
def test_a_score_is_compared_on_families_whose_blocks_a_space_has(kinds, count):
    names = families.models_to_check(kinds)
    assert len(names) == count

    scores = {name: TOP1[name] for name in names}
    evidence = families.own_evidence("loss", scores, kinds)
    assert (evidence.own, evidence.ranking.models, evidence.params.models) == (True, count, count)
    assert evidence.ranking.across_families.value == 1.0
    assert families.own_evidence("loss", dict(list(scores.items())[: count // 2]), kinds) is None


def test_imagenet_itself_orders_all_pairs():
    ranking = rank_families(TOP1)

    assert ranking.pairs == {
        "all": 27 * 26 // 2,
        "within_size": 43,
        "within_family": 3 + 3 + 36 + 1 + 3 + 3 + 6,
        "across_families": 351 - 55,
        "across_plain": 351 - 55 - 3 * 24,
    }
    estimates = (ranking.all, ranking.within_size, ranking.within_family, ranking.across_families, ranking.across_plain)
    assert {estimate.value for estimate in estimates} == {1.0}


def test_a_score_that_holds_within_families_alone_says_nothing_across_them():
    names = sorted(set(FAMILIES.values()))
    best_last = {name: 100 * names.index(family) + TOP1[name] for name, family in FAMILIES.items()}

    ranking = rank_families(best_last)
    assert ranking.within_family.value == 1.0
    assert ranking.across_families.value == pytest.approx(
        -rank_families(
            {name: -100 * names.index(family) + TOP1[name] for name, family in FAMILIES.items()}
        ).across_families.value
    )
    assert ranking.all.value < 0.5


def test_models_without_a_finite_score_are_left_out():
    scores = TOP1 | {"repvit_m0_9": float("nan"), "starnet_s1": float("inf")}
    del scores["shvit_s1"]

    ranking = rank_families(scores)
    assert ranking.models == 24
    assert ranking.all.value == 1.0


def test_the_order_of_fewer_than_six_pairs_is_not_stated():
    names = ("mobilevitv3_xxs", "mobilevitv2_0.5", "mobilenetv4_conv_s", "repvit_m0_9", "shvit_s1", "starnet_s1")

    ranking = rank_families({name: TOP1[name] for name in names})
    assert (ranking.pairs["within_size"], ranking.within_size.value) == (1, None)
    assert (ranking.pairs["across_families"], ranking.across_families.value) == (15, 1.0)


def test_every_line_of_the_table_is_of_a_model_once():
    lines = [(row.network, row.data, row.steps, row.seed) for row in families.recorded()]

    assert len(lines) == len(set(lines))
    assert {name for name, *_ in lines} == set(FAMILIES)


def test_recorded_losses_are_means_over_seeds_divided_by_a_power_of_size(monkeypatch):
    rows = [
        Recorded("photos", 10, seed, "starnet_s1", {"channel_weights": 4e6, "loss": loss, "top1": 0.5})
        for seed, loss in enumerate((1.0, 3.0, 100.0))
    ]
    monkeypatch.setattr(families, "recorded", lambda: (*rows, Recorded("photos", None, 0, "starnet_s1", {"snip": 1.0})))

    assert recorded_scores(Training("photos", 10, 2), "loss", 0.5) == {"starnet_s1": -2.0 / 2}
    assert recorded_scores(Training("photos", 10, 2), "top1") == {"starnet_s1": 0.5}


_TRAINED = {"scaled_loss": ("train_loss", 0.5), "loss": ("loss", 0.0)}


def test_the_space_of_several_families_states_the_recorded_correlations():
    text = find_space("mixed").read_text("utf-8")
    for score, estimates in (("scaled_loss", ("across_families", "within_family")), ("loss", ("across_families",))):
        ranking = rank_families(recorded_scores(Training("cifar10", 75, 1), *_TRAINED[score]))
        for estimate in estimates:
            assert f"{getattr(ranking, estimate).value:.2f}" in text


def test_evidence_names_what_differs_from_a_study(monkeypatch):
    rows = [
        Recorded(
            "photos", steps, 0, name, {"channel_weights": 1e6, "train_loss": 100 - top1, "loss": top1, "top1": top1}
        )
        for name, top1 in TOP1.items()
        for steps in (10, 1000)
    ]
    monkeypatch.setattr(families, "recorded", lambda: tuple(rows))
    proxy = {"name": "train", "steps": 20, "seeds": 2, "image_size": 32, "power": 0.2, "batch": 16}

    evidence = families.family_evidence("scaled_loss", proxy, "photos", one_size=False)
    assert evidence.training == Training("photos", 10, 1)
    assert evidence.ranking.across_families.value == 1.0
    assert families.family_evidence("loss", proxy, "photos").ranking.all.value == -1.0
    assert {"10 steps", "1 seed", "batch 64", "32 px for all"} == set(evidence.unlike)


def test_there_is_no_evidence_for_a_score_that_was_not_recorded():
    assert families.family_evidence("unheard_of", {"name": "unheard_of"}, "photos") is None
    assert families.family_evidence("naswot", {"name": "naswot"}, "photos").unlike
