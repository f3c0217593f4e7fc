"""int8 as a measurement of a trial: the trained network is quantised, judged and timed."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from small import PLAIN, require_format

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet, Images
from mvsearch.errors import EnvironmentFault, PlanError
from mvsearch.metrics.record import score_values
from mvsearch.profiling.measurements import load_measurement
from mvsearch.proxies import load_proxy
from mvsearch.proxies.train import Settings
from mvsearch.space.search_space import SearchSpace
from mvsearch.study import evaluator
from mvsearch.study.evaluator import Evaluator
from mvsearch.study.plan import Plan
from mvsearch.study.study import Study
from mvsearch.study.trial_time import estimate
from mvsearch.utils.yaml_document import parse

pytestmark = pytest.mark.usefixtures("one_thread")

SPACE = """
image_size: 32
num_classes: 2
blocks:
  - {name: stem, block: conv, out: {choose: [8, 16]}, stride: 2, act: relu}
  - {name: down, block: mv2, out: 8, stride: 2, expand: 2, act: relu}
proxy: {name: PROXY, seeds: SEEDS, STEPS}
data: {source: DATA}
int8: {INT8}
"""
TRAIN = "steps: 4, batch: 8, image_size: 16, held_out: 16"
TRAINED = {"steps": 1, "batch": 4, "image_size": 16, "held_out": 16}


def plan(*objectives: str, int8: str = "repeats: 3, calibration: 24", proxy: str = "train", seeds: int = 1) -> Plan:
    text = (
        SPACE.replace("PROXY", proxy)
        .replace("SEEDS", str(seeds))
        .replace("STEPS", TRAIN if proxy == "train" else "")
        .replace("INT8", int8)
    )
    space = SearchSpace.parse(parse(text.replace("DATA", "cifar10").replace(", }", "}"), "space.yaml"))
    return Plan.of(space, name="toy", objectives=objectives)


@pytest.fixture
def images(monkeypatch):
    """Dark and light images, 160 in all."""
    labels = np.arange(160) % 2
    noise = np.random.default_rng(0).integers(0, 60, (160, 16, 16, 3))
    part = Images((noise + 120 * labels[:, None, None, None]).astype(np.uint8), labels, ("dark", "light"))
    few = DataSet("few", part, part.subset(np.arange(8)), "1234", (), "here", "none")
    monkeypatch.setattr(evaluator, "load_data", lambda _plan: few)
    return few


def test_a_trial_has_the_accuracy_and_the_latency_of_its_int8_file_and_what_they_were_measured_with(images):
    require_format("onnx")
    sought = plan("top1_int8", "latency_int8_ms", "params")
    evaluate = Evaluator(sought)
    arch = sought.space.architecture(sought.space.point(sought.all_points[0]))
    metrics = evaluate(arch)

    assert metrics["top1_int8"] == pytest.approx(metrics["top1"], abs=0.15)
    assert metrics["top1_float32"] == pytest.approx(metrics["top1"])
    assert metrics["latency_int8_low_ms"] <= metrics["latency_int8_ms"] <= metrics["latency_int8_high_ms"]
    assert (metrics["latency_int8_image_size"], metrics["latency_int8_precision"]) == (16, "int8")
    assert (metrics["int8_scheme"], metrics["int8_calibration_images"]) == ("channel", 24)
    assert metrics["int8_runtime"].startswith("onnxruntime 1.")
    assert metrics["int8_macs_share"] == 1.0
    assert {"latency_int8_ms", "int8_calibration_images"}.isdisjoint(score_values(metrics))
    assert "int8 2" in evaluate.facts()["code"]
    assert evaluate.facts()["int8_device"].startswith("cpu: ")


def test_every_seed_is_judged_and_the_file_of_the_first_is_timed_once_for_all_rungs(images, monkeypatch):
    asked = []

    def measure(_network, _settings, wanted):
        asked.append("latency_int8_ms" in wanted)
        return {"top1_int8": len(asked) / 10, "top1_float32": 1.0, "latency_int8_ms": 2.0, "int8_scheme": "channel"}

    monkeypatch.setattr(load_measurement("int8"), "measure_trained", measure)
    sought = plan("top1_int8", "latency_int8_ms", seeds=2)
    evaluate = Evaluator(sought)
    arch = sought.space.architecture(sought.space.point(sought.all_points[0]))
    rung, whole, again = evaluate(arch, rung=2), evaluate(arch), evaluate(arch, repeat=1)
    assert asked == [True, *[False] * 5]
    assert [each["top1_int8"] for each in (rung, whole, again)] == pytest.approx([0.15, 0.35, 0.55])
    assert whole["top1_int8_std"] > 0
    assert rung["latency_int8_ms"] == whole["latency_int8_ms"] == 2.0
    assert {"latency_int8_ms", "int8_scheme"}.isdisjoint(again)  # of other seeds the scores alone


def test_the_time_of_int8_is_estimated_for_all_seeds_and_rungs_and_its_latency_once(images, tmp_path, monkeypatch):
    asked = []

    def seconds(network, _settings, wanted, held_out):
        asked.append((network.arch.image_size, "latency_int8_ms" in wanted, held_out))
        return 10.0, 3.0

    monkeypatch.setattr(load_measurement("int8"), "seconds_trained", seconds)
    sought = replace(plan("top1_int8", "latency_int8_ms", seeds=2), studies=tmp_path)
    assert estimate(sought, Study.join(sought), images, "cpu").measured_s == {"int8": 23.0}
    assert asked == [(16, True, 16)]


def test_the_time_of_int8_is_that_of_quantising_and_of_judging_all_held_out_images(images):
    require_format("onnx")
    network = load_proxy("train").train(Architecture.from_dict(PLAIN), Settings(**TRAINED), images)[1]
    int8 = load_measurement("int8")
    settings = int8.settings_type(repeats=3, calibration=24)
    few = int8.seconds_trained(network, settings, (), 16)
    many = int8.seconds_trained(network, settings, ("latency_int8_ms",), 160_000)
    assert 0 < few[0] < many[0]
    assert few[1] == 0
    assert 0.3 < many[1] < 30  # the warm-up, and the limit of the rounds


def test_the_images_that_ranges_are_taken_from_are_training_images_without_the_held_out_ones(images):
    network = load_proxy("train").train(Architecture.from_dict(PLAIN), Settings(**TRAINED), images)[1]
    sample = network.images.training_sample(10_000)
    held, labels = network.images.held_out_arrays()
    assert (len(sample.images), len(held), len(labels)) == (144, 16, 16)
    assert not {image.tobytes() for image in sample.images} & {image.tobytes() for image in held}
    assert len(network.images.training_sample(5).images) == 5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("scheme: chanel", "unknown int8 scheme 'chanel'; did you mean 'channel'"),
        ("format: torch", "torch supports float32 only"),
        ("format: executorch, scheme: entropy", "executorch has no int8 scheme 'entropy'; it has channel, tensor"),
        ("calibration: 0", "found 0; use 1 or more"),
    ],
)
def test_what_cannot_be_quantised_is_refused_before_the_first_trial(setting, message):
    with pytest.raises(PlanError, match=message) as refused:
        plan("top1_int8", "params", int8=setting)
    assert refused.value.key.startswith("int8")


def test_a_proxy_that_trains_no_network_is_refused():
    with pytest.raises(PlanError, match="top1_int8 is measured of a trained network, and the proxy naswot trains none"):
        plan("top1_int8", "params", proxy="naswot")


def test_a_missing_runtime_is_named_before_the_first_trial(images, monkeypatch):
    monkeypatch.setattr(
        "mvsearch.export.formats.find_spec", lambda name: None if name == "onnxruntime" else find_spec(name)
    )
    with pytest.raises(EnvironmentFault, match="onnxruntime"):
        Evaluator(plan("latency_int8_ms")).facts()
