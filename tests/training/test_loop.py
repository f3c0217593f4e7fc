"""Training on real images, kept short: what must hold of any length."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from small import SOFTMAX
from torch import nn
from toy import toy_plan

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import published
from mvsearch.data import load
from mvsearch.metrics.record import EvaluationFailed
from mvsearch.nn import build
from mvsearch.nn.conv import Conv
from mvsearch.nn.mobilevit import SelfAttention
from mvsearch.proxies import train as train_proxy
from mvsearch.training.in_memory import InMemorySet, train_in_memory
from mvsearch.training.loop import half_dtype, recalibrate_norms
from mvsearch.training.tasks import load_task
from mvsearch.training.transforms import shift_and_flip

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = train_proxy.Settings(steps=12, batch=32, held_out=500)


@pytest.fixture(scope="module")
def fashion():
    return load("fashion_mnist")


def with_settings(images, **changes):
    """The same images, drawn by other settings."""
    return replace(images, plan=replace(SHORT, **changes).training())


def in_memory(data, settings):
    return InMemorySet.of(load_task("classification"), data, settings.training())


@pytest.fixture(scope="module")
def images(fashion):
    return in_memory(fashion, SHORT)


def test_the_same_seed_gives_the_same_score_and_another_seed_another(fashion):
    arch, few = Architecture.from_dict(SOFTMAX), replace(fashion, train=fashion.train.subset(np.arange(2000)))
    first, again = (train_proxy.score(arch, SHORT, few, seed=0, device="cpu") for _ in range(2))
    other = train_proxy.score(arch, SHORT, few, seed=1, device="cpu")

    assert first == again
    assert first != other


def test_a_network_learns_more_than_chance_in_sixty_steps(fashion):
    recipe = replace(SHORT, steps=60)
    score = train_proxy.score(published("mobilevitv3_xxs"), recipe, fashion, seed=0, device="cpu")

    assert score["top1"] > 0.4
    assert score["loss"] < 2.0


def test_held_out_images_are_never_trained_on_and_hold_every_class_alike(fashion, images):
    assert len(images.train_labels) + len(images.held_labels) == len(fashion.train.labels)
    assert images.held_labels.bincount().tolist() == [50] * 10
    train_images = {image.numpy().tobytes() for image in images.train_pixels}
    held_images = [image.numpy().tobytes() for image in images.held_pixels]
    assert sum(image in train_images for image in held_images) <= 2  # the set itself holds some images twice


def test_every_network_sees_the_same_batches(images):
    one, other = ([batch for [batch] in images.batches()] for _ in range(2))

    assert len(one) == SHORT.steps
    assert all(torch.equal(x, y) and torch.equal(a, b) for (x, a), (y, b) in zip(one, other, strict=True))
    [reseeded] = next(with_settings(images, seed=1).batches())
    assert not torch.equal(one[0][0], reseeded[0])


def test_augmentation_shifts_and_mirrors_and_changes_nothing_else():
    pixels = torch.arange(2 * 1 * 6 * 6, dtype=torch.uint8).view(2, 1, 6, 6) + 1
    still, mirror = torch.zeros(2, 2, dtype=torch.long), torch.tensor([False, True])
    assert torch.equal(shift_and_flip(pixels, still, ~mirror & mirror, 0), pixels)
    assert torch.equal(shift_and_flip(pixels, still, mirror, 0), torch.stack((pixels[0], pixels[1].flip(-1))))

    down_right = shift_and_flip(pixels, torch.tensor([[0, 2], [1, 2]]), mirror, 1)
    assert torch.equal(down_right[0, :, 1:], pixels[0, :, :-1])  # cut out from above: black on top
    assert not down_right[0, :, 0].any()
    assert torch.equal(down_right[1, :, :-1, 1:], pixels[1, :, 1:, 1:].flip(-1))


def test_draws_keep_to_the_recipe(images):
    indices, shift, mirror = next(with_settings(images, crop_padding=2).draws(1, SHORT.batch))
    assert len(indices.unique()) == SHORT.batch
    assert set(shift.unique().tolist()) == {0, 1, 2, 3, 4}
    assert 0 < int(mirror.sum()) < SHORT.batch
    assert not next(with_settings(images, flip=False).draws(1, SHORT.batch))[2].any()


@pytest.mark.parametrize(("out", "kernel", "groups"), [(6, 1, 1), (8, 3, 1), (6, 3, 6), (8, 3, 2), (6, 5, 6)], ids=str)
def test_small_maps_are_convolved_and_learnt_from_as_all_others_are(out, kernel, groups):
    for stride, dilation, height, width in product((1, 2), (1, 2), (1, 2, 3, 4), (1, 2, 4)):
        conv = Conv(6, out, kernel=kernel, stride=stride, groups=groups, dilation=dilation).double().train()
        x = torch.randn(3, 6, height, width, dtype=torch.double, requires_grad=True)
        ours, plain = conv(x), nn.Sequential.forward(conv, x)
        gradients = [torch.autograd.grad(y.pow(3).sum(), [x, *conv.parameters()]) for y in (ours, plain)]

        torch.testing.assert_close(ours, plain)
        torch.testing.assert_close(*gradients)


def test_a_row_that_is_alone_attends_to_itself_in_training_too():
    attention = SelfAttention(dim=8, heads=2)
    x = torch.randn(3, 1, 8, requires_grad=True)
    training, judging = attention.train()(x), attention.eval()(x)
    gradients = [torch.autograd.grad(y.pow(3).sum(), [x, *attention.parameters()]) for y in (training, judging)]

    torch.testing.assert_close(training, judging)
    torch.testing.assert_close(*gradients)


def test_the_learning_rate_rises_to_its_peak_then_falls_to_a_hundredth():
    recipe = replace(SHORT, steps=100, lr=1.0).training().recipe
    rates = [recipe.lr_at(step, 0, epoch_steps=100) for step in range(100)]

    assert max(rates) == rates[9] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize(
    ("capability", "precision"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_cards_that_only_emulate_bfloat16_multiply_in_float16(capability, precision, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert half_dtype("cuda:1") is precision
    assert half_dtype("cpu") is None


def test_a_loss_that_is_no_number_stops_the_training_and_says_where(images):
    model = build(published("mobilevitv3_xxs").at(image_size=32, num_classes=10), seed=0)
    with torch.no_grad():
        model.stem.conv.weight.fill_(float("nan"))

    with pytest.raises(EvaluationFailed, match="nan at step 1 of 12"):
        train_in_memory(model, images)


def test_two_seeds_tell_the_noise_of_the_score(tmp_path):
    from mvsearch.study.evaluator import Evaluator

    text = "proxy: {steps: 4, batch: 16, held_out: 200, seeds: 2}\n"
    from toy import TOY

    plan = toy_plan(tmp_path, TOY + text, objectives=("top1", "params"))
    evaluator = Evaluator(plan)
    metrics = evaluator(plan.space.architecture(plan.space.point(plan.space.sample(1, 0)[0])))

    assert 0 <= metrics["top1"] <= 1
    assert metrics["top1_std"] >= 0
    assert "fashion_mnist" in evaluator.facts()["data"]


def test_a_rung_is_a_training_of_its_own_that_no_limit_on_the_score_ends(tmp_path):
    from toy import TOY

    from mvsearch.metrics.record import ConstraintViolated
    from mvsearch.study.evaluator import Evaluator

    text = "proxy: {steps: 4, seeds: 1, batch: 16, held_out: 200, rungs: [2]}\n"
    limited = toy_plan(tmp_path, TOY + text, objectives=("top1", "params"), limits=("top1 >= 0.99",))
    short = toy_plan(tmp_path, TOY + text.replace("4", "2").replace(", rungs: [2]", ""), objectives=("top1", "params"))
    arch = limited.space.architecture(limited.space.point(limited.space.sample(1, 0)[0]))

    evaluator = Evaluator(limited)
    rung = evaluator(arch, rung=2)
    assert rung == Evaluator(short)(arch)
    assert limited.settings(rung=2) == short.settings()
    assert evaluator(arch, repeat=1)["top1"] < 0.99
    with pytest.raises(ConstraintViolated, match=r"breaks the limit top1 >= 0\.99"):
        evaluator(arch)


def test_images_of_another_size_are_resized_to_the_recipe(fashion):
    small = replace(
        fashion, train=replace(fashion.train, pixels=fashion.train.pixels[:600], labels=fashion.train.labels[:600])
    )
    [(x, _)] = next(in_memory(small, replace(SHORT, image_size=48, held_out=100)).batches())
    assert x.shape == (32, 3, 48, 48)
    assert abs(float(x.mean())) < 0.2


@pytest.mark.parametrize("name", ["starnet_s1", "shvit_s1", "mobilevitv2_0.5"])
def test_the_statistics_of_every_norm_of_maps_are_computed_anew(name):
    model = build(published(name).at(image_size=32, num_classes=10), seed=0)
    images = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    recalibrate_norms(model, images)
    counts = {module.num_batches_tracked.item() for module in model.modules() if isinstance(module, nn.BatchNorm2d)}
    assert counts == {2}
    assert not model.training
