"""Studies beside each other: fronts small enough to know every number by hand, in real databases."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvsearch.errors import PlanError, StudyError
from mvsearch.metrics.pareto import Objective
from mvsearch.metrics.record import Record
from mvsearch.report.comparison_text import comparison_sentences, trade_offs
from mvsearch.report.figures.comparison import comparison_figure
from mvsearch.report.figures.comparison_plot import plot_comparison
from mvsearch.study.comparison import Comparison, Pair, Stretch, compare
from mvsearch.study.reader import open_study
from mvsearch.study.storage.store import Store

PAIR = ("top1", "params")
A = [(0.70, 1_000_000), (0.80, 3_000_000)]
B = [(0.75, 2_000_000), (0.90, 4_000_000)]
ROW = {"name": "stem", "block": "conv", "out": 16, "stride": 2}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def study(
    name: str,
    points: list[tuple[float, int]],
    *,
    folder: str = "studies",
    objectives: tuple[str, ...] = PAIR,
    seed: int = 0,
    trials: int | None = None,
    limits: tuple[str, ...] = (),
    proxy: dict | None = None,
    device: str | None = None,
    cached: bool = False,
    failed: int = 0,
    cpu: str = "one",
    published: dict[int, str] | None = None,
    settings: dict | None = None,
    search: dict | None = None,
    file: dict | None = None,
    space: str = "abc",
    images: str = "toy 123",
    **metrics: float,
) -> str:
    """A study whose trials reached these top-1 and parameters, a second each, after `failed` that reached nothing.

    `published` names trials that are published models.
    """
    path = Path(folder, name)
    path.mkdir(parents=True)
    store = Store(f"sqlite:///{path / 'study.db'}", create=True)
    total = len(points) + failed
    facts = {
        "objectives": list(objectives),
        "space": space,
        "settings": {
            "image_size": 64,
            "proxy": {"name": "train", "steps": 300, "seed": 0} | (proxy or {}),
            "data": {"source": "toy"},
        }
        | (settings or {}),
        "settings_key": "def",
        "published": {},
        "search": {"seed": seed, "limits": list(limits), "trials": trials or total, "workers": 1} | (search or {}),
        "document": {"name": "toy"} | (file or {}),
        "data": images,
        **({"device": device} if device else {}),
    }
    store.add_study(name, facts)
    rows = [*[("failed", "no memory", {})] * failed]
    rows += [("complete", None, {"top1": top1, "params": n, "macs": 100 * n, **metrics}) for top1, n in points]
    name_of = published or {}
    for number, (state, reason, values) in enumerate(rows):
        key = f"{name}{number:03d}".rjust(12, "0")[-12:]
        record = Record(number, key, state, reason, values, {}, {"blocks": [ROW]}, name_of.get(number), 1.0, cached)
        store.save_record(name, record, settings="s", machine={"cpu": cpu})
    return name


def compared(*names: str, objectives: tuple[str, ...] = (), allow_mismatch: bool = False) -> Comparison:
    sought = [Objective.named(name) for name in objectives]
    return compare({name: open_study(name) for name in names}, sought, allow_mismatch=allow_mismatch)


def assert_line(line: tuple[tuple[float, float], ...], expected: list[tuple[float, float]]) -> None:
    np.testing.assert_allclose(line, expected, rtol=1e-12)


# ---- numbers


def test_two_fronts_have_one_reference_point_and_the_numbers_that_a_pencil_finds():
    found = compared(study("a", A), study("b", B))
    box = (1 - 0.68) * 4.3e6

    assert found.reference == pytest.approx({"top1": 0.68, "params": 4_300_000})
    assert [side.hypervolume for side in found.sides] == pytest.approx(
        [(0.02 * 3.3e6 + 0.10 * 1.3e6) / box, (0.07 * 2.3e6 + 0.15 * 0.3e6) / box]
    )
    assert found.spans == {"top1": (0.70, 0.90), "params": (1_000_000, 4_000_000)}
    # b lacks a third of the parameters' span below a's first; a lacks half of top-1's below b's last.
    assert found.pairs == [
        Pair("a", "b", 0.0, pytest.approx(0.5)),
        Pair("b", "a", 0.0, pytest.approx(1 / 3)),
    ]
    assert found.warnings == found.notes == ()


def test_what_one_covers_of_the_other_is_told_both_ways():
    study("a", [(0.80, 1_000_000), (0.90, 2_000_000)])
    study("b", [(0.80, 1_000_000), (0.85, 2_000_000), (0.95, 3_000_000)])
    found = compared("a", "b")

    assert [pair.coverage for pair in found.pairs] == pytest.approx([2 / 3, 1 / 2])
    assert "a equals or dominates 67 % of the front of b, b 50 % of the other." in comparison_sentences(found)


def test_who_is_ahead_is_told_cost_by_cost():
    found = compared(study("a", A), study("b", B))

    assert found.stretches("params", "top1") == [
        Stretch(1e6, 2e6, ("a",), math.inf),
        Stretch(2e6, 3e6, ("b",), pytest.approx(0.05)),
        Stretch(3e6, 4e6, ("a",), pytest.approx(0.05)),
        Stretch(4e6, math.inf, ("b",), pytest.approx(0.10)),
    ]
    assert comparison_sentences(found)[1] == (
        "top-1 (held-out) for params: only a below 2.00 M, b is ahead (by up to 5 points) from 2.00 M to 3.00 M, "
        "a is ahead (by up to 5 points) from 3.00 M to 4.00 M, b is ahead (by up to 10 points) from 4.00 M on."
    )


def test_of_two_scores_that_are_both_to_be_high_neither_is_a_cost():
    for name, points in (("a", A), ("b", B)):
        study(name, points, objectives=("top1", "top1_int8"), top1_int8=0.5)
    found = compared("a", "b")
    assert trade_offs(found) == []
    assert not any("ahead" in sentence for sentence in comparison_sentences(found))


def test_equals_are_level_and_a_lead_that_goes_on_is_one_stretch():
    study("a", [(0.70, 1_000_000), (0.80, 2_000_000), (0.90, 3_000_000)])
    study("b", [(0.70, 1_000_000), (0.75, 2_500_000)])

    assert compared("a", "b").stretches("params", "top1") == [
        Stretch(1e6, 2e6, ("a", "b"), 0.0),
        Stretch(2e6, math.inf, ("a",), pytest.approx(0.15)),
    ]
    assert compared("a", "b", objectives=("params",)).pairs[0].coverage == 1.0


def test_many_changes_of_place_are_told_as_shares_of_the_range():
    steps = range(1, 12)
    study("a", [(0.5 + n / 100, n * 1_000_000) for n in steps if n % 2])
    study("b", [(0.5 + n / 100, n * 1_000_000) for n in steps if not n % 2])

    assert comparison_sentences(compared("a", "b"))[1] == (
        "top-1 (held-out) for params: the leader changes 10 times; of the range from 1.00 M to 11.0 M a ahead over "
        "50 %, b ahead over 50 %; beyond it a is ahead (by up to 1 points)."
    )


def test_hypervolume_grows_with_evaluations_and_seconds_failed_ones_included():
    found = compared(study("a", A, failed=2), study("b", B))
    run = found.runs[0]

    assert run.hypervolumes[:2] == (0.0, 0.0)
    assert run.hypervolumes[3] == run.hypervolume > run.hypervolumes[2] > 0
    assert run.seconds == (1.0, 2.0, 3.0, 4.0)


# ---- repeats


def test_a_study_that_went_on_for_longer_is_also_compared_as_it_stood_then():
    found = compared(study("a", [*A, (0.95, 1_000_000)]), study("b", B))
    (run, _), (after,) = found.runs, [said for said in comparison_sentences(found) if "each" in said]

    assert run.within(evaluations=2) == run.within(seconds=2.5) == run.hypervolumes[1] < run.hypervolume
    assert run.within(seconds=0.5) == 0
    then = f"b {found.runs[1].hypervolume:.4f}, a {run.hypervolumes[1]:.4f}"
    assert after == f"hypervolume after 2 evaluations each: {then}; after 2.00 s each: {then}."
    assert comparison_sentences(found)[0].startswith("a has the largest hypervolume")
    assert not any("each" in said for said in comparison_sentences(compared(study("c", A), study("d", B))))


def repeated() -> Comparison:
    study("a-0", A, seed=0)
    study("a-1", [(0.72, 1_000_000), (0.80, 2_000_000)], seed=1, proxy={"seed": 1})
    study("a-2", [(0.60, 1_000_000), (0.85, 3_500_000)], seed=2)
    study("b", [(0.70, 2_000_000), (0.90, 4_000_000)], trials=9)
    return compared("a-0", "a-1", "a-2", "b")


def test_studies_of_one_plan_with_other_seeds_are_one_side_and_its_numbers_are_medians():
    found = repeated()
    side, other = found.sides

    assert (side.name, [run.name for run in side.runs]) == ("a (3 seeds)", ["a-0", "a-1", "a-2"])
    assert other.name == "b"
    assert side.hypervolume == sorted(run.hypervolume for run in side.runs)[1]
    assert found.repeats == (side,)
    # a-0 and a-1 equal or dominate the first of the two of b, a-2 none; b dominates none.
    assert [pair.coverage for pair in found.pairs] == [0.5, 0.0]
    assert found.notes == ("b is not finished: 2 of 9 trials so far",)
    assert any(line.startswith("a (3 seeds): median hypervolume") for line in comparison_sentences(found))


def test_the_surfaces_of_repeats_are_what_one_half_and_all_of_them_reach():
    side = repeated().sides[0]
    pair = [Objective.named(name) for name in PAIR]

    def reached(times: int) -> list[tuple[float, float]]:
        return sorted((row["params"], row["top1"]) for row in side.surface(pair, times))

    assert side.half == 2
    assert reached(1) == [(1e6, 0.72), (2e6, 0.80), (3.5e6, 0.85)]
    assert reached(2) == [(1e6, 0.70), (3e6, 0.80)]
    assert reached(3) == [(1e6, 0.60), (3.5e6, 0.80)]


def test_repeats_of_a_single_plan_are_compared_with_each_other():
    study("a-0", A, seed=0)
    study("a-1", B, seed=1)
    found = compared("a-0", "a-1")

    assert [side.name for side in found.sides] == ["a-0", "a-1"]
    assert [side.name for side in found.repeats] == ["a (2 seeds)"]


def test_repeats_without_a_common_prefix_are_named_in_full():
    study("quick", A, seed=0), study("twin", B, seed=1), study("other", B, limits=("params <= 9M",))
    assert compared("quick", "twin").repeats[0].name == "quick + twin"
    assert [side.name for side in compared("quick", "twin", "other").sides] == ["quick + twin", "other"]


def test_studies_with_the_same_seeds_are_no_repeats():
    study("a", A, seed=0), study("a-copy", A, seed=0), study("a-2", B, seed=0, proxy={"seed": 1})
    found = compared("a", "a-copy")
    assert [side.name for side in found.sides] == ["a", "a-copy"]
    assert not found.repeats
    assert compared("a", "a-2").repeats[0].name == "a (2 proxy seeds)"


def test_sides_of_like_names_stay_apart():
    for number, trials in enumerate((2, 2, 5, 5)):
        study(f"a-{number}", A, seed=number, trials=trials)

    assert [side.name for side in compared("a-0", "a-1", "a-2", "a-3").sides] == ["a-0 + a-1", "a-2 + a-3"]


# ---- what may be compared


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"proxy": {"steps": 60}}, "proxy.steps is 300 in a, 60 in b"),
        ({"proxy": {"name": "naswot"}}, "proxy.name is train in a, naswot in b"),
        ({"objectives": ("top1", "params", "latency_ms"), "device": "cpu: two"}, None),
    ],
)
def test_scores_of_other_proxies_are_refused_unless_told_to_and_costs_never_are(other, says):
    study("a", A)
    study("b", B, **other)

    if says:
        with pytest.raises(StudyError, match=f"{says}.*--allow-mismatch"):
            compared("a", "b")
    assert compared("a", "b", allow_mismatch=True).warnings == ((says,) if says else ())
    assert compared("a", "b", objectives=("params", "macs")).warnings == ()


def test_latencies_of_other_devices_are_refused_unless_told_to():
    timed = {"objectives": ("latency_ms", "params"), "latency_ms": 5.0}
    study("a", A, device="cpu: one", **timed)
    study("b", B, device="cpu: two", **timed)

    with pytest.raises(StudyError, match=r"the device is cpu: one in a, cpu: two in b"):
        compared("a", "b")
    found = compared("a", "b", allow_mismatch=True)
    assert comparison_figure(found).warnings == ("not comparable: the device is cpu: one in a, cpu: two in b",)


def test_a_study_with_predicted_latencies_is_compared_with_one_that_measured_all_of_them():
    timed = {"objectives": ("top1", "latency_ms"), "latency_ms": 5.0, "device": "cpu: one"}
    study("a", A, **timed, settings={"latency": {"backend": "openvino", "predict": 20}}, latency_predicted=True)
    study("b", B, **timed, settings={"latency": {"backend": "openvino"}})
    study("c", B, **timed, settings={"latency": {"backend": "torch_cpu"}})

    assert "2 of 2 latencies of a are predicted, 1 on its front" in compared("a", "b").notes
    assert not [note for note in compared("a", "b", objectives=("top1", "params")).notes if "are predicted" in note]
    with pytest.raises(StudyError, match=r"latency.backend is openvino in a, torch_cpu in c"):
        compared("a", "c")


def test_another_seed_of_the_proxy_is_another_throw_and_no_other_measure():
    assert compared(study("a", A), study("b", B, proxy={"seed": 7})).warnings == ()


def test_studies_that_differ_in_seed_and_trials_are_said_to_be_no_repeats():
    study("a", A, seed=0), study("b", B, seed=1, trials=7), study("c", B, seed=1)
    assert "trials is 2 in a, 7 in b and seed is 0 in a, 1 in b, so these are no repeats of one plan" in (
        compared("a", "b").notes
    )
    assert not [note for note in compared("a", "c").notes if "repeats" in note]


def test_what_is_no_obstacle_is_noted():
    study("a", A, limits=("params <= 6M",), cached=True)
    study("b", B, cpu="two", objectives=("top1", "params", "macs"))

    assert compared("a", "b").notes == (
        "compared on top1, params",
        "objectives is top1, params in a, top1, params, macs in b",
        "the limit is params <= 6M in a, none in b",
        "the processor is one in a, two in b",
        "2 of 2 trials of a were in the cache and took no time",
    )


@pytest.mark.parametrize(
    ("other", "note"),
    [
        ({"settings": {"image_size": 32}}, "image_size is 64 in a, 32 in b"),
        ({"proxy": {"steps": 60}}, "proxy.steps is 300 in a, 60 in b"),
        ({"settings": {"data": {"source": "pets"}}}, "data.source is toy in a, pets in b"),
        ({"images": "toy 123, 20 held out"}, "the images is toy 123 in a, toy 123, 20 held out in b"),
        ({"search": {"sampler": "random"}}, "sampler is surrogate in a, random in b"),
        ({"search": {"confirm": True}}, "confirm is False in a, True in b"),
        ({"file": {"proxy": {"rungs": [60], "keep": 0.3}}}, "proxy.rungs is None in a, [60] in b"),
        ({"space": "def"}, "the space is toy abc in a, toy def in b"),
    ],
)
def test_whatever_differs_is_noted_even_where_the_compared_numbers_do_not_depend_on_it(other, note):
    study("a", A)
    study("b", B, **other)

    assert note in compared("a", "b", objectives=("params", "macs")).notes


def test_spaces_of_other_names_and_the_same_choices_do_not_differ():
    study("a", A)
    study("b", B, file={"name": "b"})
    study("c", B, file={"name": "b"}, space="def")

    assert not [note for note in compared("a", "b").notes if "space" in note]
    assert "the space is toy in a, b in c" in compared("a", "c").notes


def test_a_space_without_a_name_has_that_of_its_study():
    study("a", A, file={"name": None})
    study("b", B, file={"name": None}, space="def")

    assert "the space is a in a, b in b" in compared("a", "b").notes


@pytest.mark.parametrize(("trials", "advice"), [(None, "choose wider limits"), (9, "let it continue")])
def test_only_a_study_that_can_continue_is_advised_to(mvsearch, trials, advice):
    study("dear", A, limits=("params <= 10k",), trials=trials)

    assert advice in refused(mvsearch, "front", "dear")


def test_trials_beyond_the_limits_are_counted():
    study("a", A, limits=("params <= 2M",))
    study("b", B)

    assert "1 of 2 complete trials of a are beyond its limits and left out" in compared("a", "b").notes


def test_trials_beyond_the_limits_are_evaluations_that_add_nothing():
    beyond = [(0.95, 9_000_000)] * 2
    found = compared(study("a", [*beyond, *A], limits=("params <= 5M",)), study("b", B))
    one, two = found.runs[0].hypervolumes[2:]

    assert found.runs[0].hypervolumes[:2] == (0, 0)
    assert 0 < one < two
    assert found.runs[0].seconds == (1, 2, 3, 4)
    assert found.runs[0].within(evaluations=2) == found.runs[0].within(seconds=2) == 0


def test_studies_with_other_rungs_are_no_repeats():
    study("a-0", A, seed=0)
    study("a-1", A, seed=1, file={"proxy": {"rungs": [60]}})
    study("a-2", A, seed=2, file={"proxy": {"rungs": [60], "keep": 0.5}})
    study("a-3", A, seed=3, file={"proxy": {"rungs": [60], "keep": 0.25}})

    assert [[run.name for run in side.runs] for side in compared("a-0", "a-1", "a-2", "a-3").sides] == [
        ["a-0"],
        ["a-1", "a-2"],
        ["a-3"],
    ]


@pytest.mark.parametrize(("seed", "name"), [(0, None), (1, "s (2 seeds)")])
def test_studies_of_one_name_are_told_apart_by_their_databases(mvsearch, seed, name):
    for folder, number in (("one", 0), ("two", seed)):
        study("s", A, folder=folder, seed=number)
    found = mvsearch("compare", "./one/s", "./two/s", "--json").json

    assert [run["study"] for run in found["studies"]] == ["./one/s", "./two/s"]
    assert [side["name"] for side in found["repeats"]] == ([name] if name else [])


def test_studies_that_share_no_objective_are_told_what_each_seeks():
    study("a", A, objectives=("top1",))
    study("b", B, objectives=("params",))

    with pytest.raises(StudyError, match=r"\(a: top1; b: params\).*--objective"):
        compared("a", "b")


# ---- the picture


def test_the_overlay_leads_each_front_on_to_the_edges_of_the_plot():
    found = comparison_figure(compared(study("a", A), study("b", B)))
    (panel,) = found.fronts
    (_, right), (bottom, _) = panel.x_limits, panel.y_limits

    assert found.title == "a and b"
    assert found.remarks == ("reference point: top-1 (held-out) 68.0 %, params 4.30 M",)
    assert (panel.x_label, panel.y_label) == ("parameters (M)", "proxy top-1 on held-out images (%)")
    assert_line(panel.series[0].line, [(1, bottom), (1, 70), (3, 70), (3, 80), (right, 80)])
    assert panel.series[0].band == ()
    assert_line([(dot.x, dot.y) for dot in panel.series[1].dots], [(2, 75), (4, 90)])
    assert panel.series[1].dots[0].lines[0] == "b, trial 0: 00000000b000"
    assert "stem: conv 16, stride 2" in panel.series[1].dots[0].lines


def test_the_overlay_of_repeats_has_a_band_from_worst_to_best():
    found = comparison_figure(repeated())
    (panel,) = found.fronts
    (_, right), (bottom, _) = panel.x_limits, panel.y_limits
    best = [(1, bottom), (1, 72), (2, 72), (2, 80), (3.5, 80), (3.5, 85), (right, 85)]
    worst = [(1, bottom), (1, 60), (3.5, 60), (3.5, 80), (right, 80)]

    assert_line(panel.series[0].band, [*best, *reversed(worst)])
    assert found.remarks[1].startswith("line: reached by at least half of the seeds")


def test_published_models_are_shown_within_the_axes_and_once_for_each_side():
    names = {0: "mobilevitv3_xxs", 2: "mobilevitv3_xs", 3: "mobilevitv3_s"}
    dominated, beyond = (0.72, 3_500_000), (0.91, 9_000_000)
    for seed, first in enumerate((0.70, 0.72)):
        points = [(first, 1_000_000), (0.95, 4_000_000), dominated, beyond]
        study(f"a-{seed}", points, seed=seed, published=names)
    study("b", [(0.71, 1_000_000), (0.80, 3_000_000)], proxy={"seed": 1}, limits=("params<=9M",), published=names)
    (panel,) = comparison_figure(compared("a-0", "a-1", "b")).fronts

    assert [(mark.label, mark.x, mark.y) for mark in panel.published] == [
        ("v3-XXS", 1, pytest.approx(71)),  # the median of a, and what b found
        ("v3-XS", 3.5, pytest.approx(72)),
    ]
    assert panel.named == panel.published
    assert replace(panel, published=panel.published * 9).named == ()


def test_the_curves_are_steps_to_the_hypervolume_of_each_study():
    found = compared(study("a", A, failed=1), study("b", B))
    one, two = found.runs[0].hypervolumes[1:]

    for panel, label in zip(comparison_figure(found).curves, ("evaluations", "seconds of evaluation"), strict=True):
        assert panel.x_label == label
        assert_line(panel.series[0].line, [(0, 0), (1, 0), (1, 0), (2, 0), (2, one), (3, one), (3, two)])
        assert panel.x_limits[1] > 3
        assert panel.y_limits[1] > max(run.hypervolume for run in found.runs)


def test_the_curve_of_repeats_goes_as_far_as_all_of_them():
    study("a-0", A, seed=0, trials=9)
    study("a-1", [*A, (0.9, 4_000_000)], seed=1, trials=9)
    study("b", B)
    evaluations, _ = comparison_figure(compared("a-0", "a-1", "b")).curves

    assert evaluations.series[0].line[-1][0] == 2
    assert evaluations.series[0].band


@pytest.mark.parametrize(
    ("chosen", "labels"),
    [
        ({}, [("parameters (M)", "proxy top-1 on held-out images (%)")]),
        ({"x": "macs"}, [("MACs (M)", "proxy top-1 on held-out images (%)")]),
        ({"x": "macs", "y": "params"}, [("MACs (M)", "parameters (M)")]),
        (
            {"all_pairs": True},
            [
                ("parameters (M)", "proxy top-1 on held-out images (%)"),
                ("MACs (M)", "proxy top-1 on held-out images (%)"),
            ],
        ),
    ],
)
def test_one_pair_of_metrics_is_drawn_or_every_one(chosen, labels):
    three = (*PAIR, "macs")
    found = compared(study("a", A, objectives=three), study("b", B, objectives=three))

    assert [(panel.x_label, panel.y_label) for panel in comparison_figure(found, **chosen).fronts] == labels


def test_a_metric_that_a_front_lacks_is_not_drawn():
    found = compared(study("a", A), study("b", B))

    with pytest.raises(StudyError, match="number for latency_ms; draw macs, params, top1"):
        comparison_figure(found, x="latency_ms")
    with pytest.raises(PlanError, match="'parms'"):
        comparison_figure(found, x="parms")


def test_a_single_objective_is_compared_and_drawn_against_what_else_is_known():
    found = compared(study("a", A), study("b", B), objectives=("params",))

    assert [side.hypervolume for side in found.sides] == pytest.approx([1 - 1 / 4.3, 1 - 2 / 4.3])
    assert (comparison_figure(found).fronts[0].x_label, comparison_figure(found).fronts[0].y_label) == (
        "parameters (M)",
        "proxy top-1 on held-out images (%)",
    )


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.html"])
def test_every_kind_of_file_is_drawn_the_same_each_time_with_its_warning(name):
    study("b", B, proxy={"steps": 60})
    for number in range(2):
        study(f"a-{number}", A, seed=number, published={0: "mobilevitv3_xxs"})
    found = comparison_figure(compared("a-0", "a-1", "b", allow_mismatch=True))
    for folder in ("one", "two"):
        Path(folder).mkdir()
        plot_comparison(found, Path(folder, name))

    content = Path("one", name).read_bytes()
    assert content == Path("two", name).read_bytes()
    if name.endswith("html"):
        assert b"proxy.steps is 300 in a-0 and a-1, 60 in b" in content
        assert b'"text":"v3-XXS"' in content
        assert b"<script src" not in content
        assert content.count(b"Plotly.newPlot(") == 2
    if name.endswith("png"):
        assert Image.open(Path("one", name)).width == 1040


def test_names_of_studies_are_not_read_as_markup():
    found = comparison_figure(compared(study("costs $5$", A), study("<i>b</i> $\\frac$", B)))
    for name in ("a.svg", "a.html"):
        plot_comparison(found, Path(name))

    assert "<!-- costs $5$ -->" in Path("a.svg").read_text(encoding="utf-8")  # matplotlib's comment beside the letters
    names = re.findall('"name":("[^"]*")', Path("a.html").read_text(encoding="utf-8"))
    assert {"costs $5$", "&lt;i&gt;b&lt;/i&gt; $\\frac$"} <= {json.loads(name) for name in names}


# ---- the command


def test_the_command_tells_numbers_words_and_meaning(mvsearch):
    code, out, _ = mvsearch("compare", study("a", A), study("b", B))

    assert code == 0
    words = " ".join(out.split())
    assert "b has the largest hypervolume, 0.1497 against 0.1424 of a." in words
    assert "only a below 2.00 M" in words
    assert "the ideal to top1 68.0 %, params 4.30 M, the same for all" in words
    assert "(top1 70.0 % to 90.0 %, params 1.00 M to 4.00 M)" in words


def test_the_json_has_every_number_raw(mvsearch):
    repeated()
    code, out, _ = mvsearch("compare", "a-0", "a-1", "a-2", "b", "--json")
    found = json.loads(out)

    assert code == 0
    assert found["reference_point"]["params"] == pytest.approx(4_300_000)
    assert [study["study"] for study in found["studies"]] == ["a-0", "a-1", "a-2", "b"]
    assert found["studies"][3]["front"] == [0, 1]
    assert found["studies"][3]["hypervolume"] == found["studies"][3]["hypervolumes"][-1]
    assert {(pair["side"], pair["over"]) for pair in found["pairs"]} == {("a (3 seeds)", "b"), ("b", "a (3 seeds)")}
    assert found["repeats"][0]["attainment"]["worst"] == [
        {"top1": 0.8, "params": 3_500_000},
        {"top1": 0.6, "params": 1_000_000},
    ]
    assert found["ahead"][0]["stretches"][-1]["end"] is None


def test_studies_of_one_name_are_told_apart_by_their_folders(mvsearch):
    study("a", A, folder="mine")
    study("a", B, folder="yours")
    found = mvsearch("compare", "mine/a", "yours/a", "--json").json

    assert [side["name"] for side in found["sides"]] == ["mine/a", "yours/a"]


def test_a_study_is_not_compared_with_itself_by_another_path(mvsearch):
    study("a", A)

    assert "a study is named twice" in refused(mvsearch, "compare", "a", str(Path("studies/a").resolve()))


def cases(table: dict[str, tuple]) -> list:
    return [pytest.param(*line, id=name) for name, line in table.items()]


def refused(mvsearch, *args: str) -> str:
    """The sentence; and nothing was printed or drawn beside it."""
    code, out, err = mvsearch(*args)

    assert (code, out) == (1, "")
    assert err.startswith("mvsearch: ")
    assert err.endswith(".\n") or err.endswith("?\n")
    assert len(err.splitlines()) == 1
    assert not any(path.suffix in (".png", ".pdf") for path in Path().iterdir() if path.name != "old.png")
    return err


UNSHOWN = {
    "no study": (("c",), "there is no study 'c' here; choose one of: "),
    "an empty one": (("empty",), "study 'empty' has no finished trial yet"),
    "nothing but failures": (("failures",), "no trial of study 'failures' is complete; the last: no memory."),
    "nothing within its limits": (
        ("dear",),
        "study 'dear': none of its 2 trials is within params <= 10k",
    ),
    "an unknown metric": (("b", "--objective", "parms"), "'params'"),
    "an unmeasured one": (("b", "--objective", "latency_ms"), "no finished trial has a value of latency_ms"),
    "a file that is there": (("b", "--plot", "old.png"), "old.png"),
    "a folder that is not": (("b", "--plot", "no/x.png"), "no/x.png"),
    "another kind of file": (("b", "--plot", "x.pdf"), "x.pdf: cannot draw .pdf; use .png, .svg or .html."),
}


@pytest.mark.parametrize(("args", "says"), cases(UNSHOWN))
@pytest.mark.parametrize("command", [("compare", "a"), ("front",)], ids=lambda command: command[0])
def test_what_cannot_be_shown_is_told_in_a_sentence(mvsearch, command, args, says):
    for name, points in (("a", A), ("b", B), ("empty", [])):
        study(name, points)
    study("failures", [], failed=2)
    study("dear", A, limits=("params <= 10k",))
    Path("old.png").write_bytes(b"old")

    assert says in refused(mvsearch, *command, *args)
    assert Path("old.png").read_bytes() == b"old"


def test_one_study_is_not_compared_with_itself_or_with_nothing(mvsearch):
    study("a", A)

    assert "two or more" in refused(mvsearch, "compare", "a")
    said = refused(mvsearch, "compare", "a", "studies/a")
    assert "a studies/a" in said


@pytest.mark.parametrize("options", [("--x", "parms"), ("--y", "top1"), ("--pairs",)], ids=lambda options: options[0])
@pytest.mark.parametrize("command", [("front", "a"), ("compare", "a", "b")], ids=lambda command: command[0])
def test_how_to_draw_without_a_plot_is_a_matter_of_usage(mvsearch, command, options):
    code, out, err = mvsearch(*command, *options)

    assert (code, out) == (2, "")
    assert "--plot" in err


@pytest.mark.parametrize("command", [("front", "a"), ("compare", "a", "b")])
def test_force_draws_over_a_file_and_an_unfinished_study_says_so(mvsearch, command):
    study("a", A, trials=40)
    study("b", B)
    Path("old.svg").write_bytes(b"old")
    code, out, err = mvsearch(*command, "--plot", "old.svg", "--force", "--theme", "dark")

    assert (code, err) == (0, "drew old.svg\n")
    assert "2 of 40 trials so far" in out
    assert b"<svg" in Path("old.svg").read_bytes()
