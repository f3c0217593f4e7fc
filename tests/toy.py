"""A space small enough to know by heart, and an evaluation that is arithmetic instead of torch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.plan import Plan
from mvsearch.utils.yaml_document import parse

TOY = """
name: toy
image_size: 64
num_classes: 10
vars:
  dim: {choose: [16, 24, 32, 48]}
blocks:
  - {name: stem, block: conv, out: {range: [8, 64, 8]}, stride: 2}
  - {name: down, block: mv2, out: body.out, stride: 2, expand: 2}
  - {name: body, block: mobilevit, out: {range: [16, 64, 8]}, dim: dim, depth: {choose: [1, 2, 3]}}
where: stem.out <= body.out
"""


def toy_space(text: str = TOY) -> SearchSpace:
    return SearchSpace.parse(parse(text, "toy.yaml"))


def toy_plan(folder: Path, text: str = TOY, **search: Any) -> Plan:
    search = {"objectives": ("loss", "params"), "sampler": "random", **search}
    return replace(Plan.of(toy_space(text), **search), studies=folder)


def arithmetic(arch: Architecture) -> dict[str, Any]:
    metrics: dict[str, Any] = arch.metrics()
    return {**metrics, "loss": 1e6 / metrics["params"]}
