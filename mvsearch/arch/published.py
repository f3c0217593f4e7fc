"""The published models: their architectures, and the figures that the papers print.

`published/*.yaml` are the classifiers, one file each; `published/heads/TASK.yaml` names a backbone and a head per row.
"""

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.parsing import parse_head
from mvsearch.errors import ArchitectureError
from mvsearch.utils import plugins, yaml_document
from mvsearch.utils.yaml_document import Document

_FAMILIES = {"mobilevit": "", "mobilenet": "MN", "repvit": "RepViT", "shvit": "SHViT", "starnet": "StarNet"}
"""The first part of a published name, and what a short name has in its place."""
FOLDER = Path(__file__).parent / "published"

CLASSES = 1000
"""Those of ImageNet-1k, which the printed figures of classifiers are for."""


@dataclass(frozen=True)
class Model:
    """A published model: the architecture, and the figures that the paper prints, with their source.

    The figures are those of the tables: `top1` (%, on ImageNet-1k), `params_m`, `flops_m` (the authors' count: compare
    with `macs_paper`), `latency_ms` (batch 1) and `throughput_images_s` (batch 100) on an RTX 2080 Ti. Segmentation
    has `miou` (%), detection `map` (%, mean over overlaps from 0.5 to 0.95), on `dataset`.
    """

    architecture: Architecture
    figures: dict[str, Any]
    dataset: str = "ImageNet-1k"

    @property
    def name(self) -> str:
        """The name on the command line."""
        return str(self.architecture.name)


TASKS = ("classification", "segmentation", "detection")


@cache
def model_names(task: str = "classification") -> tuple[str, ...]:
    """The names of all published models for a task."""
    if task == "classification":
        return tuple(sorted(path.name.removesuffix(".yaml") for path in FOLDER.glob("*.yaml")))
    return tuple(_with_heads(task))


def all_names() -> tuple[str, ...]:
    """The names of all published models, for every task."""
    return tuple(name for task in TASKS for name in model_names(task))


def is_published(name: str) -> bool:
    """Whether a published model has this name; reads no file for the name of a classifier."""
    return any(name in model_names(task) for task in TASKS)


@cache
def _with_heads(task: str) -> dict[str, Document]:
    """The rows of a task's file, by name."""
    document = yaml_document.read_shipped(FOLDER / "heads" / f"{task}.yaml")
    return {row["name"]: Document(row, document.file) for row in document.data["models"]}


@cache
def model(name: str) -> Model:
    """A published model by name; raises ArchitectureError, with a suggestion, for an unknown name."""
    if name in model_names():
        document = yaml_document.read_shipped(FOLDER / f"{name}.yaml")
        return Model(Architecture.parse(document), document.data["published"])
    for task in TASKS[1:]:
        if name in model_names(task):
            return _compose(_with_heads(task)[name])
    raise ArchitectureError(f"unknown model {name!r}; {plugins.suggest(name, all_names())}")


def _compose(document: Document) -> Model:
    row = document.data
    arch = published(row["backbone"]).with_head(parse_head(document), num_classes=row["num_classes"])
    return Model(replace(arch, name=row["name"]), row["published"], row["dataset"])


def published(name: str) -> Architecture:
    """The architecture of a published model.

    >>> published("mobilevitv3_xxs").cost().params
    1249448
    """
    return model(name).architecture


@cache
def published_keys(task: str = "classification") -> dict[str, str]:
    """Architecture key to name. An ablation row that equals a published model has the name of the model."""
    return {published(name).key: name for name in model_names(task)}


def family(name: str) -> str | None:
    """The family of a published classifier, which is the first part of its name; None for a row of the ablation.

    A family is what a paper publishes under one name and version: one design in several sizes, with its variants
    (MobileViTv3's L2, and MobileViTv3 on MobileViTv2).

    >>> family("mobilevitv3_0.5_384"), family("repvit_m0_9"), family("ablation_2_conv1x1")
    ('mobilevitv3', 'repvit', None)
    """
    first = name.partition("_")[0]
    return None if first == "ablation" else first


def short_name(name: str) -> str:
    """A published name as short as a label beside a point must be.

    >>> short_name("mobilevitv3_xxs_l2"), short_name("mobilevitv2_0.5"), short_name("ablation_2_conv1x1")
    ('v3-XXS-L2', 'v2-0.5', 'abl. 2')
    >>> short_name("mobilenetv4_conv_s"), short_name("repvit_m0_9"), short_name("shvit_s1")
    ('MNv4-conv-S', 'RepViT-M0.9', 'SHViT-S1')
    """
    if row := re.match(r"ablation_(\d+)", name):
        return f"abl. {row[1]}"
    for family, label in _FAMILIES.items():
        name = re.sub(f"^{family}", label, name)
    version, *rest = re.sub(r"_m(\d)_(\d)", r"_m\1.\2", name).split("_")
    sizes = r"x*s|[sml]\d?|m\d\.\d"
    return "-".join([version, *(part.upper() if re.fullmatch(sizes, part) else part for part in rest)])
