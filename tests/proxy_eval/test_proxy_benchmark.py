"""Proxies held against the published models: from the command line, and with a study."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from mvsearch.metrics.record import EvaluationFailed
from mvsearch.proxies import naswot
from mvsearch.proxy_eval.benchmark import architectures, distinct_networks
from mvsearch.proxy_eval.rank_correlation import rank
from mvsearch.report.figures.proxy_scores import score_panel
from mvsearch.utils import yaml_document

SMALL = ("--set", "naswot.image_size=32", "--set", "naswot.batch=4")
MODELS = ("mobilevitv1_xxs", "mobilevitv3_xxs", "mobilevitv2_0.5", "mobilevitv3_0.5")
SOME = ("--models", ",".join(MODELS))


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(mvsearch):
    return mvsearch


@pytest.fixture
def spied(monkeypatch):
    """Every call of a proxy by architecture and seed; what `spied.stop` says of a call is raised."""
    spy, real = SimpleNamespace(calls=[], stop=lambda arch, seed: None), naswot.PROXY.score

    def score(arch, settings, data, *, seed, device, progress):
        if error := spy.stop(arch, seed):
            raise error
        spy.calls.append((arch.name, seed))
        return real(arch, settings, data, seed=seed, device=device, progress=progress)

    monkeypatch.setattr(naswot, "PROXY", replace(naswot.PROXY, score=score))
    return spy


@pytest.mark.parametrize(("image_size", "decoded"), [(32, 64), (96, 96)])
def test_a_folder_is_decoded_at_the_size_of_the_proxies_or_more(run, monkeypatch, image_size, decoded):
    for i in range(4):
        file = Path("set", "ab"[i % 2], f"{i}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 100), (i, i, i)).save(file)
    sides = []

    def score(arch, settings, data, **_):
        sides.append(data.train.pixels.shape[1])
        return {"naswot": 1.0}

    monkeypatch.setattr(naswot, "PROXY", replace(naswot.PROXY, score=score))
    run("proxies", "--proxy", "naswot", "--set", f"naswot.image_size={image_size}", *SOME, "--data", "set")
    assert set(sides) == {decoded}


def test_scores_are_told_with_their_statistics_and_never_taken_twice(run, spied):
    args = ("proxies", "--proxy", "naswot", "--seeds", "2", *SMALL, *SOME)
    found = json.loads(run(*args, "--json").out)
    assert [each["proxy"] for each in found["proxies"]] == ["naswot", "params", "macs"]
    judged = found["proxies"][0]
    assert {name: len(rows) for name, rows in judged["scores"].items()} == dict.fromkeys(MODELS, 2)
    scores = {name: [row["naswot"] for row in rows] for name, rows in judged["scores"].items()}
    assert judged["statistics"]["tau"]["value"] == pytest.approx(rank(scores).tau.value)
    assert judged["settings"]["batch"] == 4
    assert judged["cpu_s"] > 0
    assert [seed for _, seed in spied.calls] == [0] * 4 + [1] * 4  # a whole ranking first

    again = run(*args)
    assert len(spied.calls) == 8
    assert "naswot" in again.out
    assert "within size" in again.out


def test_a_proxy_that_scores_otherwise_than_before_is_asked_anew(run, spied, monkeypatch):
    args = ("proxies", "--proxy", "naswot", "--seeds", "1", *SMALL, *SOME)
    run(*args)
    monkeypatch.setattr(naswot, "PROXY", replace(naswot.PROXY, version=naswot.PROXY.version + 1))
    run(*args)
    assert len(spied.calls) == 8


@pytest.mark.parametrize("other", [("--set", "naswot.batch=5"), ("--data", "photos")])
def test_scores_under_other_settings_or_of_other_images_are_not_taken_for_these(run, spied, other):
    args = ("proxies", "--proxy", "naswot", "--seeds", "1", *SMALL, *SOME)
    run(*args)
    assert run(*args, *other).code == 0
    assert len(spied.calls) == 8


def test_ctrl_c_shows_what_is_known_and_the_next_call_goes_on(run, spied):
    args = ("proxies", "--proxy", "naswot", "--seeds", "1", *SMALL, *SOME)
    spied.stop = lambda arch, seed: KeyboardInterrupt() if len(spied.calls) == 2 else None
    stopped = run(*args)
    assert stopped.code == 130
    assert "seed 0 is not scored yet: mobilevitv2_0.5, mobilevitv3_0.5" in " ".join(stopped.out.split())

    spied.stop = lambda arch, seed: None
    assert run(*args).code == 0
    assert len(spied.calls) == 4


def test_a_model_that_has_no_score_is_left_out_and_the_reason_told(run, spied):
    spied.stop = lambda arch, seed: EvaluationFailed("it came out as nan") if arch.name == "mobilevitv2_0.5" else None
    done = run("proxies", "--proxy", "naswot", "--seeds", "1", *SMALL, *SOME)
    assert done.code == 0
    assert "naswot: it came out as nan: mobilevitv2_0.5" in done.out
    assert "4 published models and 0 rows of the ablation" in done.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--proxy", "naswt"), "did you mean 'naswot'"),
        (("--models", "mobilevitv3_xxl"), "mobilevitv3_xxs"),
        (("--proxy", "naswot", "--set", "naswot.size=3"), "naswot.size"),
        (("--proxy", "naswot", "--set", "steps=3"), "use PROXY.SETTING=VALUE"),
        (("--proxy", "naswot", "--plot", "old.png"), "--force"),
        (("--data", "nowhere"), "unknown data source"),
        (("--data", "cutouts"), "classification"),
        (("--models", "ablation_2_conv1x1", "--plot", "new.png"), "--models names only rows of the ablation"),
    ],
)
def test_a_slip_is_one_sentence(run, args, words):
    Path("old.png").write_bytes(b"old")
    done = run("proxies", *args)
    assert done.code == 1
    assert words in done.err
    assert len(done.err.splitlines()) == 1


def test_every_network_is_scored_once_whatever_its_names():
    archs = architectures()
    assert len(archs) == 32
    once = distinct_networks(archs)
    assert len(once) == 31
    assert "ablation_1_baseline_v1_s" not in once


def test_the_plot_is_drawn(run):
    for suffix, start in {".svg": b"<?xml", ".html": b"<!DOCTYPE html>", ".png": b"\x89PNG"}.items():
        done = run("proxies", "--proxy", "channel_weights", "--seeds", "1", *SOME, "--plot", f"plot{suffix}")
        assert done.code == 0, done.err
        assert Path(f"plot{suffix}").read_bytes().startswith(start)
    assert b"v3-XXS" in Path("plot.html").read_bytes()


def test_better_is_to_the_right_also_where_less_is_better():
    scores = {name: [-float(i), -float(i) - 0.5] for i, name in enumerate(MODELS, 1)}
    drawn = score_panel("train", "loss", scores, False, rank(scores))
    low, high = drawn.x_limits
    assert low > high
    assert [dot.x for dot in drawn.dots if dot.name == "v1-XXS"] == [1.25]
    assert drawn.dots[0].error == pytest.approx(0.5 / 2**0.5)
    assert "lower is better" in drawn.x_label


def test_a_study_s_proxy_is_checked_once_and_the_front_says_so(run, spied):
    space = yaml_document.read(Path(__file__).parents[2] / "spaces" / "quick.yaml").data
    space |= {
        "proxy": {"name": "naswot", "image_size": 32, "batch": 4},
        "search": {"trials": 3, "workers": 1},
        "contains": ["mobilevitv3_xxs"],
    }
    Path("toy.yaml").write_text(yaml_document.dump(space), encoding="utf-8")
    done = run("run", "toy.yaml", "--check-proxy", "--workers", "1")
    assert done.code == 0, done.err
    once = len(spied.calls)
    said = " ".join(run("front", "quick").out.split())
    assert "proxy: naswot, at 32 px on fashion_mnist; Kendall's tau with ImageNet top-1 of 15 published models" in said
    assert json.loads(run("front", "quick", "--json").out)["trust"]["within"] is not None

    assert run("run", "toy.yaml", "--check-proxy", "--workers", "1").code == 0
    assert len(spied.calls) == once


def test_models_beyond_the_limits_of_a_study_still_say_how_far_its_proxy_is_to_be_trusted(run):
    args = ("run", "toy.yaml", "--check-proxy", "--workers", "1")
    space = yaml_document.read(Path(__file__).parents[2] / "spaces" / "quick.yaml").data
    space |= {"proxy": {"name": "macs"}, "search": {"trials": 3}, "contains": ["mobilevitv3_xxs"]}
    Path("toy.yaml").write_text(yaml_document.dump(space), encoding="utf-8")
    assert run(*args).code == 0
    assert run(*args, "--limit", "params <= 1.2M").code == 0
    assert len(json.loads(run("front", "quick", "--json").out)["trust"]["models"]) == 15


def test_a_space_of_several_families_is_checked_on_models_of_each(run):
    space = yaml_document.read(Path(__file__).parents[2] / "spaces" / "quick.yaml").data
    space |= {"proxy": {"name": "macs"}, "search": {"trials": 6, "sampler": "random"}, "contains": []}
    space["blocks"] += [{"name": "more", "block": {"choose": ["shsa", "star"]}, "out": "in_channels"}]
    Path("toy.yaml").write_text(yaml_document.dump(space), encoding="utf-8")
    done = run("run", "toy.yaml", "--check-proxy", "--workers", "1")
    assert done.code == 0, done.err
    assert "22 published models, of mobilevitv1, mobilevitv2, mobilevitv3, shvit and starnet" in done.err

    found = json.loads(run("front", "quick", "--json").out)
    assert len(found["trust"]["models"]) == 22
    assert found["across_families"]["own"]
    assert found["trust"]["within"] == found["across_families"]["ranking"]["within_size"]["value"]


def test_models_of_several_image_sizes_are_checked_on_images_in_proportion_as_candidates_are(run, monkeypatch):
    sides = {}

    def score(arch, settings, data, **_):
        sides[arch.name] = settings.image_size
        return {"naswot": 1.0 + len(sides)}

    monkeypatch.setattr(naswot, "PROXY", replace(naswot.PROXY, score=score))
    space = yaml_document.read(Path(__file__).parents[2] / "spaces" / "quick.yaml").data
    space |= {"proxy": {"name": "naswot", "image_size": 64, "batch": 4}, "search": {"trials": 1}, "contains": []}
    space["image_size"] = {"choose": [224, 256]}
    space["blocks"] += [{"name": "more", "block": {"choose": ["shsa", "star"]}, "out": "in_channels"}]
    Path("toy.yaml").write_text(yaml_document.dump(space), encoding="utf-8")
    done = run("run", "toy.yaml", "--workers", "1", "--check-proxy")
    assert done.code == 0, done.err
    assert (sides["shvit_s1"], sides["mobilevitv3_xxs"]) == (56, 64)


@pytest.mark.slow
def test_a_check_tells_why_a_model_has_no_score(run, spied):
    spied.stop = lambda arch, seed: EvaluationFailed("it came out as nan") if arch.name == "mobilevitv2_0.5" else None
    space = yaml_document.read(Path(__file__).parents[2] / "spaces" / "quick.yaml").data
    space |= {"proxy": {"name": "naswot", "image_size": 32, "batch": 4}, "search": {"trials": 1}, "contains": []}
    Path("toy.yaml").write_text(yaml_document.dump(space), encoding="utf-8")
    done = run("run", "toy.yaml", "--check-proxy", "--workers", "1")
    assert done.code == 0
    assert "naswot: it came out as nan: mobilevitv2_0.5" in done.err
    assert len(json.loads(run("front", "quick", "--json").out)["trust"]["models"]) == 14
