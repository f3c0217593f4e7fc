"""Every file of the kind keeps one promise: seed in, score out, nothing else changed. What a score is, by hand."""

import inspect
import math
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import DENSE, PLAIN, SEPARABLE, SOFTMAX
from torch.nn.attention import SDPBackend, sdpa_kernel

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import TASKS, published
from mvsearch.data import load
from mvsearch.errors import PlanError
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.metrics.registry import scores
from mvsearch.nn import build
from mvsearch.profiling.measurements import measurements
from mvsearch.proxies import Proxy, ScoreNetwork, _probe, channel_weights, load_proxy
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.plan import Plan
from mvsearch.study.study import Study
from mvsearch.utils import plugins
from mvsearch.utils.yaml_document import Document

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = plugins.names("proxy")
SHORT = {"steps": 3, "batch": 8, "image_size": 32, "held_out": 50}
OPEN = {**SOFTMAX, "blocks": [*SOFTMAX["blocks"][:2], {**SOFTMAX["blocks"][2], "dim": {"choose": [16, 32]}}]}
WITH_IMAGES = ("naswot", "zico", "jacob_cov", "snip", "grad_norm", "train")


@pytest.fixture(scope="module")
def data():
    """The first images of a real data set: enough for every proxy."""
    whole = load("fashion_mnist")
    return replace(whole, train=whole.train.subset(np.arange(2000)), test=whole.test.subset(np.arange(200)))


def settings(name, **more):
    cls = load_proxy(name).settings
    known = {field.name for field in fields(cls)}
    return cls(**{key: value for key, value in {**SHORT, **more}.items() if key in known})


def score_network(name, data, document=SOFTMAX, *, seed=0, device="cpu"):
    arch = Architecture.from_dict(document)
    return load_proxy(name).score(arch, settings(name), data, seed=seed, device=device, progress=None)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_score_and_torch_is_unchanged(name, data):
    torch.manual_seed(1)
    before, grad = torch.random.get_rng_state(), torch.is_grad_enabled()
    with torch.no_grad():
        first, again = score_network(name, data), score_network(name, data, device="cpu:0")

    assert first == again
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.is_grad_enabled() is grad
    assert {score.name for score in load_proxy(name).scores_for("classification")} <= set(first)
    assert all(math.isfinite(value) for value in first.values())


@pytest.mark.parametrize("name", WITH_IMAGES)
def test_another_seed_gives_another_score(name, data):
    ranked = load_proxy(name).scores_for("classification")[0].name
    assert score_network(name, data)[ranked] != score_network(name, data, seed=1)[ranked]


@pytest.mark.parametrize("document", [PLAIN, SOFTMAX, DENSE, SEPARABLE], ids=lambda each: each["name"])
@pytest.mark.parametrize("name", NAMES)
def test_every_block_has_a_score_short_of_the_ideal(name, document, data):
    score = load_proxy(name).scores_for("classification")[0]
    if name == "jacob_cov" and document in (PLAIN, SEPARABLE):  # whose last map is a batch norm's: no gradient
        with pytest.raises(EvaluationFailed, match="does not depend on the images"):
            score_network(name, data, document)
        return
    value = score_network(name, data, document)[score.name]
    assert value < score.ideal if score.maximise else value > score.ideal


@pytest.mark.parametrize("name", NAMES)
def test_no_proxy_loads_torch_before_it_is_asked(name):
    code = f"import sys, mvsearch.proxies.{name}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_of_scores_are_unique():
    declared = [score for score in scores().values() if score.searchable]
    of_measurements = [score for measurement in measurements().values() for score in measurement.scores]
    of_proxies = [score for name in NAMES for score in load_proxy(name).scores]
    assert len(declared) == len([score for score in (*of_proxies, *of_measurements) if score.searchable])


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"train"}))
def test_a_study_optimises_the_scores_of_its_proxy(name, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan.of(SearchSpace.parse(Document({**OPEN, "proxy": {"name": name}})), name="toy", trials=2)
    assert plan.search.objectives == (*(score.name for score in load_proxy(name).scores), "params", "macs")

    from mvsearch.study.evaluator import Evaluator

    study = Study.join(plan)
    study.run(Evaluator(plan), trials=2)
    assert [record.state for record in study.records()] == ["complete"] * 2


def test_a_score_of_another_proxy_is_refused():
    space = SearchSpace.parse(Document({**OPEN, "proxy": {"name": "naswot"}}))
    with pytest.raises(PlanError, match=r"top1.*naswot"):
        Plan.of(space, name="toy", objectives=("top1", "params"))


def test_rungs_are_refused_where_there_are_no_steps():
    space = SearchSpace.parse(Document({**OPEN, "proxy": {"name": "naswot", "rungs": [10]}}))
    with pytest.raises(PlanError, match="naswot"):
        Plan.of(space, name="toy")


def test_too_few_images_are_refused():
    with pytest.raises(PlanError, match="batch=1"):
        _probe.Settings(batch=1)


def test_a_score_that_is_not_finite_is_a_failure():
    with pytest.raises(EvaluationFailed, match="zico is nan"):
        _probe.finite_score("zico", math.nan)


@pytest.mark.parametrize("name", [*WITH_IMAGES, "synflow"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_network_with_nan_or_inf_fails(name, value, data, monkeypatch):
    def broken(arch, *, seed=None):
        model = build(arch, seed=seed)
        torch.nn.init.constant_(model.stem[0].weight[0], value)
        return model

    monkeypatch.setattr("mvsearch.nn.build", broken)
    with pytest.raises(EvaluationFailed, match=r"NaN or inf|is (nan|-?inf)|became"):
        score_network(name, data)


def probe(data, batches=1, document=PLAIN):
    arch = Architecture.from_dict(document)
    return _probe.probe(arch, settings("snip"), data, seed=0, device="cpu", batches=batches)


def test_synflow_is_the_sum_over_all_ways_through_a_chain(data):
    """Without norms, ones in: R = Σ over layers of what flows through, which is the output once a layer."""
    with probe(data) as made:
        arch = Architecture.from_dict(PLAIN)
        model = build(arch.at(num_classes=10), seed=0).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.abs_()
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(parent, name, torch.nn.Identity())
    model.eval()
    ones, least = torch.ones(1, 3, 32, 32, dtype=torch.float64), 1e-7
    weights = [weight for weight in model.parameters() if weight.ndim > 1]
    total = 0.0
    for weight in weights:  # R as the derivative of the flow when one layer grows by a factor
        with torch.no_grad():
            before = model(ones).sum()
            weight.mul_(1 + least)
            total += float((model(ones).sum() - before) / least)
            weight.div_(1 + least)
    found = score_network("synflow", data, PLAIN)["synflow"]
    assert len(weights) == len(made.weights)
    assert found == pytest.approx(math.log10(total), abs=1e-4)


def test_synflow_passes_over_the_norm_of_a_head(data):
    """As StarNet has it: a norm of the last map, before the classifier."""
    normed = PLAIN | {"head": {"norm": "map"}}
    assert score_network("synflow", data, normed) == score_network("synflow", data, PLAIN)


def test_synflow_through_fused_attention_is_synflow_through_plain_operators(data):
    fused = score_network("synflow", data)
    with sdpa_kernel(SDPBackend.MATH):
        plain = score_network("synflow", data)
    assert fused["synflow"] == pytest.approx(plain["synflow"], rel=1e-9)


def with_activations(document, *acts):
    rows = [row | {"act": act} for row, act in zip(document["blocks"], acts, strict=True)]
    return document | {"name": "_".join((document["name"], *acts)), "blocks": rows}


@pytest.mark.parametrize(
    "document",
    [
        PLAIN,
        SOFTMAX,
        SEPARABLE,
        with_activations(PLAIN, "gelu", "relu6"),
        with_activations(SOFTMAX, "silu", "relu", "hard_swish"),
    ],
    ids=lambda each: each["name"],
)
def test_naswot_counts_the_units_on_which_two_images_agree(document, data, monkeypatch):
    seen = []
    for name in ("silu", "relu", "gelu", "hardtanh", "hardswish"):
        activation = getattr(F, name)

        def noted(x, *more, activation=activation, **options):
            seen.append((x > 0).reshape(SHORT["batch"], -1).numpy())
            return activation(x, *more, **options)

        monkeypatch.setattr(F, name, noted)
    with probe(data, document=document) as made, torch.no_grad():
        made.model(made.batches[0][0])
    monkeypatch.undo()
    codes = np.concatenate(seen, axis=1)
    kernel = (codes[:, None] == codes[None]).sum(-1)
    found = score_network("naswot", data, document)["naswot"]
    assert found == pytest.approx(np.linalg.slogdet(kernel.astype(float))[1], rel=1e-6)


@pytest.mark.parametrize("document", [PLAIN, SOFTMAX, SEPARABLE], ids=lambda each: each["name"])
def test_snip_and_grad_norm_are_slopes_of_the_loss(document, data):
    """Taken by finite differences in float64, layer by layer: along the weights, and along the gradient."""
    with probe(data, document=document) as made:
        signs = [gradient.sign() for gradient in _probe.gradients(made)]
        units = [gradient / gradient.norm() for gradient in _probe.gradients(made)]
        images, labels = made.batches[0]
        images, weights = images.double(), made.weights
        made.model.double()

        def slope(weight, along, step=1e-6):
            at = weight.clone()
            losses = []
            for side in (step, -step):
                weight.copy_(at + side * along)
                losses.append(float(F.cross_entropy(made.model(images), labels)))
            weight.copy_(at)
            return (losses[0] - losses[1]) / (2 * step)

        with torch.no_grad():
            each = list(zip(weights, signs, units, strict=True))
            products = sum(slope(weight, sign * weight.abs()) for weight, sign, _ in each)
            lengths = sum(slope(weight, unit.double()) for weight, _, unit in each)
    assert score_network("snip", data, document)["snip"] == pytest.approx(products, rel=1e-3)
    assert score_network("grad_norm", data, document)["grad_norm"] == pytest.approx(lengths, rel=1e-3)


def test_zico_is_mean_over_deviation_of_two_batches(data):
    with probe(data, batches=2) as made:
        first, second = (_probe.gradients(made, i) for i in (0, 1))
    total = 0.0
    for pair in zip(first, second, strict=True):
        both = torch.stack(pair).double()
        deviation = both.std(0, correction=0)
        total += math.log(float((both.abs().mean(0) / deviation)[deviation > 0].sum()))
    found = score_network("zico", data, PLAIN)["zico"]
    assert found == pytest.approx(total, rel=1e-4)


def test_jacob_cov_is_best_where_images_have_nothing_in_common(data):
    with probe(data, document=SOFTMAX) as made:
        images = made.batches[0][0]
        (jacobian,) = torch.autograd.functional.jacobian(lambda x: made.model(x).sum(), (images,))
    values = np.linalg.eigvalsh(np.corrcoef(jacobian.flatten(1).double().numpy()))
    found = score_network("jacob_cov", data)["jacob_cov"]
    assert found == pytest.approx(-(np.log(values + 1e-5) + 1 / (values + 1e-5)).sum(), rel=1e-3)


def test_channel_weights_count_a_kernel_once():
    arch = Architecture.from_dict({**PLAIN, "blocks": [{"name": "stem", "block": "conv", "out": 16, "kernel": 5}]})
    assert channel_weights.count(arch) == 3 * 16 + 2 * 16 + 16 * 10 + 10
    dense, light = (published(name) for name in ("ablation_1_baseline_v1_s", "ablation_2_conv1x1"))
    assert dense.cost().params - light.cost().params == 819_200
    assert channel_weights.count(dense) - channel_weights.count(light) == 0


def test_scaled_loss_is_the_training_loss_over_a_power_of_the_channel_weights(data):
    arch = Architecture.from_dict(SOFTMAX)
    module = load_proxy("train")
    for power in (0.0, 0.5):
        found = module.score(arch, settings("train", power=power), data, seed=0, device="cpu")
        assert found["scaled_loss"] == pytest.approx(found["train_loss"] / (channel_weights.count(arch) / 1e6) ** power)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_declares_a_proxy(name):
    proxy = load_proxy(name)

    assert isinstance(proxy, Proxy)
    assert proxy.version >= 1  # part of the key of the evaluation cache
    assert proxy.scores
    known = {field.name for field in fields(proxy.settings)} | {"seeds"}
    for task, defaults in proxy.task_defaults.items():
        assert task in TASKS
        assert set(defaults) <= known
    parameters, contract = (inspect.signature(call).parameters for call in (proxy.score, ScoreNetwork.__call__))
    assert list(parameters) == [name for name in contract if name != "self"]
