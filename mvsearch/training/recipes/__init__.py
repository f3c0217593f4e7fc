"""Recipes as data: `recipes/v1.yaml` is the recipe `v1`, or give a file of your own. Every setting may be replaced.

>>> load("v2", ["epochs=30", "mixup=0"]).epochs
30
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.errors import PlanError, YamlError
from mvsearch.utils import plugins, yaml_document
from mvsearch.utils.settings import from_mapping

if TYPE_CHECKING:
    from mvsearch.training.full import FullRecipe

_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The recipes that come with the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def usual(task: str) -> str:
    """The recipe for a task if nobody names one."""
    return "short" if task == "classification" else f"short_{task}"


def load(name: str, settings: Iterable[str] = ()) -> "FullRecipe":
    """A recipe by its name or file, some settings replaced (`name=value`); raises PlanError or YamlError."""
    from mvsearch.training.full import FullRecipe

    document = yaml_document.read(_path(name))
    values, replaced = dict(document.data), set()
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise PlanError(f"--set {text}: has no value; write it as name=value, e.g. --set epochs=30.")
        try:
            values[key] = yaml_document.parse(f"value: {value}").data["value"]
        except YamlError:
            raise PlanError(f"--set {text}: {value!r} is no value; write a number, a word or a list.") from None
        replaced.add(key)
    recipe: FullRecipe = from_mapping(
        FullRecipe, values, lambda key: f"--set {key}" if key in replaced else document.where(key)
    )
    return recipe


def _path(name: str) -> Path:
    if name in names():
        return _FOLDER / f"{name}.yaml"
    if Path(name).suffix in (".yaml", ".yml"):
        return Path(name)
    raise PlanError(f"{name!r} is no recipe; {plugins.suggest(name, names())} Or give a YAML file.")
