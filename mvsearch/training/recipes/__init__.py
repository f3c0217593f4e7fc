"""Recipes as data: `recipes/v1.yaml` is the recipe `v1`; a file of the user's has the same form. Settings can be
replaced.

>>> load("v2", ["epochs=30", "mixup=0"]).epochs
30
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mvsearch.arch.parsing import MIN_IMAGE_SIZE
from mvsearch.errors import Location, PlanError, YamlError
from mvsearch.training.recipe import Recipe
from mvsearch.utils import plugins, yaml_document
from mvsearch.utils.settings import from_mapping

_FOLDER = Path(__file__).parent
_LOG = logging.getLogger(__name__)


def names() -> tuple[str, ...]:
    """The recipes that are part of the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def default_recipe(task: str) -> str:
    """The name of the recipe for a task if none is given."""
    return "short" if task == "classification" else f"short_{task}"


def finetune_recipe(task: str) -> str | None:
    """The name of the recipe for networks that start from trained weights, on small images; None for other tasks."""
    return "finetune" if task == "classification" else None


def warmup_given(settings: Iterable[str]) -> bool:
    """Whether settings replace the length of the warm-up, which is then never shortened."""
    return any(text.partition("=")[0].strip() == "warmup_steps" for text in settings)


def load(name: str, settings: Iterable[str] = ()) -> Recipe:
    """A recipe by its name or file, with some settings replaced (`name=value`); raises PlanError or YamlError."""
    document = yaml_document.read(_path(name))
    values, replaced = dict(document.data), set()
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise PlanError("has no value; write it as name=value, e.g. --set epochs=30.", at=f"--set {text}")
        try:
            values[key] = yaml_document.parse(f"value: {value}").data["value"]
        except YamlError:
            raise PlanError(
                f"cannot read the value {value!r}; write a number, a word or a list.", at=f"--set {text}"
            ) from None
        replaced.add(key)

    def where(key: str) -> Location | str:
        return f"--set {key}" if key in replaced else document.where(key)

    recipe: Recipe = from_mapping(Recipe, _upgrade(values, where), where)
    if recipe.image_size < MIN_IMAGE_SIZE:
        raise PlanError(f"found {recipe.image_size}; use {MIN_IMAGE_SIZE} or more.", at=where("image_size"))
    return recipe


def _upgrade(values: dict[str, Any], where: Any) -> dict[str, Any]:
    """Convert `ema` as recipes wrote it before: the small share that the average moved by, not the share it keeps."""
    ema = values.get("ema")
    if not isinstance(ema, float) or not 0 < ema < 0.5:
        return values
    _LOG.warning(
        "%s: ema is the share of the old average that a step keeps; %s is read as %s", where("ema"), ema, 1 - ema
    )
    return {**values, "ema": 1 - ema}


def _path(name: str) -> Path:
    if name in names():
        return _FOLDER / f"{name}.yaml"
    if Path(name).suffix in (".yaml", ".yml"):
        return Path(name)
    raise PlanError(f"unknown recipe {name!r}; {plugins.suggest(name, names())} Or give a YAML file.")
