"""A search space: an architecture file with some values left open.

    vars, rows ──read──▶ variables (name → constant, choice or expression) ──point──▶ Architecture
                                                                           └─codes──▶ costs of 100,000 points

A point is stored as codes: a row of integers, the index of the value that each choice takes. So 100,000 candidates are
one array, and the arithmetic that computes the cost of one architecture computes theirs at once.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch.architecture import KEYS, Architecture
from mvsearch.arch.cost import IMAGE_CHANNELS, Cost, Shape
from mvsearch.arch.heads import BaseHead
from mvsearch.arch.parsing import parse_head
from mvsearch.arch.strides import reductions, row_strides
from mvsearch.errors import SpaceError
from mvsearch.space.activity import legality, read_activity
from mvsearch.space.bulk_costs import BulkCosts
from mvsearch.space.bulk_rows import BulkRow
from mvsearch.space.condition_groups import SAMPLE_SIZE, Codes, Group, evaluate_conditions, group_choices, legal_codes
from mvsearch.space.contained import contained, read_files
from mvsearch.space.expressions import Expression
from mvsearch.space.inverse import Point, find_point
from mvsearch.space.row_groups import expand_groups
from mvsearch.space.rows import SpaceRow, read_rows
from mvsearch.space.shipped import find_space
from mvsearch.space.validation import check_document, validate
from mvsearch.space.variables import Choice, Scope, Variable, choices_of, read_conditions, read_variables
from mvsearch.utils import yaml_document
from mvsearch.utils.yaml_document import Document, Place

__all__ = ["Codes", "SearchSpace"]

_MAX_REDRAWS = 1000


@dataclass(frozen=True)
class SearchSpace:
    """All architectures that a file leaves open.

    >>> SearchSpace.load("spaces/fusion.yaml").size
    16
    """

    document: Document
    rows: tuple[SpaceRow, ...]
    variables: dict[str, Variable]
    choices: tuple[Choice, ...]
    conditions: tuple[Expression, ...]
    activity: dict[str, Expression]
    """Where a choice has an effect, for those that do not always have one; elsewhere it has its first value."""
    groups: tuple[Group, ...] = field(repr=False)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The space in a YAML file, or that mvsearch includes by a name (`v3`).

        Raises SpaceError, ArchitectureError or YamlError with file and line.
        """
        return cls.parse(yaml_document.read(find_space(path)))

    @classmethod
    def parse(cls, document: Document) -> Self:
        """The space in a document, with every check of `validation`."""
        check_document(document)
        document = read_files(expand_groups(document), parse_head(document).task)
        rows = read_rows(document)
        variables = read_variables(document, rows)
        choices = tuple(variable for variable in variables.values() if isinstance(variable, Choice))
        conditions, activity = read_conditions(document, variables), read_activity(variables, rows)
        groups = group_choices(document, variables, choices, legality(choices, conditions, activity))
        space = cls(document, rows, variables, choices, conditions, activity, groups)
        validate(space)
        return space

    @property
    def name(self) -> str:
        """The name in the file, or the file's own."""
        return str(self.document.data.get("name") or Path(self.document.file or "space").stem)

    @property
    def contains(self) -> tuple[str, ...]:
        """The names of the networks that the file names, each of which lies in the space."""
        return tuple(name for name, _ in contained(self.document))

    # ---- size

    @property
    def size(self) -> int:
        """How many points satisfy all conditions; an estimate if `size_is_exact` is False."""
        grouped = {i for group in self.groups for i in group.columns}
        free = (len(choice.values) for i, choice in enumerate(self.choices) if i not in grouped)
        return math.prod(free) * math.prod(self._group_size(group) for group in self.groups)

    @property
    def size_is_exact(self) -> bool:
        """Whether every group of connected choices was enumerated rather than sampled."""
        return all(group.legal is not None for group in self.groups)

    def _group_size(self, group: Group) -> int:
        if group.legal is not None:
            return len(group.legal)
        total = math.prod(len(self.choices[i].values) for i in group.columns)
        legal = self.evaluate_conditions(group.conditions, self._draw(SAMPLE_SIZE, np.random.default_rng(0)))
        return max(1, round(total * float(legal.mean())))

    # ---- points

    def sample(self, n: int, seed: int | np.random.Generator) -> Codes:
        """n points drawn uniformly from all that satisfy the conditions, as codes (n, choices)."""
        rng = np.random.default_rng(seed)
        codes = self._draw(n, rng)
        for group in self.groups:
            if group.legal is not None:
                codes[:, group.columns] = group.legal[rng.integers(len(group.legal), size=n)]
            else:
                self._redraw(group, codes, rng)
        return codes

    def _draw(self, n: int, rng: np.random.Generator) -> Codes:
        """n points drawn uniformly, whatever the conditions."""
        return rng.integers([len(choice.values) for choice in self.choices], size=(n, len(self.choices)))

    def _redraw(self, group: Group, codes: Codes, rng: np.random.Generator) -> None:
        for _ in range(_MAX_REDRAWS):
            illegal = np.flatnonzero(~self.evaluate_conditions(group.conditions, codes))
            if not len(illegal):
                return
            codes[illegal[:, None], group.columns] = self._draw(len(illegal), rng)[:, group.columns]
        raise SpaceError("hardly any point satisfies the conditions; relax them.", at=self.document.where("where"))

    def enumerate_codes(self, columns: Sequence[int]) -> Codes:
        """Every combination of the choices in some columns, whatever the conditions; the other codes are 0."""
        codes = self.legal_codes(columns, sys.maxsize, conditions=())
        assert codes is not None
        return codes

    def legal_codes(
        self, columns: Sequence[int], limit: int, conditions: Sequence[Expression] | None = None
    ) -> Codes | None:
        """The combinations of some choices that satisfy conditions (default: all) on these choices alone.

        None if there are more than `limit`.
        """
        conditions = self.legality if conditions is None else conditions
        conjuncts = [part for condition in conditions for part in condition.conjuncts]
        return legal_codes(self.variables, self.choices, columns, conjuncts, limit)

    @cached_property
    def legality(self) -> tuple[Expression, ...]:
        """The conditions of the file, and that every choice without effect has its first value."""
        return legality(self.choices, self.conditions, self.activity)

    def is_legal(self, codes: Codes) -> NDArray[np.bool_]:
        """Which points satisfy all conditions, those on choices without effect included."""
        return self.evaluate_conditions(self.legality, codes)

    def is_active(self, codes: Codes) -> NDArray[np.bool_]:
        """(n, choices): which choices have an effect at each point."""
        scope, active = self.scope(codes), np.ones(codes.shape, dtype=bool)
        for i, choice in enumerate(self.choices):
            if choice.name in self.activity:
                active[:, i] = self.activity[choice.name].evaluate(scope.value)
        return active

    def canonical(self, codes: Codes) -> Codes:
        """The same points, with the first value of every choice without effect."""
        return np.where(self.is_active(codes), codes, 0) if self.activity else codes

    def evaluate_conditions(self, conditions: Iterable[Expression], codes: Codes) -> NDArray[np.bool_]:
        """At which points some conditions hold; only the choices that they name need codes."""
        return evaluate_conditions(conditions, self.scope(codes), len(codes))

    def scope(self, codes: Codes) -> Scope:
        """The values of all variables at many points."""
        return Scope(self.variables, {choice.name: choice.array[codes[:, i]] for i, choice in enumerate(self.choices)})

    def point(self, codes: Codes) -> Point:
        """Name to value, for one row of codes."""
        return {choice.name: choice.values[code] for choice, code in zip(self.choices, codes, strict=True)}

    def effective(self, point: Point) -> Point:
        """The same point without the choices that have no effect there."""
        active = self.is_active(self.codes(point)[None])[0]
        return {choice.name: point[choice.name] for choice, used in zip(self.choices, active, strict=True) if used}

    def codes(self, point: Point) -> Codes:
        """The row of codes of a point, which may lack choices without effect."""
        missing = {name: choice.values[0] for choice in self.choices if (name := choice.name) in self.activity}
        point = {**missing, **point}
        return np.array([choice.values.index(point[choice.name]) for choice in self.choices], dtype=np.int64)

    def architecture(self, point: Point) -> Architecture:
        """The architecture at a point, every value checked again."""
        scope = Scope(self.variables, point)
        data = {key: value for key, value in self.document.data.items() if key in KEYS and key != "name"}
        if "image_size" in data:
            data["image_size"] = scope.value("image_size")
        places: dict[Place, Place] = {}
        data["blocks"] = []
        for row in self.rows:
            kind, repeat = (scope.value(f"{row.name}.{name}") for name in ("block", "repeat"))
            if repeat == 0:
                continue
            fields, i = row.written(kind), len(data["blocks"])
            values = {name: scope.value(field.variable) for name, field in fields.items()}
            places |= {("blocks", i, name): field.place for name, field in fields.items() if field.place}
            places[("blocks", i)] = ("blocks", row.index)
            data["blocks"].append({"name": row.name, "block": kind, **values})
        lines = self.document.lines
        lines = lines | {place: lines[source] for place, source in places.items() if source in lines}
        return Architecture.parse(Document(data, self.document.file, lines))

    def find_point(self, arch: Architecture) -> Point:
        """The point at which an architecture lies; raises SpaceError, with the difference, if it lies outside."""
        if arch.key not in self._found:
            self._found[arch.key] = self._locate(arch)
        return {**self._found[arch.key]}

    @cached_property
    def _found(self) -> dict[str, Point]:
        """The points of architectures by their key, so that each is located once."""
        return {}

    def _locate(self, arch: Architecture) -> Point:
        def check(point: Point) -> None:
            if not self.is_legal(self.codes(point)[None])[0]:
                raise SpaceError("it violates a condition under `where:`")
            if self.architecture(point).key != arch.key:
                raise SpaceError(self._difference(self.architecture(point), arch))

        return find_point(self.rows, self.variables, arch, check)

    @staticmethod
    def _difference(own: Architecture, arch: Architecture) -> str:
        """The first value that a network has and the space does not."""
        ours, theirs = own.to_dict(), arch.to_dict()
        for key in ("image_size", "num_classes", "head"):
            if ours[key] != theirs[key]:
                return f"its {key} is {theirs[key]}, that of the space {ours[key]}"
        for row, other in zip(own.blocks, arch.blocks, strict=True):
            mine = row.spell()
            for name, value in other.spell().items():
                if mine[name] != value:
                    return f"{row.name}.{name} is {value}, and the space does not set it, which makes it {mine[name]}"
        return "a field that the space does not set differs"

    def adapt(self, arch: Architecture) -> Architecture:
        """The rows of a network under the head, an image size and the number of classes of the space.

        Raises ArchitectureError if the head needs a map that no row produces.
        """
        return arch.with_head(self.head, image_size=self.size_for(arch), num_classes=self.num_classes)

    def published_points(self) -> list[tuple[str, Point]]:
        """The networks under `contains:`, each with its point under the space's head; equal ones once."""
        by_key: dict[str, tuple[str, Point]] = {}
        for name, network in contained(self.document):
            arch = self.adapt(network)
            by_key.setdefault(arch.key, (name, self.find_point(arch)))
        return list(by_key.values())

    # ---- costs

    def row(self, i: int, codes: Codes) -> BulkRow:
        """The i-th row at many points, with the stride that it has under the head.

        Only the choices of `row_columns` need codes.
        """
        return self._bulk_row(i, self.scope(codes), len(codes))

    def row_columns(self, i: int) -> tuple[int, ...]:
        """The columns of the choices that the i-th row depends on, its input aside."""
        row = self.rows[i]
        fields = (field.variable for field in row.all_fields())
        return self.columns([f"{row.name}.block", f"{row.name}.repeat", *fields])

    def columns(self, names: Iterable[str]) -> tuple[int, ...]:
        """The columns of the choices that some names depend on."""
        return tuple(self.choices.index(choice) for choice in choices_of(self.variables, names))

    @cached_property
    def head(self) -> BaseHead:
        """The head, which has no open values."""
        return parse_head(self.document)

    @cached_property
    def strides(self) -> list[Any]:
        """The stride of every row, as written."""
        return [self.variables[f"{row.name}.stride"] for row in self.rows]

    def head_inputs(self) -> tuple[int, ...]:
        """The rows, by number, whose outputs the head reads."""
        if self.head.pools_last_map:
            return (len(self.strides) - 1,)
        return self.head.inputs(reductions(self.strides))

    @property
    def image_size(self) -> int:
        """The side of the images; the largest one where it is open."""
        return int(max(self.image_sizes))

    @cached_property
    def image_sizes(self) -> tuple[int, ...]:
        """Every side of the images that the file leaves open."""
        if "image_size" not in self.variables:
            return (self.head.image_size,)
        codes = self.enumerate_codes(self.columns(["image_size"]))
        sizes = set(np.ravel(self.scope(codes).value("image_size")).tolist())  # np.unique loads numpy.ma
        return tuple(sorted(sizes, key=lambda size: (isinstance(size, str), size)))

    def size_for(self, arch: Architecture) -> int:
        """The image size that a network takes in the space: its own if the space has it, otherwise the largest."""
        return arch.image_size if arch.image_size in self.image_sizes else self.image_size

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return int(self.document.data.get("num_classes", self.head.num_classes))

    def costs(self, points: int | Codes, *, seed: int = 0) -> Cost:
        """Parameters and MACs of many points at once, as arrays; a number means that many samples."""
        return self._bulk_costs.of(self.sample(points, seed) if isinstance(points, int) else points)

    @cached_property
    def _bulk_costs(self) -> BulkCosts:
        return BulkCosts(self)

    def cost_of(self, scope: Scope, size: int) -> Cost:
        """The cost of the network with the values of a scope, which are columns of `size` values, or of one network."""
        side = scope.value("image_size") if "image_size" in self.variables else self.head.image_size
        image = x = Shape(IMAGE_CHANNELS, side, side)
        total = Cost()
        maps: list[Shape] = []
        for i in range(len(self.rows)):
            cost, x = self._bulk_row(i, scope, size).cost(x)
            total += cost
            maps.append(x)
        for index, row in enumerate(self.head_inputs()):
            parts = self.head.parts(index, maps[row], self.num_classes, image)
            total = sum((part.cost for part in parts), total)
        return total

    def _bulk_row(self, i: int, scope: Scope, size: int) -> BulkRow:
        max_stride = self.head.max_stride
        stride = None if max_stride is None else row_strides(self.strides, max_stride)[i].stride
        return BulkRow.of(self.rows[i], scope, size, stride)
