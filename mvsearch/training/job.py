"""A whole training, from what is to be trained to a folder with the weights, their scores and how they came about.

checkpoint.pt       to resume from, during the training    weights.safetensors   the averaged weights
metrics.jsonl       losses, evaluations                    architecture.yaml     their architecture
tensorboard/        the same, where it is installed        result.json, curve.png
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mvsearch import data as sources
from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSettings, Preparation, Skipped, count_broken, merge_skipped, stratified_split
from mvsearch.errors import DataError, EnvironmentFault, PlanError
from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.registry import HELD_OUT, TEST
from mvsearch.training.recipe import Distillation
from mvsearch.training.trained_network import ARCHITECTURE, RESULT, WEIGHTS, count_classes
from mvsearch.utils.atomic_write import write_whole
from mvsearch.utils.text import printable

if TYPE_CHECKING:
    from mvsearch.nn.weight_transfer import WeightTransfer
    from mvsearch.training.distillation import Teacher
    from mvsearch.training.distributed import ProcessGroup
    from mvsearch.training.loader_set import LoaderSet
    from mvsearch.training.loaders import ImageLoader
    from mvsearch.training.recipe import Recipe
    from mvsearch.training.run import TrainingRun
    from mvsearch.training.tasks import Task
    from mvsearch.training.trainer import TrainingSet
    from mvsearch.utils.progress import Progress

_FILES = (RESULT, WEIGHTS, ARCHITECTURE, "curve.png", "checkpoint.pt", "metrics.jsonl")


@dataclass(frozen=True)
class TrainingData:
    """The images that are trained on and those of the test part.

    `checksum` is that of the decoded images, or of their list where they are streamed. `skipped` and `assumptions` are
    those of the `DataSet`.
    """

    name: str
    checksum: str
    task: "Task"
    train: "ImageLoader[Any]"
    test: "ImageLoader[Any]"
    skipped: tuple[Skipped, ...] = ()
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class StartedTraining:
    """A training that is ready to run: its data, its run, and the weights that it started with, if not the seed's.

    `notes` are sentences about these weights: what they expect of images that this training does otherwise. `teacher`
    is None for a training that learns from labels alone.
    """

    data: "LoaderSet"
    run: "TrainingRun"
    transfer: "WeightTransfer | None"
    notes: tuple[str, ...] = ()
    teacher: "Teacher | None" = None


@dataclass(frozen=True)
class TrainingJob:
    """What is to be trained, on what, how, and into which folder.

    With `held_out`, so many images of the training part are for evaluation and the test part is not used. `init` is
    where the initial weights come from, see `mvsearch.training.source`. The network learns from the `teacher`, a
    checkpoint, the folder of a training or `timm:NAME`, as `distillation` says. `streamed` images are decoded when they
    are needed, by `decoders` processes; images in shards always are. `parts` is in how many pieces a process takes its
    share of a batch, `every` the number of steps between checkpoints.
    """

    arch: Architecture
    recipe: "Recipe"
    data: DataSettings
    folder: Path
    init: Path | str | None = None
    held_out: int = 0
    seed: int = 0
    parts: int = 1
    every: int = 500
    compiled: bool = False
    streamed: bool = False
    decoders: int = 0
    teacher: str = ""
    distillation: Distillation = Distillation()  # noqa: RUF009  frozen

    def __post_init__(self) -> None:
        if self.teacher and self.arch.task != "classification":
            raise PlanError(f"is for classification, and this network is for {self.arch.task}.", at="--teacher")

    @property
    def part(self) -> str:
        """The part of the images that the network is evaluated on: `test` or `held-out`."""
        return HELD_OUT if self.held_out else TEST

    def check_folder(self, *, force: bool) -> None:
        """Raises EnvironmentFault if results would be lost; with `force` they may be."""
        existing = [name for name in _FILES if (self.folder / name).exists()]
        if self.folder.exists() and not self.folder.is_dir():
            raise EnvironmentFault("is a file; give a folder.", at=self.folder)
        if force:
            return
        if RESULT in existing:
            raise EnvironmentFault("contains a finished training; use --force to start over.", at=self.folder)
        if existing and "metrics.jsonl" not in existing:
            raise EnvironmentFault(f"contains {existing[0]}, but no training; choose another folder.", at=self.folder)

    def load_data(self, progress: "Progress | None" = None) -> TrainingData:
        """The images.

        Those of a folder are decoded once at the recipe's largest size or more, or streamed; other sources are decoded.
        """
        from mvsearch.training.loaders import DecodedLoader, SceneLoader, StreamLoader
        from mvsearch.training.tasks import load_task

        evaluated, task = round(self.recipe.judged_side * self.recipe.image_size), load_task(self.arch.task)
        path = Path(self.data.path) if self.data.path else None
        fraction, seed = self.data.test_fraction, self.data.seed
        in_folder = path is not None and not task.has_scenes and self.data.source == "folder"
        if path and in_folder and (self.streamed or sources.in_shards(path)):
            files = sources.find_encoded(path, test_fraction=fraction, seed=seed, progress=progress)
            both = files.train, files.test
            streams = [StreamLoader(part, max(self.data.size or 0, evaluated), self.decoders) for part in both]
            checksum, notes = sources.listing_checksum(*both), (files.skipped, files.assumptions)
            return TrainingData(printable(path), checksum, task, streams[0], streams[1], *notes)
        if self.streamed:
            raise PlanError(
                f"--stream needs a folder of images by class; the source {self.data.source} is decoded once."
            )
        largest = max(evaluated, *self.recipe.sizes) if path or task.has_scenes else 0
        data = sources.load(
            self.data.source,
            path=path,
            size=sources.decoded_size(self.data, largest),
            test_fraction=fraction,
            seed=seed,
            task=self.arch.task,
            progress=progress,
        )
        task.check(data)
        name = printable(path) if path and not task.has_scenes else data.name
        train, test = (
            SceneLoader.of(part, task) if task.has_scenes else DecodedLoader(part) for part in (data.train, data.test)
        )
        return TrainingData(name, data.checksum, task, train, test, data.skipped, data.assumptions)

    def few_steps_note(self, data: TrainingData) -> tuple[str, ...]:
        """A sentence if the steps may be too few to learn from random weights."""
        from mvsearch.training.sampler import few_steps_note

        return () if self.init else few_steps_note(self.recipe, len(data.train.labels) - self.held_out)

    def chance_note(self, training: StartedTraining) -> tuple[str, ...]:
        """A sentence if a classifier is within two standard errors of naming the most frequent class of all images."""
        from mvsearch.training.sampler import ENOUGH_STEPS, is_guessing, settings_for

        data, evaluation = training.data, training.run.evaluation
        assert evaluation is not None
        if data.task.has_scenes:
            return ()
        chance = np.bincount(data.held_out.labels).max() / len(data.held_out.labels)
        if not is_guessing(evaluation.score, chance, evaluation.images):
            return ()
        share = f"the largest of {data.classes} classes has {pretty(data.metric, chance)} of the images"
        more = settings_for(max(ENOUGH_STEPS, 2 * data.steps), self.recipe, len(data.train.labels))
        return (f"This is about what guessing gives ({share}). More steps may help, e.g. {more}",)

    def shorten_warmup(self, data: TrainingData) -> "tuple[TrainingJob, tuple[str, ...]]":
        """The training with a warm-up that suits its number of steps, and a sentence if it differs from the recipe."""
        from mvsearch.training.sampler import shorten_warmup

        self._check_held_out(data)
        recipe, notes = shorten_warmup(self.recipe, len(data.train.labels) - self.held_out)
        return replace(self, recipe=recipe), notes

    def start(self, data: TrainingData, group: "ProcessGroup", *, force: bool = False) -> StartedTraining:
        """The training, resumed from its checkpoint if the folder has one.

        With `force` the previous training in the folder is removed, once nothing can be refused any more.
        """
        from mvsearch.nn import build
        from mvsearch.training.loader_set import LoaderSet
        from mvsearch.training.run import TrainingRun
        from mvsearch.training.source import warm_start
        from mvsearch.training.trainer import Trainer

        train, held_out = self._split(data)
        model = build(self._arch(data), seed=self.seed)
        transfer = warm_start(self.init, model, self._arch(data), data.train.classes) if self.init else None
        images = LoaderSet.of(data.task, train, held_out, self.recipe, group, parts=self.parts, seed=self.seed)
        teacher = self._load_teacher(data, group)
        settings = self._settings(data, group) | {"init": transfer.checksum if transfer else None}
        settings |= self._teacher_settings(teacher)
        labelled = self._distil(images, data, teacher) if teacher else images
        trainer = Trainer(model, labelled, self.recipe, group, seed=self.seed, compiled=self.compiled)
        run = TrainingRun(trainer, self.folder, settings, self.every)
        if force and group.first:
            for name in _FILES:
                (self.folder / name).unlink(missing_ok=True)
        group.wait()  # the others look for a checkpoint only when it is removed
        run.resume()
        notes = _describe_start(transfer, self._preparation(images, data)) if transfer else ()
        return StartedTraining(images, run, transfer, notes, teacher)

    def finish(self, training: StartedTraining, data: TrainingData, *, seconds: float) -> dict[str, Any]:
        """Write the weights and the result of a finished training; returns the result."""
        from mvsearch.nn.weights_io import checksum, write_weights

        arch, run, evaluation = self._arch(data), training.run, training.run.evaluation
        assert evaluation is not None
        cost, preparation = arch.cost(), self._preparation(training.data, data)
        skipped = merge_skipped((*data.skipped, *training.data.skipped))
        result = {
            "name": arch.name,
            "key": arch.key,
            evaluation.metric: evaluation.score,
            "loss": evaluation.loss,
            "judged_on": f"{data.name}, {'held-out images of the training part' if self.held_out else 'test part'}",
            "part": self.part,
            "images": evaluation.images,
            "broken": count_broken(skipped),
            "skipped": [asdict(entry) for entry in skipped],
            "assumptions": data.assumptions,
            "split": {"test_fraction": self.data.test_fraction, "seed": self.data.seed},
            "num_classes": arch.num_classes,
            "images_of_class": None if data.task.has_scenes else count_classes(data.train.labels),
            "params": cost.params,
            "macs": cost.macs,
            "steps": run.trainer.position.step,
            "seconds_of_last_run": seconds,
            "cpu_seconds": run.cpu_seconds,
            "device": run.trainer.group.device,
            **{name: value for name, value in preparation.to_json().items() if name != "source"},
            "weights": WEIGHTS,
            "weights_checksum": checksum(run.trainer.average.state_dict()),
            "init": training.transfer.to_dict() | {"notes": training.notes} if training.transfer else None,
            "teacher": training.teacher.facts() if training.teacher else None,
            "settings": run.settings,
        }
        write_weights(run.trainer.average, arch.key, self.folder / WEIGHTS, preparation)
        arch.save(self.folder / ARCHITECTURE)
        write_whole(self.folder / RESULT, (json.dumps(result, indent=2) + "\n").encode())
        return result

    def _load_teacher(self, data: TrainingData, group: "ProcessGroup") -> "Teacher | None":
        from mvsearch.training.distillation import Teacher, some_images
        from mvsearch.training.transforms import resize

        if not self.teacher:
            return None
        teacher = Teacher.load(self.teacher, data.train.classes, group.device)
        ((pixels, labels),) = data.train.load([some_images(len(data.train.labels))], fill_broken=False)
        accuracy = teacher.accuracy(resize(pixels, self.recipe.image_size), labels, group.device)
        return replace(teacher, notes=(*teacher.notes, accuracy))

    def _distil(self, images: "LoaderSet", data: TrainingData, teacher: "Teacher") -> "TrainingSet":
        from mvsearch.training.distillation import DistilledSet, online_logits

        return DistilledSet(images, online_logits(teacher, self._preparation(images, data)), self.distillation)

    def _teacher_settings(self, teacher: "Teacher | None") -> dict[str, Any]:
        if teacher is None:
            return {"teacher": None}
        distillation = {"distill_weight": self.distillation.weight, "temperature": self.distillation.temperature}
        return {"teacher": teacher.checksum, **distillation}

    def _arch(self, data: TrainingData) -> Architecture:
        return self.arch.at(image_size=self.recipe.image_size, num_classes=len(data.train.classes))

    def _preparation(self, images: "LoaderSet", data: TrainingData) -> Preparation:
        """How the images are prepared on which the network is evaluated."""
        return Preparation(
            mean=tuple(images.mean.flatten().tolist()),
            std=tuple(images.std.flatten().tolist()),
            image_size=self.recipe.image_size,
            crop=1 / self.recipe.judged_side,
            classes=data.train.classes,
            source=f"the training on {Path(data.name).name}",
            fit="stretch" if data.task.has_scenes else "crop",
        )

    def _check_held_out(self, data: TrainingData) -> None:
        count = len(data.train.labels)
        if self.held_out > count // 2:
            raise DataError(f"more than half of the {count:,} training images; use fewer.", at="--held-out")

    def _split(self, data: TrainingData) -> "tuple[ImageLoader[Any], ImageLoader[Any]]":
        if not self.held_out:
            return data.train, data.test
        self._check_held_out(data)
        share = self.held_out / len(data.train.labels)
        train, held_out = stratified_split(data.task.strata(data.train.part), share, self.seed)
        return data.train.subset(train), data.train.subset(held_out)

    def _settings(self, data: TrainingData, group: "ProcessGroup") -> dict[str, Any]:
        """All that the losses of the training depend on; these names are written to checkpoints and results."""
        from mvsearch.training.loop import precision_name

        return {
            "architecture": self._arch(data).key,
            "data": data.checksum,
            "seed": self.seed,
            "precision": precision_name(group.device),
            "compiled": self.compiled,
            "held_out": self.held_out,
            "processes": group.count,
            "accumulate": self.parts,
            **{name: value for name, value in asdict(self.recipe).items() if name != "source"},
            "ema_is_decay": True,
        }


def _describe_start(transfer: "WeightTransfer", own: Preparation) -> tuple[str, ...]:
    """What the initial weights expect of images that the training does otherwise, and what did not fit."""
    initial = transfer.preparation
    if initial is None:
        note = f"The preparation of images for the initial weights is unknown; here it is {own.describe()}."
        return (note, *transfer.notes)
    difference = own.differs_from(initial)
    note = f"This training uses {difference}, which the initial weights expect ({initial.source})."
    return (*([note] if difference else []), *transfer.notes)
