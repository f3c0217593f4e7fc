"""Distillation: the loss, the teacher's logits, and trainings that learn from a teacher."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small import DENSE, SOFTMAX
from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet, DataSettings, Images, Preparation, list_cached
from mvsearch.errors import CheckpointError, DataError, MvsearchError, PlanError
from mvsearch.nn import build
from mvsearch.nn.weights_io import write_weights
from mvsearch.proxies import load_proxy, settings_used
from mvsearch.proxies.train import Settings
from mvsearch.training import run
from mvsearch.training.augment import augment
from mvsearch.training.distillation import (
    CACHE,
    DistilledSet,
    Teacher,
    cached_logits,
    distillation_loss,
    online_logits,
)
from mvsearch.training.distributed import ProcessGroup
from mvsearch.training.in_memory import InMemorySet
from mvsearch.training.job import StartedTraining, TrainingData, TrainingJob
from mvsearch.training.recipe import Augmentation, Distillation, Recipe
from mvsearch.training.tasks import load_task
from mvsearch.training.trainer import Position

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = ("cat", "dog", "cow", "hen")
ARCH = Architecture.from_dict({**SOFTMAX, "num_classes": 4})
SETTINGS = Settings(steps=3, batch=6, held_out=4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))


def dataset(classes: tuple[str, ...] = CLASSES) -> DataSet:
    draw = np.random.default_rng(0)
    labels = np.arange(40) % len(classes)
    part = Images(draw.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8), labels, classes)
    return DataSet("few", part, part.subset(np.arange(4)), "1234", (), "here", "none")


def trained(folder: Path, classes: tuple[str, ...] = CLASSES, count: int = 4, document=SOFTMAX, **changes) -> str:
    """A checkpoint beside its architecture, with outputs that differ from class to class."""
    folder.mkdir()
    arch = Architecture.from_dict({**document, "num_classes": count})
    model = build(arch, seed=1)
    nn.init.normal_(model.head.linear.weight, std=3.0, generator=torch.Generator().manual_seed(0))
    preparation = replace(Preparation((0.4, 0.5, 0.6), (0.2,), 32, classes=classes), **changes)
    write_weights(model, arch.key, folder / "weights.safetensors", preparation)
    arch.save(folder / "architecture.yaml")
    return str(folder)


def in_memory(data: DataSet, settings: Settings = SETTINGS) -> InMemorySet:
    return InMemorySet.of(load_task("classification"), data, settings.training())


def test_the_loss_is_that_of_the_paper():
    student, teacher, labels = (torch.tensor(each) for each in ([[1.0, 2.0]], [[3.0, 0.0]], [1]))
    hard = nn.functional.cross_entropy(student, labels)
    # At T = 2: teacher (e^1.5, 1) / (e^1.5 + 1), student (1, e^0.5) / (1 + e^0.5).
    p, q = np.array([np.exp(1.5), 1]) / (np.exp(1.5) + 1), np.array([1, np.exp(0.5)]) / (1 + np.exp(0.5))
    expected = 0.25 * np.log(1 + np.exp(-1)) + 0.75 * 4 * float((p * np.log(p / q)).sum())

    assert distillation_loss(hard, student, teacher, Distillation(0.75, 2.0)).item() == pytest.approx(
        expected, rel=1e-6
    )
    assert distillation_loss(hard, student, teacher, Distillation(0.0, 2.0)).item() == hard.item()
    assert distillation_loss(hard, student, student, Distillation(1.0, 3.0)).item() == pytest.approx(0, abs=1e-6)


def test_without_weight_the_loss_is_that_of_the_labels_alone(tmp_path):
    images = in_memory(dataset())
    teacher = Teacher.load(trained(tmp_path / "t"), CLASSES)
    ((x, labels),) = next(images.batches())
    ((_, both),) = next(
        DistilledSet(images, online_logits(teacher, images.preparation), Distillation(0.0)).batches(Position())
    )
    outputs = torch.randn(len(x), 4)

    distilled = DistilledSet(images, online_logits(teacher, images.preparation), Distillation(0.0)).loss(outputs, both)
    assert distilled.item() == pytest.approx(images.loss(outputs, labels).item(), rel=1e-6)


@pytest.mark.parametrize("changes", [{}, {"channel_order": "bgr"}, {"image_size": 48}])
def test_a_teacher_sees_the_images_by_its_own_preparation(tmp_path, changes):
    teacher, images = Teacher.load(trained(tmp_path / "t", **changes), CLASSES), in_memory(dataset())
    pixels = images.train_pixels[:5]
    x = pixels.float() / 255
    x = x.flip(1) if changes.get("channel_order") else x
    if size := changes.get("image_size"):
        x = nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
    expected = teacher.model((x - torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)) / 0.2)

    assert torch.allclose(teacher.logits(images.normalise(pixels), images.preparation), expected, atol=1e-3)


def test_cached_logits_are_those_of_each_batch_to_half_precision_and_computed_once(tmp_path, monkeypatch):
    teacher, images = Teacher.load(trained(tmp_path / "t"), CLASSES), in_memory(dataset())
    cached, online = cached_logits(teacher, images, "1234"), online_logits(teacher, images.preparation)
    for step, ((x, _),) in enumerate(images.batches()):
        assert torch.allclose(cached(step, x), online(step, x), rtol=2**-10, atol=1e-3)
    (entry,) = list_cached()
    assert (entry.name, entry.whole) == (CACHE, True)
    assert entry.bytes >= 3 * 6 * 4 * 2

    monkeypatch.setattr(Teacher, "logits", None)  # not called again
    again = cached_logits(teacher, in_memory(dataset()), "1234")
    assert torch.equal(again(2, x), cached(2, x))
    for other in (replace(SETTINGS, seed=1), replace(SETTINGS, crop_padding=2), replace(SETTINGS, held_out=8)):
        with pytest.raises(TypeError):  # it has to be computed
            cached_logits(teacher, in_memory(dataset(), other), "1234")
    with pytest.raises(TypeError):
        cached_logits(teacher, in_memory(dataset()), "5678")


def test_damaged_logits_are_refused_with_their_folder(tmp_path):
    teacher, images = Teacher.load(trained(tmp_path / "t"), CLASSES), in_memory(dataset())
    cached_logits(teacher, images, "1234")
    folder = list_cached()[0].folder
    (folder / "values").write_bytes(b"0")

    with pytest.raises(DataError) as error:
        cached_logits(teacher, images, "1234")
    assert str(folder) in str(error.value)


def test_classes_in_another_order_are_matched_by_name(tmp_path):
    order = (2, 0, 3, 1)
    permuted = tuple(CLASSES[i] for i in order)
    same, other = (
        Teacher.load(trained(tmp_path / "a"), CLASSES),
        Teacher.load(trained(tmp_path / "b", permuted), CLASSES),
    )
    x = torch.randn(3, 3, 32, 32)
    logits = other.logits(x, other.preparation)

    assert torch.allclose(logits, other.model(x)[:, [permuted.index(name) for name in CLASSES]], atol=1e-4)
    assert [permuted[output] for output in other.outputs] == list(CLASSES)
    assert not same.notes
    assert "by name" in other.notes[0]


@pytest.mark.parametrize(
    ("teacher", "error", "value"),
    [
        ({"count": 5, "classes": ()}, DataError, "5"),
        ({"classes": ("cat", "dog", "cow", "owl")}, DataError, "hen"),
    ],
)
def test_a_teacher_of_other_classes_is_refused(tmp_path, teacher, error, value):
    with pytest.raises(error) as raised:
        Teacher.load(trained(tmp_path / "t", **teacher), CLASSES)
    assert value in str(raised.value)
    assert raised.value.file == str(tmp_path / "t")


def test_classes_without_names_are_taken_in_order_and_this_is_said(tmp_path):
    teacher = Teacher.load(trained(tmp_path / "t", ()), CLASSES)
    assert teacher.outputs == (0, 1, 2, 3)
    assert len(teacher.notes) == 1


def test_a_teacher_is_tried_on_training_images_and_the_share_is_said(tmp_path):
    teacher, images = Teacher.load(trained(tmp_path / "t"), CLASSES), in_memory(dataset())
    answers = teacher.logits(images.normalise(images.train_pixels), images.preparation).argmax(1)
    labels = answers.clone()
    labels[: len(labels) // 4] = (labels[: len(labels) // 4] + 1) % 4

    assert "75%" in teacher.accuracy(images.train_pixels, labels)
    (sentence,) = load_proxy("train").check([ARCH], replace(SETTINGS, teacher=str(tmp_path / "t")), dataset())
    assert "40 training images" in sentence


def test_what_is_no_single_trained_classifier_is_refused(tmp_path):
    trained(tmp_path / "a")
    trained(tmp_path / "b", document=DENSE)
    for place in (tmp_path, tmp_path / "none", "mobilevitv3_xxs"):
        with pytest.raises(CheckpointError):
            Teacher.load(str(place), CLASSES)


def test_a_teacher_sees_mixed_images(tmp_path):
    """What it sees is what the network sees: its logits follow from the images after all augmentation."""
    teacher, images = Teacher.load(trained(tmp_path / "t"), CLASSES), in_memory(dataset())
    x, shares = augment(
        images.train_pixels[:6], images.train_labels[:6], Augmentation(mixup=1.0), size=32, classes=4, key=(0,)
    )
    assert shares.amax(1).min() < 1
    x = (x / 255 - images.mean) / images.std

    class Mixed:
        classes = 4

        def batches(self, position):
            yield [(x, shares)]

    ((_, both),) = next(
        DistilledSet(Mixed(), online_logits(teacher, images.preparation), Distillation()).batches(Position())
    )
    assert torch.equal(both[:, 0], shares)
    assert torch.equal(both[:, 1], teacher.logits(x, images.preparation))


def test_the_proxy_learns_from_a_teacher(tmp_path):
    proxy, data = load_proxy("train"), dataset()
    plain = proxy.score(ARCH, SETTINGS, data)
    settings = replace(SETTINGS, teacher=trained(tmp_path / "t"))
    first, again = (proxy.score(ARCH, settings, data) for _ in range(2))

    assert first == again
    assert first["train_loss"] != plain["train_loss"]
    assert proxy.score(ARCH, replace(settings, distill_weight=0.0), data)["train_loss"] == pytest.approx(
        plain["train_loss"], rel=1e-5
    )


def test_scores_depend_on_the_teacher_where_there_is_one(tmp_path):
    proxy, data = load_proxy("train"), dataset()
    names = {"teacher", "distill_weight", "temperature"}
    settings = replace(SETTINGS, teacher=trained(tmp_path / "t"))

    assert not names & settings_used(SETTINGS).keys()
    assert names <= settings_used(settings).keys()
    assert proxy.weights("classification", SETTINGS, data) == ""
    assert Teacher.load(settings.teacher, CLASSES).checksum in proxy.weights("classification", settings, data)
    with pytest.raises(PlanError):
        proxy.weights("segmentation", settings, data)


@pytest.mark.parametrize("wrong", [{"distill_weight": 1.5}, {"temperature": 0.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(MvsearchError):
        Settings(**wrong)


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder of images: 12 of each class to train on, 2 to judge by."""
    draw, folder = np.random.default_rng(0), tmp_path / "images"
    for part, count in (("train", 12), ("test", 2)):
        for name in CLASSES:
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")
    return folder


def start(folder: Path, images: Path, teacher: str, **changes) -> tuple[TrainingJob, TrainingData, StartedTraining]:
    recipe = Recipe(epochs=2, batch=8, image_size=32, mixup=0.2, cutmix=1.0)
    job = TrainingJob(ARCH, recipe, DataSettings("folder", path=str(images)), folder, teacher=teacher, **changes)
    data = job.load_data()
    return job, data, job.start(data, ProcessGroup())


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in map(json.loads, (folder / "metrics.jsonl").open()) if "loss" in line]


def test_a_stopped_training_resumes_with_the_same_losses_and_the_same_teacher_only(tmp_path, images, monkeypatch):
    monkeypatch.setattr(run, "LOGGED_STEPS", 1)
    teacher, other = trained(tmp_path / "t"), trained(tmp_path / "o", document=DENSE)
    job, data, training = start(tmp_path / "whole", images, teacher)
    assert [event.step for event in training.run.run()][-1] == 12
    part = start(tmp_path / "part", images, teacher)[2].run
    events = part.run()
    for _ in range(9):  # 6 steps, an evaluation and 2 steps
        next(events)
    part.trainer.stopping = True
    with pytest.raises(KeyboardInterrupt):
        list(events)
    for wrong in ({"teacher": other}, {"teacher": ""}, {"teacher": teacher, "distillation": Distillation(0.7)}):
        with pytest.raises(CheckpointError):
            start(tmp_path / "part", images, **wrong)
    for _ in start(tmp_path / "part", images, teacher)[2].run.run():
        pass

    assert losses(tmp_path / "part") == losses(tmp_path / "whole")
    result = job.finish(training, data, seconds=0)
    assert result["teacher"]["checksum"] == result["settings"]["teacher"] == training.teacher.checksum
    assert "training images" in result["teacher"]["notes"][-1]
    assert (result["settings"]["distill_weight"], result["settings"]["temperature"]) == (0.9, 4.0)


def test_a_teacher_for_another_task_is_refused(tmp_path):
    scenes = Architecture.from_dict({**SOFTMAX, "head": {"kind": "pspnet"}})
    with pytest.raises(PlanError):
        TrainingJob(scenes, Recipe(), DataSettings(), tmp_path, teacher="t")
