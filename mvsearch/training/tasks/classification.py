"""`classification`: one class an image, judged by `top1`."""

from mvsearch.data import DataSet
from mvsearch.training.images import Task
from mvsearch.training.recipe import Recipe


def of(data: DataSet, recipe: Recipe, device: str) -> Task:
    """The training part of a data set, split by the recipe's seed, every class in proportion."""
    return Task.of(data, recipe, device)
