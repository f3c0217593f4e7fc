"""`mvsearch init`: the file that it writes is for `run` as it is, and budgets that nothing can meet are refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from command import assert_refused
from PIL import Image

from mvsearch.profiling.measurements.latency import Timing
from mvsearch.proxies import ScoreTime
from mvsearch.study import first_checks
from mvsearch.study.plan import Plan
from mvsearch.utils.yaml_document import read


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """Three classes of ten images of 120 x 100 px."""
    root, rng = tmp_path_factory.mktemp("images") / "pets", np.random.default_rng(0)
    for label in ("cat", "dog", "on"):
        (root / label).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((120, 100)).save(root / label / f"{i}.png")
    return root


@pytest.fixture
def pets(mvsearch, monkeypatch, drawn) -> Path:
    """The images in this folder; a training step takes half a second, a latency is 5 ms."""
    monkeypatch.setattr(first_checks, "time_score", lambda *_args: ScoreTime(1.0, 0.5))
    monkeypatch.setattr(Timing, "measure", lambda *_args: {"latency_ms": 5.0})
    return Path(shutil.copytree(drawn, "pets"))


def test_the_file_has_the_classes_the_size_the_limit_and_the_models_within_it(mvsearch, pets):
    done = mvsearch("init", "--data", "pets", "--budget", "params=1.5M", "-o", "my.yaml", "--json")
    plan = Plan.load("my.yaml")

    assert (plan.name, plan.space.num_classes, plan.space.image_size) == ("my", 3, 96)
    assert plan.search.limits == ("params <= 1.5M",)
    assert plan.search.objectives == ("loss", "params", "macs")
    assert plan.space.contains == ("mobilevitv3_xxs", "mobilevitv3_xxs_l2")
    assert (plan.data.source, plan.data.path, plan.data.size) == ("folder", "pets", 64)
    proxy = plan.proxy_settings()
    assert (proxy.image_size, proxy.steps, proxy.batch, plan.proxy.seeds) == (64, 100, 32, plan.proxy.seeds)
    assert done.json["trials"] == plan.search.trials
    assert all(line["reason"] for line in done.json["settings"] if line["key"] != "source")


def test_the_folder_alone_is_enough(mvsearch, pets):
    done = mvsearch("init", "--data", "pets")
    plan = Plan.load("pets.yaml")

    assert done.code == 0, done.err
    assert plan.search.limits == ("params <= 1.3M",)  # twice the 634 k of mobilevitv3_xxs_l2 with three classes
    assert "no budget given" in done.out
    assert "counted, not opened: `mvsearch data check pets` finds broken ones" in done.out
    assert "pets.yaml" in done.out


def test_an_existing_file_is_kept_without_force(mvsearch, pets):
    Path("pets.yaml").write_text("mine", encoding="utf-8")
    assert "pets.yaml" in assert_refused(mvsearch, "init", "--data", "pets")
    assert mvsearch("init", "--data", "pets", "--force").code == 0
    assert read(Path("pets.yaml")).data["num_classes"] == 3


def test_every_budget_that_cannot_be_met_is_named_with_the_least_there_is(mvsearch, pets):
    err = assert_refused(mvsearch, "init", "--data", "pets", "--budget", "params=1k", "--budget", "latency_ms=4")
    assert "params <= 1k (the least is 307,683)" in err
    assert "latency_ms <= 4 (the network with the least MACs has 5.00 ms" in err


@pytest.mark.parametrize("folders", [("JPEGImages", "Annotations"), ("images", "masks")])
def test_scenes_are_refused_with_what_would_do(mvsearch, folders):
    for name in folders:
        (Path("scenes") / name).mkdir(parents=True)
    assert "spaces/segmentation.yaml" in assert_refused(mvsearch, "init", "--data", "scenes")
