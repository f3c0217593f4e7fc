"""What a network may learn, one file a task: `tasks/x.py` defines `of(data, recipe, device)`, which gives a Task.

A task on scenes names its class as SCENES; whole trainings are made of that.

A Task (mvsearch.training.images) has the batches, the loss and the judgement; the loop is the same for all.
"""

from mvsearch.data import DataSet
from mvsearch.training.images import Task
from mvsearch.training.recipe import Recipe
from mvsearch.training.tasks._scenes import SceneTask
from mvsearch.training.tasks._whole import ScenePictures, Scenes
from mvsearch.utils import plugins

__all__ = ["ScenePictures", "SceneTask", "Scenes", "Task", "scenes", "task_of"]


def task_of(name: str, data: DataSet, recipe: Recipe, device: str) -> Task:
    """The task of that name, an architecture's, on a data set; raises DataError if the data are not for it."""
    task: Task = plugins.load("task", name).of(data, recipe, device)
    return task


def scenes(name: str) -> type[SceneTask] | None:
    """The class of a task on scenes; None for one that has a class an image."""
    found: type[SceneTask] | None = getattr(plugins.load("task", name), "SCENES", None)
    return found
