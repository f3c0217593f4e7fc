"""A training from an order to its remains: a folder with the weights, what they are worth, and how they got there.

checkpoint.pt       to go on from, while it lasts          weights.safetensors   the averaged weights
metrics.jsonl       losses, epochs                         architecture.yaml     what they are of
tensorboard/        the same, where it is installed        result.json, curve.png
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mvsearch import data as sources
from mvsearch.arch.architecture import Architecture
from mvsearch.data import DataSettings, stratified_split
from mvsearch.errors import DataError, EnvironmentFault, PlanError
from mvsearch.training.warm_start import ARCHITECTURE, RESULT, WEIGHTS, inherit_from
from mvsearch.utils.atomic_write import write_whole

if TYPE_CHECKING:
    from mvsearch.training.distributed import ProcessGroup
    from mvsearch.training.full import FullRecipe
    from mvsearch.training.job import Training
    from mvsearch.training.loaders import Source
    from mvsearch.training.pictures import Pictures
    from mvsearch.utils.progress import Progress

_REMAINS = (RESULT, WEIGHTS, ARCHITECTURE, "curve.png", "checkpoint.pt", "metrics.jsonl")


@dataclass(frozen=True)
class TrainingData:
    """What is learnt from, and what judges; `checksum` is that of the decoded images, or of their list. So many images
    were `skipped`, being broken, when they were decoded.

    `pictures` makes of two parts, a recipe and a device what a training learns from.
    """

    name: str
    checksum: str
    pictures: "Callable[[Source[Any], Source[Any], FullRecipe, str], Pictures]"
    train: "Source[Any]"
    test: "Source[Any]"
    skipped: int = 0


@dataclass(frozen=True)
class TrainingJob:
    """What is to be trained, on what, how, and where to.

    With `held_out` so many images of the training part judge, and the test part is never looked at. `init` is where the
    weights come from that it begins with, as `mvsearch.training.warm_start` finds them. `streamed` images are decoded
    as they are needed, by so many `decoders`; images in shards always are. `parts` and `every` are those of
    `mvsearch.training.job.Training`.
    """

    arch: Architecture
    recipe: "FullRecipe"
    data: DataSettings
    folder: Path
    init: Path | None = None
    held_out: int = 0
    seed: int = 0
    parts: int = 1
    every: int = 500
    compiled: bool = False
    streamed: bool = False
    decoders: int = 0

    def free(self, *, force: bool) -> None:
        """Raises EnvironmentFault for what would be lost; `force` is the leave to begin anew."""
        there = [name for name in _REMAINS if (self.folder / name).exists()]
        if self.folder.exists() and not self.folder.is_dir():
            raise EnvironmentFault("is a file; give a folder.", at=self.folder)
        if force:
            return
        if RESULT in there:
            raise EnvironmentFault("holds a finished training; --force begins anew.", at=self.folder)
        if there and "metrics.jsonl" not in there:
            raise EnvironmentFault(f"holds {there[0]}, but no training; choose another folder.", at=self.folder)

    def read(self, progress: "Progress | None" = None) -> TrainingData:
        """The images; those of a folder are decoded once at the recipe's largest size, or cut from the whole as they
        are needed."""
        from mvsearch.training.loaders import Decoded, Stream
        from mvsearch.training.pictures import Pictures
        from mvsearch.training.tasks import ScenePictures, Scenes, scenes

        judged, task = round(self.recipe.judged_side * self.recipe.image_size), scenes(self.arch.task)
        path = Path(self.data.path) if self.data.path else None
        if path and not task and self.data.source == "folder" and (self.streamed or sources.in_shards(path)):
            both = sources.find_files(
                path, test_fraction=self.data.test_fraction, seed=self.data.seed, progress=progress
            )
            kept, held = (Stream(files, self.data.size or judged, self.decoders) for files in both)
            return TrainingData(str(path), sources.listing_checksum(*both), Pictures, kept, held)
        if self.streamed:
            raise PlanError(
                f"--stream is for a folder of yours with a class an image; {self.data.source} is decoded once."
            )
        size = self.data.size or (max(judged, *self.recipe.sizes) if path or task else None)
        data = sources.load(self.data.source, path=path, size=size, task=self.arch.task, progress=progress)
        if task is None:
            name = str(path) if path else data.name
            return TrainingData(name, data.checksum, Pictures, Decoded(data.train), Decoded(data.test), data.skipped)
        task.check(data)
        train, test = (Scenes.of(part, task) for part in (data.train, data.test))
        return TrainingData(data.name, data.checksum, partial(ScenePictures, task), train, test, data.skipped)

    def training(self, data: TrainingData, ranks: "ProcessGroup", *, force: bool = False) -> "Training":
        """The training, from its checkpoint on if the folder has one; by `force` that and all else of it is removed,
        now that nothing can be refused any more."""
        from mvsearch.nn import build
        from mvsearch.training.job import Training

        train, judging = self._split(data)
        model = build(self._arch(data), seed=self.seed)
        inherited = inherit_from(self.init, model, self._arch(data)) if self.init else None
        made = Training(
            model=model,
            pictures=data.pictures(train, judging, self.recipe, ranks.device),
            recipe=self.recipe,
            folder=self.folder,
            settings=self._settings(data, ranks) | {"init": inherited.checksum if inherited else None},
            inherited=inherited,
            ranks=ranks,
            parts=self.parts,
            seed=self.seed,
            every=self.every,
            compiled=self.compiled,
        )
        if force and ranks.first:
            for name in _REMAINS:
                (self.folder / name).unlink(missing_ok=True)
        ranks.total([0.0])  # the others look for a checkpoint when it is gone
        made.resume()
        return made

    def finish(self, training: "Training", data: TrainingData, *, seconds: float) -> dict[str, Any]:
        """Write the weights and the result of a training that is over; the result."""
        from mvsearch.nn.weights_io import write_weights

        arch, place, learner = self._arch(data), training.place, training.learner
        assert place.judged is not None
        result = {
            "name": arch.name,
            "key": arch.key,
            training.pictures.score: place.judged[0],
            "loss": place.judged[1],
            "judged_on": f"{data.name}, {'held-out images of the training part' if self.held_out else 'test part'}",
            "images": place.judged[2],
            "broken": data.skipped + len(training.pictures.broken),
            "image_size": arch.image_size,
            "num_classes": arch.num_classes,
            "params": arch.cost().params,
            "macs": arch.cost().macs,
            "steps": place.step,
            "seconds_of_last_run": seconds,
            "cpu_seconds": place.cpu_seconds,
            "device": training.ranks.device,
            "mean": training.pictures.mean.flatten().tolist(),
            "std": training.pictures.std.flatten().tolist(),
            "weights": WEIGHTS,
            "init": training.inherited.to_dict() if training.inherited else None,
            "settings": training.settings,
        }
        write_weights(learner.average, arch.key, self.folder / WEIGHTS)
        arch.save(self.folder / ARCHITECTURE)
        write_whole(self.folder / RESULT, (json.dumps(result, indent=2) + "\n").encode())
        return result

    def _arch(self, data: TrainingData) -> Architecture:
        return self.arch.at(image_size=self.recipe.image_size, num_classes=len(data.train.classes))

    def _split(self, data: TrainingData) -> "tuple[Source[Any], Source[Any]]":
        if not self.held_out:
            return data.train, data.test
        if self.held_out > len(data.train.labels) // 2:
            raise DataError(
                f"held out: {self.held_out:,} are more than half of the {len(data.train.labels):,} images to train on; "
                "hold out fewer."
            )
        labels = data.train.labels if self.arch.task == "classification" else np.zeros(len(data.train.labels))
        kept, held = stratified_split(labels, self.held_out / len(labels), self.seed)
        return data.train.only(kept), data.train.only(held)

    def _settings(self, data: TrainingData, ranks: "ProcessGroup") -> dict[str, Any]:
        from mvsearch.training.loop import precision_name

        recipe = {name: value for name, value in asdict(self.recipe).items() if name != "source"}
        own = {"architecture": self._arch(data).key, "data": data.checksum, "seed": self.seed}
        precision = precision_name(ranks.device)
        shares = {"held_out": self.held_out, "processes": ranks.count, "accumulate": self.parts}
        return own | {"precision": precision, "compiled": self.compiled} | shares | recipe
