"""Baselines: networks outside the MobileViT family. `baselines.yaml` is the data, with a source for each figure.

Loads no torch; `build.py` beside this file builds the networks with torch and timm.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mvsearch.errors import ArchitectureError, YamlError
from mvsearch.utils import plugins, yaml_document
from mvsearch.utils.yaml_document import Document, Place

FILE = Path(__file__).parent / "baselines.yaml"

KINDS = ("cnn", "hybrid", "vit")

_FIGURES = ("params", "macs", "top1")
_REQUIRED = {
    "name": str,
    "label": str,
    "kind": str,
    "image_size": int,
    "params": int,
    "macs": int,
    "top1": float,
    "recipe": str,
    "sources": dict,
}
_OPTIONAL = {"timm": str, "printed_params_m": float, "reparameterised": bool}
_EXPECTED = {
    str: "a word",
    int: "a whole number above 0",
    float: "a number above 0",
    bool: "true or false",
    dict: "a mapping of figures to the keys of `sources:`",
}


@dataclass(frozen=True)
class Baseline:
    """A published network: its cost at `image_size`, its ImageNet-1k Top-1 in %, and how it was trained.

    `sources` are the sources of `params`, `macs` and `top1`, in words. `timm` names timm's weights, None for a network
    that timm does not have; `printed_params_m` is then what timm prints, in millions, of the network in training.
    """

    name: str
    label: str
    kind: str
    image_size: int
    params: int
    macs: int
    top1: float
    recipe: str
    sources: dict[str, str]
    timm: str | None = None
    printed_params_m: float | None = None
    reparameterised: bool = False


@dataclass(frozen=True)
class Catalogue:
    """All baselines by name, and the meaning of each word for a training recipe."""

    baselines: dict[str, Baseline]
    recipes: dict[str, str]


@cache
def catalogue() -> Catalogue:
    """The baselines that come with the package."""
    return read_catalogue(FILE)


def baselines() -> tuple[Baseline, ...]:
    """All baselines, in the order of the file."""
    return tuple(catalogue().baselines.values())


def baseline(name: str) -> Baseline:
    """A baseline by name; raises ArchitectureError, with a suggestion, for an unknown name.

    >>> baseline("mobilenetv4_conv_small").params
    3774024
    """
    known = catalogue().baselines
    if name not in known:
        raise ArchitectureError(f"unknown baseline {name!r}; {plugins.suggest(name, tuple(known))}")
    return known[name]


def read_catalogue(path: Path) -> Catalogue:
    """The baselines in a file; raises YamlError, with file, line and key, for a missing, unknown or illegal field."""
    document = yaml_document.read(path)
    data = document.data
    for name, kind in {"recipes": dict, "sources": dict, "networks": list}.items():
        if not isinstance(data.get(name), kind):
            form = "mapping" if kind is dict else "list"
            raise YamlError(f"`{name}:` is missing or not a {form}; see {FILE.name}.", at=path)
    networks: dict[str, Baseline] = {}
    for i in range(len(data["networks"])):
        network = _read_baseline(document, ("networks", i))
        if network.name in networks:
            where = document.where("networks", i, "name")
            raise YamlError(f"two networks are named {network.name!r}; remove one.", at=where)
        networks[network.name] = network
    return Catalogue(networks, data["recipes"])


def _read_baseline(document: Document, place: Place) -> Baseline:
    row = document.data["networks"][place[1]]
    if not isinstance(row, dict):
        raise YamlError(f"found {row!r}; a network is a mapping.", at=document.where(*place))
    known = _REQUIRED | _OPTIONAL
    for name in row:
        if name not in known:
            hint = plugins.suggest(name, tuple(known))
            raise YamlError(f"unknown field {name!r}; {hint}", at=document.where(*place, name))
    for name, kind in known.items():
        if name in _REQUIRED and name not in row:
            raise YamlError(f"`{name}` is missing; add it.", at=document.where(*place))
        if name in row and not _is_legal(row[name], kind):
            raise YamlError(f"found {row[name]!r}; use {_EXPECTED[kind]}.", at=document.where(*place, name))
    _check_word(document, (*place, "kind"), row["kind"], KINDS)
    _check_word(document, (*place, "recipe"), row["recipe"], tuple(document.data["recipes"]))
    return Baseline(**row | {"sources": _source_texts(document, (*place, "sources"), row["sources"])})


def _is_legal(value: Any, kind: type) -> bool:
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool) and value > 0
    return isinstance(value, kind)


def _check_word(document: Document, place: Place, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise YamlError(f"found {value!r}; {plugins.suggest(str(value), known)}", at=document.where(*place))


def _source_texts(document: Document, place: Place, keys: dict[str, str]) -> dict[str, str]:
    """The source of each figure in words."""
    if set(keys) != set(_FIGURES):
        raise YamlError(f"found {', '.join(keys)}; name a source for {', '.join(_FIGURES)}.", at=document.where(*place))
    texts = document.data["sources"]
    for figure, key in keys.items():
        _check_word(document, (*place, figure), key, tuple(texts))
    return {figure: texts[keys[figure]] for figure in _FIGURES}
