"""A training from an order to its remains: a folder with the weights, what they are worth, and how they got there.

checkpoint.pt       to go on from, while it lasts          weights.safetensors   the averaged weights
metrics.jsonl       losses, epochs                         architecture.yaml     what they are of
tensorboard/        the same, where it is installed        result.json, curve.png
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch import data as sources
from mvsearch.architecture import Architecture
from mvsearch.data import DataSet, Images, stratified_split
from mvsearch.errors import DataError, EnvironmentFault, PlanError
from mvsearch.files import write_whole
from mvsearch.plan import DataSettings

if TYPE_CHECKING:
    from mvsearch.data._progress import Progress
    from mvsearch.training.full import FullRecipe
    from mvsearch.training.ranks import Ranks
    from mvsearch.training.run import Training

_REMAINS = ("result.json", "weights.safetensors", "architecture.yaml", "curve.png", "checkpoint.pt", "metrics.jsonl")


@dataclass(frozen=True)
class Order:
    """What is to be trained, on what, how, and where to.

    With `held_out` so many images of the training part judge, and the test part is never looked at. `weights` is a
    checkpoint to begin with; a classifier for other classes in it is left out. `parts` and `every` are those of
    `mvsearch.training.run.Training`.
    """

    arch: Architecture
    recipe: "FullRecipe"
    data: DataSettings
    folder: Path
    weights: Path | None = None
    held_out: int = 0
    seed: int = 0
    parts: int = 1
    every: int = 500
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.arch.task != "classification":
            raise PlanError(
                f"{self.arch.name or self.arch.key} is for {self.arch.task}; a whole training is for classifiers: "
                "train the backbone, and `mvsearch predict` trains a head."
            )

    def free(self, *, force: bool) -> None:
        """Make the folder ready; raises EnvironmentFault for what would be lost. `force` is the leave to begin anew."""
        there = [name for name in _REMAINS if (self.folder / name).exists()]
        if self.folder.exists() and not self.folder.is_dir():
            raise EnvironmentFault(f"{self.folder}: is a file; give a folder.")
        if force:
            for name in there:
                (self.folder / name).unlink()
        elif "result.json" in there:
            raise EnvironmentFault(f"{self.folder}: holds a finished training; --force begins anew.")
        elif there and "metrics.jsonl" not in there:
            raise EnvironmentFault(f"{self.folder}: holds {there[0]}, but no training; choose another folder.")
        self.folder.mkdir(parents=True, exist_ok=True)

    def read(self, progress: "Progress | None" = None) -> DataSet:
        """The images; those of a folder are decoded at the recipe's largest size."""
        size = self.data.size or (max(self.recipe.sizes) if self.data.path else None)
        path = Path(self.data.path) if self.data.path else None
        return sources.load(self.data.source, path=path, size=size, task="classification", progress=progress)

    def training(self, data: DataSet, ranks: "Ranks") -> "Training":
        """The training, from its checkpoint on if the folder has one."""
        from mvsearch.exporters._weights import load_weights
        from mvsearch.nn import build
        from mvsearch.training.run import Pictures, Training

        train, judging = self._split(data)
        model = build(self._arch(data), seed=self.seed)
        if self.weights:
            load_weights(model, self.weights, any_classes=True)
        made = Training(
            model=model,
            pictures=Pictures(train, judging, self.recipe, ranks.device),
            recipe=self.recipe,
            folder=self.folder,
            settings=self._settings(data, ranks),
            ranks=ranks,
            parts=self.parts,
            seed=self.seed,
            every=self.every,
            compiled=self.compiled,
        )
        made.go_on()
        return made

    def finish(self, training: "Training", data: DataSet, *, seconds: float) -> dict[str, Any]:
        """Write the weights, the picture and the result of a training that is over; the result."""
        from mvsearch.exporters import yaml
        from mvsearch.exporters._weights import write_weights
        from mvsearch.exporters.subject import Subject
        from mvsearch.report.curve import Curve, draw_curve
        from mvsearch.training import journal

        arch, place, learner = self._arch(data), training.place, training.learner
        assert place.judged is not None
        result = {
            "name": arch.name,
            "key": arch.key,
            "top1": place.judged[0],
            "loss": place.judged[1],
            "judged_on": f"{data.name}, {'held-out images of the training part' if self.held_out else 'test part'}",
            "images": len(training.pictures.judging.labels),
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
            "weights": "weights.safetensors",
            "settings": training.settings,
        }
        write_weights(Subject(arch, learner.average, "trained"), self.folder / "weights.safetensors")
        yaml.write(arch, self.folder / "architecture.yaml")
        said = f"{data.name}, {place.step:,} steps at {arch.image_size} px"
        lines = journal.read(self.folder / "metrics.jsonl")
        draw_curve(Curve.of(lines, arch.name or arch.key, said), self.folder / "curve.png")
        write_whole(self.folder / "result.json", (json.dumps(result, indent=2) + "\n").encode())
        return result

    def _arch(self, data: DataSet) -> Architecture:
        return self.arch.at(image_size=self.recipe.image_size, num_classes=len(data.train.classes))

    def _split(self, data: DataSet) -> tuple[Images, Images]:
        if not self.held_out:
            return data.train, data.test
        if self.held_out > len(data.train.labels) // 2:
            raise DataError(
                f"held out: {self.held_out:,} are more than half of the {len(data.train.labels):,} images to train on; "
                "hold out fewer."
            )
        kept, held = stratified_split(data.train.labels, self.held_out / len(data.train.labels), self.seed)
        train, judging = (
            replace(data.train, pixels=data.train.pixels[part], labels=data.train.labels[part]) for part in (kept, held)
        )
        return train, judging

    def _settings(self, data: DataSet, ranks: "Ranks") -> dict[str, Any]:
        recipe = {name: value for name, value in asdict(self.recipe).items() if name != "source"}
        weights = hashlib.sha256(self.weights.read_bytes()).hexdigest()[:32] if self.weights else None
        own = {"architecture": self._arch(data).key, "data": data.checksum, "weights": weights, "seed": self.seed}
        return own | {"held_out": self.held_out, "processes": ranks.count, "accumulate": self.parts} | recipe
