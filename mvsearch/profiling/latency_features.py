"""What a latency is predicted from: the exact costs of an architecture by row, and the choices of its space.

Latency is about a sum over rows: what a row takes depends on its MACs, the elements of the maps that it writes, and its
operators. So a network is described by the MACs of all rows (`work`), and by what share each row has of it and what
its map and its operators are beside it, as multiples of MACs (`costs`). `choices` tell apart what costs do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import Architecture

Array = NDArray[np.float64]

MACS_OF_ELEMENT, MACS_OF_OPERATOR = 100, 1e6
"""MACs that take about as long as an element of a map that is written, and as an operator that is begun. A model scales
each row anew, so only their magnitude matters."""


@dataclass(frozen=True)
class NetworkFeatures:
    """Features of networks: `work` (networks), the logarithm of MACs; `costs` and `choices` (networks, features)."""

    work: Array
    costs: Array
    choices: Array

    def __len__(self) -> int:
        return len(self.work)

    def __getitem__(self, rows: Any) -> "NetworkFeatures":
        """The features of some of the networks."""
        return NetworkFeatures(self.work[rows], self.costs[rows], self.choices[rows])

    def flat(self) -> Array:
        """All features side by side, (networks, features)."""
        return np.concatenate([self.work[:, None], self.costs, self.choices], 1)

    @classmethod
    def join(cls, parts: Sequence["NetworkFeatures"]) -> Self:
        """The features of all of several groups of networks."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("work", "costs", "choices")))

    @classmethod
    def of_choices(cls, choices: Array) -> Self:
        """Of networks of which only the choices are known (networks, features)."""
        return cls(np.zeros(len(choices)), np.zeros((len(choices), 0)), choices)


def cost_features(archs: Sequence[Architecture], rows: Sequence[str], choices: Array) -> NetworkFeatures:
    """The features of architectures with rows of these names, some of which a network may lack."""
    costs = np.array([_row_costs(arch.deploy(), rows) for arch in archs])  # (networks, 3, rows)
    work = np.maximum(costs[:, 0].sum(1), 1)
    return NetworkFeatures(np.log(work), (costs / work[:, None, None]).reshape(len(archs), -1), choices)


def _row_costs(arch: Architecture, rows: Sequence[str]) -> list[list[float]]:
    """The costs of each row as MACs: its own, those of the elements of its map, those of its operators."""
    stages = {stage.name: stage for stage in arch.stages()}
    found = [stages.get(name) for name in rows]
    return [
        [stage.cost.macs if stage else 0.0 for stage in found],
        [stage.out.channels * stage.out.pixels * MACS_OF_ELEMENT if stage else 0.0 for stage in found],
        [stage.cost.operators * MACS_OF_OPERATOR if stage else 0.0 for stage in found],
    ]


def choice_features(choices: Sequence[Mapping[str, Any]], values: Mapping[str, Sequence[Any]]) -> Array:
    """The choices of networks as numbers: a number as it is, another value as 0 or 1 for each value but the first.

    `values` are all values of each choice by its name. A choice without effect, which a network may lack, has the mean.
    """
    columns = []
    for name, possible in values.items():
        if all(isinstance(value, int | float) for value in possible):
            middle = float(np.mean([float(value) for value in possible]))
            columns.append([float(each.get(name, middle)) for each in choices])
        else:
            share = 1 / len(possible)
            columns += [[float(each[name] == v) if name in each else share for each in choices] for v in possible[1:]]
    return np.array(columns, dtype=float).T.reshape(len(choices), -1)
