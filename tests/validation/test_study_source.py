"""A study whose candidates started from trained weights names them everywhere, and notices that the file changed."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small import SOFTMAX

from mvsearch.arch.architecture import Architecture
from mvsearch.nn import build
from mvsearch.nn.weights_io import write_weights
from mvsearch.proxies.train import _source
from mvsearch.study.plan import Plan
from mvsearch.study.study import Study
from mvsearch.training.source import Source
from mvsearch.utils import yaml_document

pytestmark = pytest.mark.usefixtures("one_thread")

SPACE = """
image_size: 32
num_classes: 2
blocks:
  - {name: stem, block: conv, out: 8, stride: 2}
  - {name: down, block: mv2, out: {choose: [8, 16]}, stride: 2, expand: 2}
search: {objectives: [loss, params], trials: 1, workers: 1, sampler: random}
data: {source: folder, path: images, size: 32}
proxy: {name: train, steps: 1, batch: 2, image_size: 32, held_out: 2, init: source}
"""


def write_source(seed: int) -> str:
    """Weights in the folder `source`; what a study records of them."""
    arch, folder = Architecture.from_dict({**SOFTMAX, "num_classes": 2}), Path("source")
    folder.mkdir(exist_ok=True)
    arch.save(folder / "architecture.yaml")
    write_weights(build(arch, seed=seed), arch.key, folder / "weights.safetensors")
    return Source.load("source", ("cat", "dog")).facts


@pytest.fixture
def finished(mvsearch):
    """The command, and what the finished study `toy` records of its source."""
    for place in ("train/cat", "train/dog", "test/cat", "test/dog"):
        folder = Path("images", place)
        folder.mkdir(parents=True)
        for i in range(8):
            Image.fromarray(np.full((32, 32, 3), 10 * i, np.uint8)).save(folder / f"{i}.png")
    _source.cache_clear()
    Path("toy.yaml").write_text(SPACE, encoding="utf-8")
    weights = write_source(seed=1)
    study = Study.join(Plan.load("toy.yaml", name="toy"))
    study.pin_environment(weights=weights)
    study.run(lambda arch: {**arch.metrics(), "loss": 1.0, "top1": 0.5, "inherited": 0.25}, trials=1)
    return mvsearch, weights


def test_a_finished_study_names_its_source(finished):
    mvsearch, weights = finished
    done, front = mvsearch("run", "toy.yaml", "--name", "toy"), mvsearch("front", "toy", "--json")

    assert done.code == 0, done.err
    assert weights in done.out + done.err
    assert yaml_document.read(Path("studies/toy/settings.yaml")).data["weights"] == weights
    assert json.loads(front.out)["weights"] == weights
    assert json.loads(front.out)["trials"][0]["inherited"] == 0.25


@pytest.mark.parametrize("command", [("run", "toy.yaml", "--name", "toy"), ("validate", "toy", "--set", "batch=8")])
def test_scores_of_one_source_are_not_shown_as_those_of_another(finished, command):
    mvsearch, weights = finished
    changed = write_source(seed=2)
    done = mvsearch(*command)

    assert changed != weights
    assert (done.code, done.out) == (1, ""), done
    assert weights in done.err
    assert changed.split()[-1] in done.err
