"""Networks that were trained in full: the table, its halves and noise, and how scores agree with it."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from mvsearch.arch.cost import Cost
from mvsearch.arch.published import published
from mvsearch.errors import DataError, PlanError
from mvsearch.proxies.train import Settings
from mvsearch.proxy_eval.agreement import agreement, chance, difference, partial_rho
from mvsearch.proxy_eval.benchmark import ProxyScores
from mvsearch.proxy_eval.comparison import Comparison, Score, scores_of
from mvsearch.proxy_eval.ground_truth import FIT, JUDGED, Network, TrainedNetwork, halve, load_ground_truth
from mvsearch.report.figures.proxy_scores import comparison_figure

NETWORKS = Path(__file__).parents[2] / "benchmarks" / "ground_truth" / "networks.yaml"
LINES = """network,group,origin,seed,epochs,top1
mobilevitv3_xxs,xxs,published,0,10,0.70
mobilevitv3_xxs,xxs,published,1,10,0.72
mobilevitv3_xxs_l2,xxs,published,0,10,0.73
mobilevitv3_xs,xs,published,0,10,0.76
mobilevitv3_xs_l2,xs,published,0,10,0.75
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(LINES, encoding="utf-8")
    return path


def trained(*tops, group="a", half=FIT):
    return [TrainedNetwork(Network(f"n{i}", group), half, tuple(np.atleast_1d(top))) for i, top in enumerate(tops)]


# ---- the table


def test_a_table_of_published_models_needs_no_other_file(table):
    truth = load_ground_truth(table)
    assert {each.name: each.mean for each in truth.networks} == pytest.approx(
        {"mobilevitv3_xxs": 0.71, "mobilevitv3_xxs_l2": 0.73, "mobilevitv3_xs": 0.76, "mobilevitv3_xs_l2": 0.75}
    )
    assert truth.architectures["mobilevitv3_xs"].key == published("mobilevitv3_xs").key
    assert truth.untrained == ()
    assert truth.incomplete == ("mobilevitv3_xxs_l2", "mobilevitv3_xs", "mobilevitv3_xs_l2")
    assert sorted(each.half for each in truth.networks) == [FIT, FIT, JUDGED, JUDGED]


def test_networks_without_a_training_are_counted(table):
    table.with_name("networks.yaml").write_text(NETWORKS.read_text("utf-8"), "utf-8")
    truth = load_ground_truth(table)
    assert len(truth.networks) == 4
    assert "xxs_random_0" in truth.untrained
    assert len(truth.untrained) == NETWORKS.read_text("utf-8").count("name:") - 4


def test_the_ground_truth_that_is_included_can_be_built_at_the_costs_of_its_groups():
    truth = load_ground_truth()
    assert truth.networks
    groups: dict[str, list[int]] = {}
    for each in truth.networks:
        groups.setdefault(each.network.group, []).append(truth.architectures[each.name].cost().params)
    assert all(max(params) < 1.2 * min(params) for params in groups.values())


@pytest.mark.parametrize(
    ("change", "words", "line"),
    [
        (("0.75", "75.0"), "share from 0 to 1", 6),
        (("0.75", "nan"), "share from 0 to 1", 6),
        (("0.75", "best"), "use numbers", 6),
        (("mobilevitv3_xxs,xxs,published,1", "mobilevitv3_xxs,xxs,published,0"), "seed 0 twice", 3),
        (("xs,published,0,10,0.76", "xs,published,0,20,0.76"), "20 epochs", 5),
        (("top1", "accuracy"), "top1", None),
    ],
)
def test_a_slip_in_the_table_names_its_line(table, change, words, line):
    table.write_text(LINES.replace(*change), "utf-8")
    with pytest.raises(DataError, match=words) as error:
        load_ground_truth(table)
    assert error.value.file == str(table)
    assert error.value.line == line


def test_a_network_that_is_not_known_is_refused(table):
    table.with_name("networks.yaml").write_text(NETWORKS.read_text("utf-8"), "utf-8")
    table.write_text(LINES.replace("mobilevitv3_xs_l2", "xxs_randm_0"), "utf-8")
    with pytest.raises(DataError, match="xxs_random_0"):
        load_ground_truth(table)
    with pytest.raises(PlanError, match="not a table"):
        load_ground_truth(table.with_name("nothing.csv"))


def test_a_network_that_nothing_describes_is_named_with_the_table(table):
    table.write_text("network,top1\nmobilevitv3_xxl,0.5\n", "utf-8")
    with pytest.raises(DataError, match="did you mean 'mobilevitv3_xxs'") as error:
        _ = load_ground_truth(table).architectures
    assert error.value.file == str(table)


# ---- halves and noise


def test_without_groups_the_halves_are_of_all_networks(table):
    table.write_text(
        "network,top1\nmobilevitv3_xxs,0.5\nmobilevitv3_xs,0.6\nmobilevitv3_s,0.7\nmobilevitv1_s,0.65\n", "utf-8"
    )
    assert sorted(each.half for each in load_ground_truth(table).networks) == [FIT, FIT, JUDGED, JUDGED]


def test_halves_are_even_in_each_group_and_stay_when_proposals_are_added():
    networks = [Network(f"{group}_{i}", group, "random") for group in "ab" for i in range(6)]
    halves = halve(networks)
    for group in "ab":
        assert [halves[f"{group}_{i}"] for i in range(6)].count(FIT) == 3
    more = halve([*(Network(f"a_new_{i}", "a", "proposed") for i in range(4)), *reversed(networks)])
    assert {name: more[name] for name in halves} == halves
    assert [more[f"a_new_{i}"] for i in range(4)].count(FIT) == 2


def test_without_noise_a_perfect_score_is_perfect_and_with_noise_it_is_not(table):
    assert load_ground_truth(table).ceiling.noise == pytest.approx(0.01 * 2**0.5)
    rng = np.random.default_rng(0)
    lines = ["network,group,seed,top1"]
    names = [f"mobilevitv3_{name}" for name in ("xxs", "xs", "s", "xxs_l2", "xs_l2", "s_l2")]
    ceilings = []
    for noise in (0.0, 0.015, 0.05):
        rows = [
            f"{n},all,{s},{0.5 + 0.02 * i + noise * rng.standard_normal()}" for i, n in enumerate(names) for s in (0, 1)
        ]
        table.write_text("\n".join([*lines, *rows]), "utf-8")
        ceilings.append(load_ground_truth(table).ceiling)
    assert (ceilings[0].tau, ceilings[0].within, ceilings[0].noise) == (1.0, 1.0, 0.0)
    assert 1 > ceilings[1].within > ceilings[2].within > 0
    assert ceilings[1].noise == pytest.approx(0.015, rel=0.5)


def test_one_training_of_each_network_says_nothing_of_noise(table):
    table.write_text("\n".join(line for line in LINES.splitlines() if ",1,10," not in line), "utf-8")
    assert load_ground_truth(table).ceiling is None


# ---- agreement


def costs(*pairs):
    return {f"n{i}": Cost(params, macs, macs) for i, (params, macs) in enumerate(pairs)}


def test_agreement_at_equal_cost_counts_the_pairs_of_a_group_alone():
    networks = [*trained(0.1, 0.2), *trained(0.5, 0.6, group="b")]
    networks[2:] = [TrainedNetwork(Network(f"n{i + 2}", "b"), FIT, n.top1) for i, n in enumerate(networks[2:])]
    scores = {"n0": 2.0, "n1": 1.0, "n2": 8.0, "n3": 9.0}  # one of the two pairs of a group is turned round
    found = agreement(scores, networks, costs((1, 1), (1, 1), (9, 9), (9, 9)))
    assert (found.networks, found.pairs) == (4, 2)
    assert found.within.value == 0
    assert found.tau.value == pytest.approx(4 / 6)
    assert found.beyond_size.value is None  # too few


def test_what_size_explains_is_not_counted_beyond_size():
    rng = np.random.default_rng(0)
    params, macs, skill = rng.uniform(1e6, 4e6, 30), rng.uniform(1e8, 4e8, 30), rng.standard_normal(30)
    networks = trained(*(0.5 + 0.1 * np.log(params / 1e6) + 0.02 * skill))
    known = costs(*zip(params, macs, strict=True))
    skilful = agreement({f"n{i}": value for i, value in enumerate(skill)}, networks, known)
    large = agreement({f"n{i}": value**0.5 for i, value in enumerate(params)}, networks, known)
    assert skilful.beyond_size.value > 0.5 > skilful.tau.value
    assert large.tau.value > 0.6
    assert large.beyond_size.value < 0.5
    gain = difference({f"n{i}": v for i, v in enumerate(params)}, {f"n{i}": v for i, v in enumerate(skill)}, networks)
    assert gain.tau.value == pytest.approx(large.tau.value - skilful.tau.value)


def test_partial_correlation_is_that_of_residuals():
    rng = np.random.default_rng(1)
    x, y, given = rng.standard_normal(20), rng.standard_normal(20), rng.standard_normal((20, 2))
    design = np.column_stack([np.ones(20), given])
    rests = [
        v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x.argsort().argsort(), y.argsort().argsort())
    ]
    assert float(partial_rho(x, y, given, np.ones(20))) == pytest.approx(np.corrcoef(*rests)[0, 1])


def test_random_scores_agree_by_chance_only():
    for found in chance(trained(*np.linspace(0.4, 0.6, 10))):
        assert found.value == pytest.approx(0, abs=0.03)
        assert -0.6 < found.low < -0.3 < 0.3 < found.high < 0.6


def test_means_are_over_the_seeds_that_all_networks_have():
    rows = {"a": [{"loss": 1.0}, {"loss": 3.0}], "b": [{"loss": 2.0}]}
    score = Score(ProxyScores("train", "loss", False, metrics=rows), "loss")
    assert score.means == {"a": -1.0, "b": -2.0}


def test_changed_settings_are_named_and_are_not_the_default():
    usual = asdict(Settings())
    results = ProxyScores("train", "loss", False, usual, {"a": [{"loss": 1.0, "top1": 0.5, "cpu_s": 3.0}]})
    scores = scores_of(results)
    assert [(score.words, score.is_default) for score in scores] == [("loss", True), ("top1", False)]
    (changed, _) = scores_of(replace(results, settings=usual | {"steps": 150}))
    assert (changed.words, changed.changes, changed.is_default) == ("loss, as set", {"steps": 150}, False)


def test_the_figure_says_what_its_error_bars_are(table):
    truth = load_ground_truth(table)

    def subtitle(*losses):
        rows = {each.name: [{"loss": loss} for loss in losses] for each in truth.networks}
        score = Score(ProxyScores("train", "loss", False, metrics=rows), "loss")
        compared = Comparison(truth, truth.architectures, (score,), "toy", len(losses), "cpu")
        return comparison_figure(compared).subtitle

    assert subtitle(1.0, 2.0) == f"{subtitle(1.0)}; bars are the standard deviation over seeds"


# ---- the command


@pytest.fixture
def run(mvsearch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ("--set", "naswot.image_size=32", "--set", "naswot.batch=4", "--seeds", "1")
    return lambda *args: mvsearch(
        "proxies", "--against", "own.csv", "--proxy", "naswot", "--data", "photos", *small, *args
    )


def test_the_command_compares_with_the_table_and_says_what_is_missing(run, table):
    some = ("--models", "mobilevitv3_xxs,mobilevitv3_xxs_l2,mobilevitv3_xs,mobilevitv3_xs_l2")
    found = run(*some, "--json").json
    assert [each["score"] for each in found["scores"]] == ["naswot", "params", "macs"]
    by_name = {each["score"]: each["agreement"]["all"] for each in found["scores"]}
    # XS before XXS, but XXS-L2 before XXS and XS before XS-L2: of the two pairs of equal cost one is right by size.
    assert by_name["params"]["tau"]["value"] == pytest.approx(4 / 6)
    assert by_name["params"]["within"]["value"] == 0
    assert found["ground_truth"]["ceiling"]["networks"] == 1
    assert found["scores"][0]["seconds"] > 0
    assert {each["name"]: each["half"] for each in found["networks"]}.keys() == {*some[1].split(",")}
    assert found["random"]["all"]["tau"]["value"] == pytest.approx(0, abs=0.05)

    done = run(*some, "--plot", "plot.html")
    words = " ".join(done.out.split())
    assert "With fewer than 2 trainings: 3" in words
    assert "The default score has no stored scores on these images" in words
    assert "naswot as set: image_size=32, batch=4." in words
    assert "judged half:" in words
    assert "v3-XS-L2" in Path("plot.html").read_text("utf-8")


def test_other_published_models_are_scored_for_their_order(run, table):
    found = run("--json").json
    assert len(found["scores"][0]["scores"]) == 15
    assert len(found["networks"]) == 4
    assert found["scores"][1]["published_within_size"]["value"] == pytest.approx(1 / 3)  # by parameters, of 30 pairs


def test_a_name_that_is_not_compared_is_one_sentence(run, table):
    done = run("--models", "mobilevitv3_xxl")
    assert done.code == 1
    assert "mobilevitv3_xxs" in done.err
    assert len(done.err.splitlines()) == 1
    assert json.dumps(done.out) == '""'
