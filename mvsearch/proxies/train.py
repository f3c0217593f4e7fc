"""A short training on real images, evaluated on held-out ones: the only proxy that measures what a network learns.

It follows the task of the networks: `top1`, `miou` and `map` are the usual metrics of the tasks.

Classifiers are ranked by `loss`, the loss on held-out images after the training. On networks that were trained in full
it is the best of what was compared (docs/evidence/proxies.md).

`scaled_loss` is for much shorter trainings, of 75 steps, in spaces with networks of very different size. The mean
training loss over all steps measures how fast a network learns, with less noise than the end (Ru et al. 2021, arXiv
2006.04492). But so few steps favour small networks, which have little to learn: so it is divided by a power of the
number of weights that mix channels, in millions, as losses fall by a power of size in scaling laws (Kaplan et al. 2020,
arXiv 2001.08361). Which power is right depends on the images (docs/log.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSet, stratified_split
from mvsearch.errors import PlanError
from mvsearch.metrics.record import Metrics
from mvsearch.metrics.registry import LOSS, MAP, MIOU, TOP1, Metric
from mvsearch.proxies import HeldOut, Proxy, Scope, ScoreTime, channel_weights
from mvsearch.training.recipe import Distillation, Recipe, ShortTraining
from mvsearch.utils.machine import clock_for
from mvsearch.utils.progress import Progress
from mvsearch.utils.units import PERCENT

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.training.distillation import DistilledSet, Teacher
    from mvsearch.training.in_memory import InMemorySet, TrainedInMemory
    from mvsearch.training.source import Source

_SCALED_LOSS = Metric(
    "scaled_loss", "score", "scaled loss", "training loss, scaled by size", noise="seed", tasks=("classification",)
)
INHERITED = Metric(
    "inherited", "measurement", "inherited", "share of inherited parameters", PERCENT, searchable=False, column=True
)
_SCOPES = {
    _SCALED_LOSS.name: Scope("MobileViT v1, v2 and v3", ("mobilevit", "mobilevitv2"), (1.1e6, 6e6)),
    LOSS.name: Scope("MobileViTv3", ("mobilevit",), (0.54e6, 1.25e6)),
}
_SCENES = {"batch": 16, "crop_padding": 8, "held_out": 200}
TASK_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "segmentation": {"steps": 150, "image_size": 96, **_SCENES},
    "detection": {"steps": 300, "lr": 2e-3, "image_size": 128, **_SCENES},
}

_TIMED_STEPS = 4
"""Steps of a network that tell how long a training takes: one to warm up, and the fastest of the others."""
_TIMED_MACS, _TIMED_IMAGES = 3e9, 2048
"""The size of each of them, about a second on a slow core, and the images that they are drawn from."""
_STEP_FORWARDS = 3  # a backward pass costs two forward passes
_FINAL_LR = 0.01
_LEAST = {"steps": 1, "batch": 2, "image_size": 8, "held_out": 1}


@dataclass(frozen=True)
class Settings:
    """AdamW with warm-up and cosine, label smoothing, averaged weights; the same batches for every network.

    Averaged weights are evaluated as in arXiv 2209.15159, appendix C, over fewer steps. With a teacher, `scaled_loss`
    is computed from the loss that includes it (mvsearch.training.recipe.Distillation).
    """

    steps: int = 600
    """Training steps."""
    batch: int = 64
    """Images of a step."""
    image_size: int = 32
    """The side of the images in pixels."""
    lr: float = 2e-3
    """The learning rate after the warm-up; it falls along a cosine to a hundredth."""
    warmup: float = 0.1
    """The share of all steps in which the learning rate rises linearly."""
    weight_decay: float = 0.05
    """Weight decay of AdamW; norms and biases have none."""
    label_smoothing: float = 0.1
    """The share of the label that is spread over all classes."""
    ema: float = 0.95
    """The share of the old average that each step keeps in the averaged weights, which are evaluated."""
    clip: float = 5.0
    """The largest norm of the gradient; 0 does not limit it."""
    crop_padding: int = 1
    """Images are shifted by up to this many pixels."""
    flip: bool = True
    """Flip images horizontally at random."""
    held_out: int = 5000
    """Images of the training part for evaluation, the same share of each class and at most a fifth of it."""
    seed: int = 0
    """The first seed of the weights and of the batches."""
    power: float = 0.5
    """`scaled_loss` is the loss divided by this power of the network's size; 0 leaves it as it is."""
    init: str = field(default="", metadata={"of": "init"})
    """A checkpoint, the folder of a training, or a pretrained model of timm (`timm:NAME`): networks start with its
    weights where they fit, and see images normalised as it did. The score `inherited` is the share of parameters that
    were taken."""
    teacher: str = field(default="", metadata={"of": "teacher"})
    """A trained classifier that networks also learn from; the same values as `init`."""
    distill_weight: float = field(default=Distillation.weight, metadata={"of": "teacher"})
    """The weight of the divergence from the teacher in the loss; cross-entropy has the rest."""
    temperature: float = field(default=Distillation.temperature, metadata={"of": "teacher"})
    """The temperature of that divergence, which is multiplied by its square."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise PlanError(f"{name}={getattr(self, name)} is too small; use {least} or more.")
        for name in ("warmup", "ema", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise PlanError(f"{name}={getattr(self, name)}: use a share from 0 to below 1.")
        self.distillation()  # checks its values

    def distillation(self) -> Distillation:
        """How the networks learn from a teacher."""
        return Distillation(self.distill_weight, self.temperature)

    def training(self) -> ShortTraining:
        """The training that these settings describe."""
        recipe = Recipe(
            epochs=1,
            batch=self.batch,
            image_size=self.image_size,
            lr=self.lr,
            lr_end=_FINAL_LR * self.lr,
            warmup_steps=max(1, round(self.warmup * self.steps)),
            by_step=True,
            weight_decay=self.weight_decay,
            clip=self.clip,
            label_smoothing=self.label_smoothing,
            ema=self.ema,
            ema_rises=True,
            crop_area=1.0,
            crop_ratio=1.0,
            flip=self.flip,
            normalise=True,
        )
        return ShortTraining(recipe, self.steps, self.crop_padding, self.held_out, self.seed)


def score(
    arch: Architecture,
    settings: Settings,
    data: DataSet,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Metrics:
    """Build the network for the data's classes and the image size, train it and evaluate it; scores are shares."""
    return train(arch, settings, data, seed=seed, device=device, progress=progress)[0]


def train(
    arch: Architecture,
    settings: Settings,
    data: DataSet,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> "tuple[Metrics, TrainedInMemory]":
    """The scores of `score`, and the trained network."""
    from mvsearch.training.in_memory import TrainedInMemory, train_in_memory

    settings = replace(settings, seed=settings.seed + seed)
    model, images, inherited = _start(arch, settings, data, _images(arch.task, settings, data, device))
    labelled = _with_teacher(images, settings, data, device) if settings.teacher else None
    average, train_loss = train_in_memory(model, images, labelled=labelled, progress=progress)
    metrics = {**images.evaluate(average).scores, "train_loss": train_loss, **inherited}
    if arch.task == "classification":
        metrics["scaled_loss"] = train_loss / (channel_weights.count(arch) / 1e6) ** settings.power
    return metrics, TrainedInMemory(_trained(arch, settings, images), average, images)


def _trained(arch: Architecture, settings: Settings, images: "InMemorySet") -> Architecture:
    """The architecture as it is trained: with the size and the classes of the images."""
    return arch.at(image_size=settings.image_size, num_classes=images.classes)


def _images(task: str, settings: Settings, data: DataSet, device: str) -> "InMemorySet":
    from mvsearch.training.in_memory import InMemorySet
    from mvsearch.training.tasks import load_task

    return InMemorySet.of(load_task(task), data, settings.training(), device)


def _start(
    arch: Architecture, settings: Settings, data: DataSet, images: "InMemorySet"
) -> "tuple[nn.Module, InMemorySet, Metrics]":
    """The network as it starts, its images as it sees them, and the share of weights that it inherits."""
    from mvsearch.nn import build

    model = build(_trained(arch, settings, images), seed=settings.seed)
    if not settings.init:
        return model, images, {}
    source = _source(settings.init, data.train.classes, arch.task)
    transfer = source.transfer(model)
    prepared = images.prepared(source.preparation) if source.preparation else images
    return model, prepared, {INHERITED.name: transfer.share}


def time(arch: Architecture, settings: Settings, data: DataSet, device: str) -> ScoreTime:
    """The seconds of a score, from a few steps with as many images as fit a second or so.

    It takes no account of a teacher, whose outputs are computed once for all networks.
    """
    from mvsearch.training.in_memory import TrainedInMemory, time_preparation, time_training
    from mvsearch.training.tasks import load_task

    size, part = settings.image_size, data.train
    macs = arch.at(image_size=size, num_classes=len(part.classes)).cost().macs
    batch = min(settings.batch, max(2, round(_TIMED_MACS / (_STEP_FORWARDS * macs))))
    spread = np.linspace(0, len(part.labels) - 1, _TIMED_IMAGES).round().astype(int)
    strata = load_task(arch.task).strata(part)
    pairs = [np.flatnonzero(strata == each)[:2] for each in np.unique(strata)]  # of a rare class too, to be split
    some = np.unique(np.concatenate((spread, *pairs)))
    timed = replace(settings, steps=_TIMED_STEPS, batch=batch)
    fewer, clock = replace(data, train=part.subset(some)), clock_for(device)
    prepare = partial(_images, arch.task, timed, fewer, device)
    images, prepared_s = time_preparation(prepare, clock, len(part.labels))
    model, images, _ = _start(arch, timed, data, images)
    step_s, image_s, calibration = time_training(model, images, clock, held=max(2, round(_TIMED_MACS / macs)))
    evaluated = calibration + held_out(arch.task, settings, data).images
    network = TrainedInMemory(_trained(arch, settings, images), model.eval(), images)
    return ScoreTime(prepared_s + image_s * evaluated, step_s * settings.batch / batch, network)


def _with_teacher(images: "InMemorySet", settings: Settings, data: DataSet, device: str) -> "DistilledSet":
    from mvsearch.training.distillation import DistilledSet, cached_logits

    teacher = _teacher(settings.teacher, data.train.classes, device)
    return DistilledSet(images, cached_logits(teacher, images, data.checksum), settings.distillation())


@lru_cache(maxsize=2)  # on the CPU and on a GPU
def _teacher(source: str, classes: tuple[str, ...], device: str) -> "Teacher":
    from mvsearch.training.distillation import Teacher

    return Teacher.load(source, classes, device)


@lru_cache(maxsize=1)
def _source(place: str, classes: tuple[str, ...], task: str) -> "Source":
    from mvsearch.training.source import Source

    return Source.load(place, classes, task)


def weights(task: str, settings: Settings, data: DataSet) -> str:
    """The trained networks that scores depend on, with their checksums; empty if there are none.

    Raises PlanError for a teacher of networks that are no classifiers, and what `Source.load` and `Teacher.load` raise.
    """
    facts = [_source(settings.init, data.train.classes, task).facts] if settings.init else []
    if settings.teacher and task != "classification":
        raise PlanError(f"a teacher is for classification, and these networks are for {task}; remove it.", at="proxy")
    if settings.teacher:
        teacher = _teacher(settings.teacher, data.train.classes, "cpu")
        facts.append(" ".join((f"teacher {teacher.name} {teacher.checksum}", *teacher.notes)))
    return " ".join(facts)


def check(archs: Sequence[Architecture], settings: Settings, data: DataSet) -> tuple[str, ...]:
    """Sentences about the source and the teacher.

    Raises CheckpointError if none of these networks has anything to start from in the source.
    """
    from mvsearch.training.trained_network import trained_on

    notes: tuple[str, ...] = ()
    if settings.init:
        notes = _source(settings.init, data.train.classes, archs[0].task).check_networks(archs, drawn=True)
        if trained_on(settings.init, data):
            notes += ("The source was trained on these images, also on those held out: scores on them are too high.",)
    return (*notes, _teacher_accuracy(settings, data)) if settings.teacher else notes


def _teacher_accuracy(settings: Settings, data: DataSet) -> str:
    import torch

    from mvsearch.training.distillation import some_images
    from mvsearch.training.transforms import resize_array

    part = data.train.subset(some_images(len(data.train.labels)))
    labels, pixels = torch.from_numpy(np.array(part.labels)), resize_array(part.pixels, settings.image_size)
    return _teacher(settings.teacher, data.train.classes, "cpu").accuracy(pixels, labels)


def held_out(task: str, settings: Settings, data: DataSet) -> HeldOut:
    """How many training images are held out for evaluation, the same for every seed."""
    from mvsearch.training.tasks import load_task

    part, plan = data.train, settings.training()
    share = plan.held_out_share(len(part.labels))
    _, held = stratified_split(load_task(task).strata(part), share, settings.seed)
    return HeldOut(len(held), len(part.labels), settings.held_out, reduced=share * len(part.labels) < settings.held_out)


PROXY = Proxy(
    version=2,
    scores=(MIOU, MAP, LOSS, TOP1, _SCALED_LOSS),
    settings=Settings,
    score=score,
    task_defaults=TASK_DEFAULTS,
    held_out=held_out,
    weights=weights,
    at_equal_cost={_SCALED_LOSS.name: LOSS.name},  # divided by size, the order is that of size
    check=check,
    time=time,
    train=train,
    measures=(INHERITED,),
    scopes=_SCOPES,
)
