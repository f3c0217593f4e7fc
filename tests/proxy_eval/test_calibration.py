"""From a proxy's score to an ImageNet Top-1, and how far that is off."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from mvsearch.arch.published import published
from mvsearch.cli import main
from mvsearch.errors import StudyError
from mvsearch.proxy_eval import rank_correlation
from mvsearch.proxy_eval.calibration import Calibration, fit_line
from mvsearch.study.plan import Plan
from mvsearch.study.study import Study

SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
TOPS = (69.0, 70.0, 74.0, 75.0, 78.0, 79.0)
ALONE = tuple("abcdef")


def test_on_monotone_data_the_line_is_exact():
    calibration = Calibration.of(SCORES[::-1], TOPS[::-1], ALONE)
    assert [calibration.expected(score).top1 for score in SCORES] == pytest.approx(TOPS)
    assert calibration.expected(0.25).top1 == pytest.approx(72)


@pytest.mark.parametrize("seed", range(4))
def test_the_line_never_falls_and_is_scikit_learns(seed):
    random = np.random.default_rng(seed)
    x, y = random.integers(8, size=15).astype(float), random.normal(size=15)
    places, values = fit_line(x, y)

    assert (np.diff(places) > 0).all()
    assert (np.diff(values) >= 0).all()
    assert values == pytest.approx(IsotonicRegression().fit(x, y).predict(places))


def test_beyond_the_published_scores_it_is_said_to_be_extrapolated():
    calibration = Calibration.of(SCORES, TOPS, ALONE)
    assert calibration.expected(0.7).beyond
    assert calibration.expected(0.05).beyond
    assert calibration.expected(0.7).top1 == 79
    assert not any(calibration.expected(score).beyond for score in SCORES)


def test_beyond_says_which_end_it_is_even_where_the_line_is_level():
    level = Calibration.of([1, 2, 3, 4, 5, 6], [76, 75, 74, 73, 72, 71], ALONE)
    assert [level.expected(score).beyond for score in (0, 3, 9)] == ["<", "", ">"]


def test_the_interval_is_as_wide_as_models_that_were_left_out_are_off():
    calibration = Calibration.of(SCORES, TOPS, ALONE)
    # left out: the ends fall back on their neighbour, 1 point off; 70, 74, 75, 78 against 71.5, 72.5, 76, 77
    assert calibration.error == pytest.approx(1.5)
    assert (calibration.inside, calibration.models) == (6, 6)
    found = calibration.expected(0.3)
    assert (found.low, found.high) == pytest.approx((72.5, 75.5))


def test_a_family_is_told_by_the_others_alone():
    # in pairs: the two at the ends are told the nearest value of the others, those between lie on the line through them
    calibration = Calibration.of(range(6), [0, 10, 20, 30, 40, 50], ["a", "a", "b", "b", "c", "c"])
    assert calibration.error == pytest.approx(20)
    alone = Calibration.of(range(6), [0, 10, 20, 30, 40, 50], ALONE)
    assert alone.error == pytest.approx(10)


def test_one_family_alone_is_refused_in_a_sentence():
    with pytest.raises(StudyError, match="of one series, v3"):
        Calibration.of(SCORES, TOPS, ["v3"] * 6)


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("mobilevitv3_0.5_384", "v3-on-v2"),
        ("mobilevitv3_s_unscaled", "mobilevitv3"),
        ("starnet_s4", "starnet"),
        ("ablation_2_conv1x1", "ablation_2_conv1x1"),
    ],
)
def test_the_series_are_those_of_the_papers_whatever_the_image_size(name, series):
    assert rank_correlation.series_of(name) == series


def test_of_a_few_models_all_are_inside_and_of_many_nine_in_ten():
    references = rank_correlation.published()
    tops, families = [each.top1 for each in references], [each.series for each in references]
    calibration = Calibration.of(tops, tops, families)
    assert (calibration.inside, calibration.models) == (15, 15)

    noise = np.random.default_rng(0).normal(size=40)
    many = Calibration.of(np.arange(40.0), np.arange(40.0) + noise, [str(n) for n in range(40)])
    assert many.inside == 37


def test_no_interval_goes_beyond_all_images_right():
    assert Calibration.of(SCORES, [40, 90, 60, 95, 70, 99], ALONE).expected(0.6).high == 100


def test_fewer_than_five_models_are_refused_in_a_sentence():
    with pytest.raises(StudyError, match="4 published models have a score, and a calibration needs 5"):
        Calibration.of(SCORES[:4], TOPS[:4], ALONE[:4])


def test_equal_scores_are_refused():
    with pytest.raises(StudyError, match="same score"):
        Calibration.of([1.0] * 6, TOPS, ALONE)


def test_the_front_tells_what_its_scores_stand_for(tmp_path, monkeypatch, capsys):
    def loss(arch):
        return 10 / arch.cost().macs ** 0.1

    plan = replace(Plan.load("spaces/v3.yaml", objectives=("loss", "params"), trials=14), studies=tmp_path)
    Study.join(plan).run(lambda arch: {**arch.metrics(), "loss": loss(arch)}, trials=14)
    monkeypatch.setattr(sys, "argv", ["mvsearch", "front", str(tmp_path / "v3"), "--calibrate", "--json"])
    main.main()
    front = json.loads(capsys.readouterr().out)["trials"]
    contained = [each for each in rank_correlation.published() if each.name in Study.read(plan).facts.published]
    line = Calibration.of(
        [-loss(published(each.name)) for each in contained],
        [each.top1 for each in contained],
        [each.series for each in contained],
    )
    assert len(front) > 2
    for member in front:
        expected = line.expected(-member["loss"])
        assert member["top1_imagenet_est"] == pytest.approx(expected.top1 / 100)
        assert member["top1_imagenet_low"] == pytest.approx(expected.low / 100)

    monkeypatch.setattr(sys, "argv", ["mvsearch", "front", str(tmp_path / "v3"), "--calibrate"])
    main.main()
    assert "ImageNet top-1, est." in (out := capsys.readouterr().out)
    assert "isotonic regression over 7 published models" in " ".join(out.split())


def test_a_study_without_a_score_has_nothing_to_calibrate(tmp_path, monkeypatch, capsys):
    plan = replace(Plan.load("spaces/fusion.yaml", objectives=("params", "macs")), studies=tmp_path)
    Study.join(plan).run(lambda arch: arch.metrics())
    monkeypatch.setattr(sys, "argv", ["mvsearch", "front", str(tmp_path / "fusion"), "--calibrate"])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 1
    assert "score" in capsys.readouterr().err
