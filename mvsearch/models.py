"""The published models: an architecture each, and what the paper prints beside it. `published/*.yaml` is the data."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mvsearch import plugins, yamlfile
from mvsearch.architecture import Architecture
from mvsearch.errors import ArchitectureError

FOLDER = Path(__file__).parent / "published"


@dataclass(frozen=True)
class Model:
    """A published model: the architecture, and the figures that the paper prints, with their source.

    Figures are those of the tables: `top1` (%, on ImageNet-1k), `params_m`, `flops_m` (the authors' count: compare with
    `macs_paper`), `latency_ms` (batch 1) and `throughput_images_s` (batch 100) on an RTX 2080 Ti.
    """

    architecture: Architecture
    figures: dict[str, Any]

    @property
    def name(self) -> str:
        """The name on the command line."""
        return str(self.architecture.name)


def model_names() -> tuple[str, ...]:
    """The names of all published models."""
    return tuple(sorted(path.name.removesuffix(".yaml") for path in FOLDER.glob("*.yaml")))


@cache
def model(name: str) -> Model:
    """A published model by name; raises ArchitectureError, with a suggestion, if there is none."""
    if name not in model_names():
        raise ArchitectureError(f"there is no published model {name!r}; {plugins.suggest(name, model_names())}")
    document = yamlfile.read(FOLDER / f"{name}.yaml")
    return Model(Architecture.parse(document), document.data["published"])


def published(name: str) -> Architecture:
    """The architecture of a published model.

    >>> published("mobilevitv3_xxs").cost().params
    1249448
    """
    return model(name).architecture


@cache
def published_keys() -> dict[str, str]:
    """Architecture key to name, for recognising a published model; ablation rows that are whole models go by theirs."""
    return {published(name).key: name for name in model_names()}
