from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mvsearch.cli._trial_conditions import time_words, trial_conditions
from mvsearch.proxies import HeldOut
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.plan import Plan
from mvsearch.study.trial_time import TrialTime
from mvsearch.utils.yaml_document import parse

SPACE = (Path(__file__).parents[2] / "spaces" / "quick.yaml").read_text()
IMAGES = SimpleNamespace(name="pets", train=SimpleNamespace(labels=range(2160), classes=("a", "b")))


@pytest.fixture(scope="module")
def plan() -> Plan:
    latency = "latency: {backend: torch_cpu, threads: 2, image_size: 224}\n"
    return Plan.of(SearchSpace.parse(parse(SPACE + latency)), objectives=("scaled_loss", "latency_ms"))


def test_images_pixels_steps_and_seeds_are_named_and_how_latency_is_taken(plan):
    held_out = HeldOut(432, 2160, 5000, reduced=True)
    score, latency = trial_conditions(replace(plan, data=replace(plan.data, path="/my/pets")), IMAGES, held_out)

    for words in (
        "60 steps of 64 images",
        "at 32 px",
        "1 seed,",
        "on 1,728 of 2,160 training images",
        "2 classes (pets /my/pets)",
    ):
        assert words in score
    assert latency == "each trial: latency at 224 px, backend torch_cpu, batch 1, threads 2, precision fp32."


def test_latency_is_taken_at_the_size_of_the_space_unless_another_is_given(plan):
    own = replace(plan.measurements["latency"], image_size=None)
    latency = [*trial_conditions(replace(plan, measurements={"latency": own}), None)]

    assert latency == ["each trial: latency at 256 px, backend torch_cpu, batch 1, threads 2, precision fp32."]


def test_seconds_of_a_trial_come_with_their_spread_their_source_and_what_is_in_them():
    known = TrialTime(
        0.0, 0.0, 0.0, 12.34, 24.6, 61.0, "timed on 2 networks of the space", "CPU seconds", {"latency": 1.84}
    )

    assert time_words(known, 9, 240.0, 2) == (
        "about 25 CPU seconds a trial (12 to 61 by size; timed on 2 networks of the space, with 1.8 for latency): "
        "4 min for 9 trials with 2 workers."
    )
    constant = replace(known, low_s=24.6, high_s=24.6, measured_s={}, unknown=("rss",))
    assert time_words(constant, 1, 25.0, 1) == (
        "about 25 CPU seconds a trial (timed on 2 networks of the space, without rss): 25 s for 1 trial with 1 worker."
    )
    busy = time_words(replace(constant, stretch=3.6), 1, 90.0, 1)
    assert "without rss); a CPU second takes 3.6 s by the clock beside other work: 90 s for 1 trial" in busy
    predicted = time_words(replace(known, predicting_s=112.0), 9, 240.0, 2)
    assert predicted.endswith(
        "for 9 trials with 2 workers. A trial whose latency is predicted takes 1.8 less; the networks that it is "
        "predicted from take 112 CPU seconds first."
    )


def test_space_says_where_the_images_have_another_number_of_classes_and_opens_none(mvsearch):
    for name in ("cat", "dog"):
        Path("pets", name).mkdir(parents=True)
        Path("pets", name, "broken.jpg").touch()
    for classes in (5, 2):
        text = SPACE.replace("num_classes: 1000", f"num_classes: {classes}")
        Path(f"{classes}.yaml").write_text(text.replace("fashion_mnist", "folder, path: pets"), encoding="utf-8")

    assert "pets: the images have 2 classes; params, MACs and measurements are of networks for 5 (`num_classes`" in (
        mvsearch("space", "5.yaml").out
    )
    assert mvsearch("space", "2.yaml", "--json").json["notes"] == []
    Path("pets").rename("moved")
    assert mvsearch("space", "5.yaml", "--json").json["notes"] == []
