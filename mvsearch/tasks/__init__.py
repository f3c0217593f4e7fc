"""What a network may learn, one file a task: `tasks/x.py` defines `of(data, recipe, device)`, which gives a Task.

A Task (mvsearch.training.images) has the batches, the loss and the judgement; the loop is the same for all.
"""

from mvsearch import plugins
from mvsearch.data import DataSet
from mvsearch.tasks._scenes import SceneTask
from mvsearch.training.images import Task
from mvsearch.training.recipe import Recipe

__all__ = ["SceneTask", "Task", "task_of"]


def task_of(name: str, data: DataSet, recipe: Recipe, device: str) -> Task:
    """The task of that name, an architecture's, on a data set; raises DataError if the data are not for it."""
    task: Task = plugins.load("tasks", name).of(data, recipe, device)
    return task
