"""What all trainings of a validation share: the recipe, the images, the device, the source of initial weights."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.arch.parsing import MIN_IMAGE_SIZE
from mvsearch.data import DataSettings, name_other_images
from mvsearch.errors import StudyError
from mvsearch.study.facts import StudyFacts
from mvsearch.study.settings import read_data
from mvsearch.training.job import TrainingJob
from mvsearch.training.recipe import Recipe
from mvsearch.training.recipes import default_recipe, finetune_recipe, load
from mvsearch.training.sampler import Sampler, few_steps_note, shorten_warmup
from mvsearch.utils.hashing import digest
from mvsearch.utils.yaml_document import Document

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture
    from mvsearch.nn.weight_transfer import WeightTransfer
    from mvsearch.training.job import TrainingData
    from mvsearch.utils.progress import Progress


@dataclass(frozen=True)
class Conditions:
    """What all trainings share. `checksum` is that of the images, `train_images` and `classes` count them.

    `init` is where the initial weights come from, see `mvsearch.training.source`. `steps` are those of a training; with
    several image sizes they differ a little between seeds.
    """

    recipe_name: str
    recipe: Recipe
    data: DataSettings
    data_name: str
    checksum: str
    train_images: int
    classes: int
    steps: int
    device: str = "cpu"
    precision: str = "float32"
    init: str | None = None
    init_checksum: str | None = None
    teacher: str | None = None
    teacher_checksum: str | None = None

    @property
    def name(self) -> str:
        """The name of the folder: equal conditions, equal names, and trainings that may be compared."""
        recipe = {name: value for name, value in asdict(self.recipe).items() if name != "source"}
        settings = {"recipe": recipe, "data": self.checksum, "precision": self.precision, "init": self.init_checksum}
        settings |= {"teacher": self.teacher_checksum} if self.teacher else {}
        return f"{Path(self.recipe_name).stem}_{digest(settings)}"


@dataclass(frozen=True)
class Setup:
    """The conditions, the images that they were taken from, and sentences about what was chosen or replaced."""

    conditions: Conditions
    data: "TrainingData"
    notes: tuple[str, ...]


def study_images(facts: StudyFacts, task: str) -> DataSettings:
    """The images of a study; those of its file where no score needed any."""
    if stored := facts.settings.get("data"):
        return DataSettings(**stored)
    return read_data(Document(dict(facts.document)), task)


def study_init(facts: StudyFacts) -> str | None:
    """The source of initial weights that a study's candidates start from."""
    return facts.settings.get("proxy", {}).get("init") or None


def check_study_init(facts: StudyFacts, conditions: Conditions) -> None:
    """Raises StudyError if the initial weights are not those that the study's candidates started from any more."""
    started, present = facts.weights, conditions.init_checksum
    if started is not None and present is not None and present not in started:
        raise StudyError(
            f"has changed: its checksum is {present}, and the study's candidates used {started}; put that file "
            f"there, or take this one with --init {conditions.init}.",
            at=conditions.init,
        )


def check_source(conditions: Conditions, transfer: "WeightTransfer | None") -> None:
    """Raises StudyError if a training started from other weights than the conditions have: the file has changed."""
    if transfer is not None and transfer.checksum != conditions.init_checksum:
        raise StudyError(
            f"has changed during the validation: its checksum is {transfer.checksum}, was {conditions.init_checksum}; "
            "put that file there, and the same command resumes.",
            at=conditions.init,
        )


def choose_recipe(
    facts: StudyFacts, task: str, name: str | None, settings: Sequence[str], *, init: str | None = None
) -> tuple[str, Recipe, tuple[str, ...]]:
    """The recipe by name or file, and sentences about the choice and the image size.

    By default it is that for small images, with `init` the one for trained weights where the task has one. These take
    the image size of the study's proxy, at which the candidates were scored.
    """
    random, trained = default_recipe(task), finetune_recipe(task)
    notes: tuple[str, ...] = ()
    if init and not name and trained:
        notes = (f"recipe {trained}, as networks start from trained weights; --recipe {random} is for random ones",)
    elif init and not name:
        notes = (f"recipe {random} is meant for random weights: no recipe for {task} is for trained ones",)
    name = name or (trained if init and trained else random)
    recipe, own = load(name, settings), facts.settings.get("proxy", {}).get("image_size")
    replaced = {text.partition("=")[0] for text in settings}
    if name not in (random, trained) or "image_size" in replaced or own is None or own < MIN_IMAGE_SIZE:
        return name, recipe, (*notes, f"images of {recipe.image_size} px, as the recipe has them")
    return name, replace(recipe, image_size=own), (*notes, f"images of {own} px, as the study's proxy had them")


def prepare(
    archs: "Sequence[Architecture]",
    recipe_name: str,
    recipe: Recipe,
    data: DataSettings,
    *,
    init: str | None,
    teacher: str | None = None,
    device: str,
    warmup_given: bool = False,
    progress: "Progress | None" = None,
) -> Setup:
    """Load the images. A long warm-up is cut to its share of the steps, unless it was given.

    Raises DataError for images that are missing or not for the task, PlanError for a recipe that has no batch of them,
    EnvironmentFault or CheckpointError for initial weights or a teacher that cannot be read.
    """
    from mvsearch.training.distillation import Teacher
    from mvsearch.training.loop import precision_name
    from mvsearch.training.source import Source

    with name_other_images():
        images = TrainingJob(archs[0], recipe, data, Path(), teacher=teacher or "").load_data(progress)
    count = len(images.train.labels)
    recipe, notes = (recipe, ()) if warmup_given else shorten_warmup(recipe, count)
    source = Source.load(init, images.train.classes, archs[0].task) if init else None
    if source is None:
        notes += few_steps_note(recipe, count)
    else:
        notes += tuple(note.removesuffix(".") for note in source.check_networks(archs))
    conditions = Conditions(
        recipe_name=recipe_name,
        recipe=recipe,
        data=data,
        data_name=images.name,
        checksum=images.checksum,
        train_images=count,
        classes=len(images.train.classes),
        steps=Sampler(count, recipe).steps,
        device=device,
        precision=precision_name(device),
        init=init,
        init_checksum=source.checksum if source else None,
        teacher=teacher,
        teacher_checksum=Teacher.load(teacher, images.train.classes).checksum if teacher else None,
    )
    return Setup(conditions, images, notes)
