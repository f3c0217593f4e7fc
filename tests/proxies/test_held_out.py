"""How many training images a short training holds out: at most a fifth, and what was used is what is shown."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import SOFTMAX

from mvsearch.arch.architecture import Architecture
from mvsearch.cli._search import prepare
from mvsearch.data import DataSet, DataSettings, Images
from mvsearch.proxies import load_proxy
from mvsearch.proxies.train import Settings
from mvsearch.proxy_eval.benchmark import ProxyBenchmark
from mvsearch.study import evaluator
from mvsearch.study.plan import Plan
from mvsearch.study.reader import open_study
from mvsearch.study.resolve import find_trial
from mvsearch.study.storage.store import Store
from mvsearch.study.study import Study
from mvsearch.training.in_memory import InMemorySet
from mvsearch.training.tasks import load_task

PROXY = load_proxy("train")


def data(images: int, classes: int = 4) -> DataSet:
    labels = np.arange(images) % classes
    part = Images(np.zeros((images, 8, 8, 1), np.uint8), labels, tuple("abcdefgh"[:classes]))
    return DataSet("few", part, part.subset(np.arange(classes)), "1234", (), "here", "none")


@pytest.mark.parametrize(
    ("images", "asked", "share"),
    [(60_000, 5000, 5000 / 60_000), (25_000, 5000, 0.2), (2400, 5000, 0.2), (2400, 100, 100 / 2400), (4, 5000, 0.25)],
)
def test_at_most_a_fifth_is_held_out(images, asked, share):
    assert Settings(held_out=asked).training().held_out_share(images) == share


def test_the_words_are_those_that_studies_have_stored():
    """They are stored in every study, which is refused where they differ."""
    held_out = PROXY.held_out("classification", Settings(image_size=8), data(100))
    assert held_out.words == "20 of 100 training images (5,000 were asked for; at most a fifth is held out)"


@pytest.mark.parametrize(
    ("asked", "used", "reduced"), [(5000, 20, True), (21, 20, True), (20, 20, False), (8, 8, False)]
)
def test_what_is_held_out_is_what_is_counted_and_named(asked, used, reduced):
    few, settings = data(100), Settings(held_out=asked, image_size=8)
    held_out = PROXY.held_out("classification", settings, few)
    images = InMemorySet.of(load_task("classification"), few, settings.training())

    assert (held_out.images, held_out.of, held_out.reduced) == (used, 100, reduced)
    assert (len(images.held_labels), len(images.train_labels)) == (used, 100 - used)
    assert held_out.words.startswith(f"{used} of 100 training images")
    assert (f"{asked:,} were asked for" in held_out.words) == reduced


@pytest.mark.usefixtures("one_thread")
def test_a_training_on_many_images_of_which_few_are_of_one_class_is_timed():
    labels = np.repeat([0, 1, 2], [4000, 4000, 3])
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
    part = Images(pixels, labels, ("ant", "bee", "cat"))
    arch = Architecture.from_dict({**SOFTMAX, "num_classes": 3})

    time = PROXY.time(arch, Settings(batch=4), DataSet("rare", part, part, "1234", (), "here", "none"), "cpu")

    assert time.step_s > 0


def test_scores_are_kept_apart_only_where_fewer_images_are_held_out_than_asked_for():
    few = data(100)
    key = {asked: PROXY.images_key("classification", Settings(held_out=asked), few) for asked in (8, 20, 5000)}

    assert key[8] == key[20] == "few 1234"
    assert key[5000] == "few 1234, 20 held out"
    assert load_proxy("naswot").images_key("classification", None, few) == "few 1234"


@pytest.fixture
def study(mvsearch) -> None:
    """A study that asked for 1,000 images and held out 480."""
    plan = Plan.load("quick.yaml", trials=3)
    joined = Study.join(plan)
    joined.pin_environment(
        data="few 1234, 480 held out", held_out="480 of 2,400 training images (1,000 were asked for)"
    )

    def evaluate(arch) -> dict[str, Any]:
        return {**arch.metrics(), "scaled_loss": 1e6 / arch.cost().params, "top1": 0.5}

    joined.run(evaluate)


def test_the_number_that_was_used_is_shown_everywhere(printed, study):
    facts = json.loads(printed("front", "quick", "--json"))
    assert facts["proxy"]["held_out"] == 480
    assert facts["held_out"].startswith("480 of 2,400")
    assert "480 of 2,400 training images" in printed("front", "quick")

    printed("report", "quick")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "held_out 480" in page
    assert "held_out 1000" not in page.partition("<pre>")[0]
    assert find_trial("quick:0").held_out.startswith("480 of 2,400")
    assert open_study("quick").facts.settings["proxy"]["held_out"] == 1000


def test_a_run_begins_with_what_was_reduced_and_assumed(mvsearch, monkeypatch):
    monkeypatch.setattr(evaluator, "load_data", lambda plan, progress=None: data(100))
    notes = prepare(Plan.load("quick.yaml"))

    assert [line for line in notes if "20 of 100 training images (1,000 were asked for" in line]
    assert [line for line in notes if "4 classes" in line and "1,000 (`num_classes`" in line]


def test_a_run_says_where_images_are_decoded_smaller_than_they_are_scored(mvsearch, monkeypatch):
    monkeypatch.setattr(evaluator, "load_data", lambda plan, progress=None: data(100))
    plan = Plan.load("quick.yaml")
    assert "enlarged" not in " ".join(prepare(plan))  # Fashion-MNIST has one size
    note = (
        "images are decoded at 8 px and enlarged to the 32 px of the proxy; data: {size: 32} decodes them at that size."
    )
    assert note in prepare(replace(plan, data=DataSettings("folder", "set")))


def test_the_proxy_benchmark_counts_what_it_holds_out(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'scores.db'}", create=True)
    keys = {}
    for asked in (20, 5000):
        benchmark = ProxyBenchmark(store, "train", Settings(held_out=asked), data(100))
        assert benchmark.held_out.images == 20
        keys[asked] = benchmark.held_out.reduced

    assert keys == {20: False, 5000: True}
    assert ProxyBenchmark(store, "naswot", load_proxy("naswot").settings(), data(100)).held_out is None
