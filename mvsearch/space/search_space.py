"""A search space: an architecture file with some values left open.

    vars, rows ──read──▶ terms (name → constant, choice or expression) ──point──▶ Architecture
                                                                       └─codes──▶ costs of a hundred thousand

A point is written as codes: one row of integers, the index of the value that each choice takes. So a hundred thousand
candidates are one array, priced by the same arithmetic as a single one.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mvsearch.arch import published as models
from mvsearch.arch.architecture import KEYS, Architecture
from mvsearch.arch.blocks import Block
from mvsearch.arch.cost import IMAGE_CHANNELS, Cost
from mvsearch.arch.heads import BaseHead
from mvsearch.arch.parsing import parse_head, row_class
from mvsearch.arch.schema import Domain, Rule
from mvsearch.arch.strides import reductions, row_strides
from mvsearch.errors import ArchitectureError, SpaceError
from mvsearch.space.expressions import Expression
from mvsearch.space.inverse import Point, locate
from mvsearch.space.variables import Choice, Scope, Term, choices_of, read_conditions, read_terms
from mvsearch.utils import plugins, yaml_document
from mvsearch.utils.yaml_document import Document

Codes = NDArray[np.int64]

SETTINGS = ("search", "proxy", "memory", "latency", "data")
_KEYS = (*KEYS, "vars", "where", "contains", *SETTINGS)
_COUNTABLE = 2_000_000  # combinations that are enumerated; beyond, sampled
_SAMPLE = 20_000
_MOST_EXACT = 2**53


@dataclass(frozen=True)
class Group:
    """Choices that conditions tie together, and the codes that they may take together (None: too many to list)."""

    columns: tuple[int, ...]
    conditions: tuple[Expression, ...]
    legal: Codes | None


@dataclass(frozen=True)
class SearchSpace:
    """All architectures that a file leaves open.

    >>> SearchSpace.load("spaces/fusion.yaml").size
    16
    """

    document: Document
    terms: dict[str, Term]
    choices: tuple[Choice, ...]
    conditions: tuple[Expression, ...]
    groups: tuple[Group, ...] = field(repr=False)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The space in a YAML file; raises SpaceError, ArchitectureError or YamlError with file and line."""
        return cls.parse(yaml_document.read(Path(path)))

    @classmethod
    def parse(cls, document: Document) -> Self:
        """The space in a document, checked whole: names, values, conditions, legality, what it contains."""
        for key in document.data:
            if key not in _KEYS:
                raise SpaceError(f"no such key; {plugins.suggest(key, _KEYS)}", at=document.where(key))
        if not isinstance(document.data.get("blocks"), list) or not document.data["blocks"]:
            raise SpaceError("found no rows; `blocks:` is a list with one or more.", at=document.where("blocks"))
        _check_head(document)
        terms = read_terms(document)
        choices = tuple(term for term in terms.values() if isinstance(term, Choice))
        conditions = read_conditions(document, terms)
        space = cls(document, terms, choices, conditions, _groups(document, terms, choices, conditions))
        space._check_rows()
        space._check_size()
        space._check_contains()
        return space

    @property
    def name(self) -> str:
        """The name in the file, or the file's own."""
        return str(self.document.data.get("name") or Path(self.document.file or "space").stem)

    @property
    def contains(self) -> tuple[str, ...]:
        """The published models that the file says it contains, and does."""
        return tuple(self.document.data.get("contains", ()))

    # ---- how large

    @property
    def size(self) -> int:
        """How many points meet all conditions; an estimate if `size_is_exact` is False."""
        tied = {i for group in self.groups for i in group.columns}
        free = (len(choice.values) for i, choice in enumerate(self.choices) if i not in tied)
        return math.prod(free) * math.prod(self._group_size(group) for group in self.groups)

    @property
    def size_is_exact(self) -> bool:
        """Whether every group of tied choices was counted rather than sampled."""
        return all(group.legal is not None for group in self.groups)

    def _group_size(self, group: Group) -> int:
        if group.legal is not None:
            return len(group.legal)
        total = math.prod(len(self.choices[i].values) for i in group.columns)
        held = self.hold(group.conditions, self._uniform(_SAMPLE, np.random.default_rng(0)))
        return max(1, round(total * float(held.mean())))

    # ---- points

    def sample(self, n: int, seed: int | np.random.Generator) -> Codes:
        """n points drawn evenly from all that meet the conditions, as codes (n, choices)."""
        rng = np.random.default_rng(seed)
        codes = self._uniform(n, rng)
        for group in self.groups:
            if group.legal is not None:
                codes[:, group.columns] = group.legal[rng.integers(len(group.legal), size=n)]
            else:
                self._redraw(group, codes, rng)
        return codes

    def _uniform(self, n: int, rng: np.random.Generator) -> Codes:
        return rng.integers([len(choice.values) for choice in self.choices], size=(n, len(self.choices)))

    def _redraw(self, group: Group, codes: Codes, rng: np.random.Generator) -> None:
        for _ in range(1000):
            wrong = np.flatnonzero(~self.hold(group.conditions, codes))
            if not len(wrong):
                return
            codes[wrong[:, None], group.columns] = self._uniform(len(wrong), rng)[:, group.columns]
        raise SpaceError("hardly any point meets the conditions; loosen them.", at=self.document.where("where"))

    def every(self, columns: Sequence[int]) -> Codes:
        """Everything that the choices of some columns take together, conditions or not; the other codes are 0."""
        sizes = [len(self.choices[i].values) for i in columns]
        codes = np.zeros((math.prod(sizes), len(self.choices)), dtype=np.int64)
        codes[:, columns] = _grid(sizes)
        return codes

    def legal(self, codes: Codes) -> NDArray[np.bool_]:
        """Which points meet all conditions."""
        return self.hold(self.conditions, codes)

    def hold(self, conditions: Iterable[Expression], codes: Codes) -> NDArray[np.bool_]:
        """At which points some conditions hold; only the choices that they name need codes."""
        scope = self._scope(codes)
        held = np.ones(len(codes), dtype=bool)
        for condition in conditions:
            held &= np.asarray(condition.evaluate(scope.value), dtype=bool)
        return held

    def _scope(self, codes: Codes) -> Scope:
        return Scope(self.terms, {choice.name: choice.array[codes[:, i]] for i, choice in enumerate(self.choices)})

    def point(self, codes: Codes) -> Point:
        """Name to value, for one row of codes."""
        return {choice.name: choice.values[code] for choice, code in zip(self.choices, codes, strict=True)}

    def codes(self, point: Point) -> Codes:
        """The row of codes of a point."""
        return np.array([choice.values.index(point[choice.name]) for choice in self.choices], dtype=np.int64)

    def architecture(self, point: Point) -> Architecture:
        """The architecture at a point, every value checked again."""
        scope = Scope(self.terms, point)
        data = {key: value for key, value in self.document.data.items() if key in KEYS and key != "name"}
        data["blocks"] = [
            {key: row[key] if key in ("name", "block") else scope.value(f"{row['name']}.{key}") for key in row}
            for row in self.document.data["blocks"]
        ]
        return Architecture.parse(Document(data, self.document.file, self.document.lines))

    def locate(self, arch: Architecture) -> Point:
        """The point at which an architecture lies; raises SpaceError, saying what differs, if it lies at none."""
        point = locate(self.document, self.terms, arch)
        if not self.legal(self.codes(point)[None])[0]:
            raise SpaceError("a condition under `where:` forbids it")
        if self.architecture(point).key != arch.key:
            raise SpaceError("its head, image_size, num_classes or a field left to its default differs")
        return point

    def published_points(self) -> list[tuple[str, Point]]:
        """The published models that the file contains, each at its point; equal networks once."""
        found: dict[str, tuple[str, Point]] = {}
        for name in self.contains:
            arch = models.published(name)
            found.setdefault(arch.key, (name, self.locate(arch)))
        return list(found.values())

    # ---- costs

    def row(self, i: int, codes: Codes) -> Block:
        """The i-th row at many points, its fields columns, its stride as it runs under the head.

        Only the choices of `row_columns` need codes.
        """
        row = self._bulk_row(i, self._scope(codes))
        most = self.head.max_stride
        return row if most is None else replace(row, stride=row_strides(self._strides, most)[i].stride)

    def row_columns(self, i: int) -> tuple[int, ...]:
        """The choices that the fields of the i-th row depend on."""
        raw = self.document.data["blocks"][i]
        return self.columns(f"{raw['name']}.{field}" for field in row_class(self.document, i).domains())

    def columns(self, names: Iterable[str]) -> tuple[int, ...]:
        """Where the choices that some names depend on stand in the codes."""
        return tuple(self.choices.index(choice) for choice in choices_of(self.terms, names))

    @cached_property
    def head(self) -> BaseHead:
        """The head, in which nothing is open."""
        return parse_head(self.document)

    @cached_property
    def _strides(self) -> list[Any]:
        """Every row's, as written."""
        return [self.terms[f"{raw['name']}.stride"] for raw in self.document.data["blocks"]]

    def head_inputs(self) -> tuple[int, ...]:
        """The rows, by number, whose maps the head reads."""
        if self.head.pools_last_map:
            return (len(self._strides) - 1,)
        return self.head.inputs(reductions(self._strides))

    @property
    def image_size(self) -> int:
        """The side of the images that costs are counted for."""
        return int(self.document.data.get("image_size", self.head.image_size))

    @property
    def num_classes(self) -> int:
        """The classes that a linear head tells apart."""
        return int(self.document.data.get("num_classes", self.head.num_classes))

    def costs(self, points: int | Codes, *, seed: int = 0) -> Cost:
        """Parameters and MACs of many points at once, as arrays; a number means that many samples."""
        codes = self.sample(points, seed) if isinstance(points, int) else points
        cost = self._bulk(self._scope(codes)).cost()
        return Cost(
            *(np.broadcast_to(np.asarray(part), len(codes)) for part in (cost.params, cost.macs, cost.macs_paper))
        )

    def _bulk(self, scope: Scope) -> Architecture:
        """Architectures whose fields are columns: only good for their cost."""
        data = self.document.data
        return Architecture(
            blocks=tuple(self._bulk_row(i, scope) for i in range(len(data["blocks"]))),
            head=self.head,
            image_size=self.image_size,
            num_classes=self.num_classes,
        )

    def _bulk_row(self, i: int, scope: Scope) -> Block:
        cls, raw = row_class(self.document, i), self.document.data["blocks"][i]
        values = {
            name: _read_column(domain, scope.value(f"{raw['name']}.{name}"))
            for name, domain in cls.domains().items()
            if name in raw
        }
        return cls(name=raw["name"], **values)

    # ---- checks

    def _check_size(self) -> None:
        """Columns hold 64 bits: the network in which every choice is at its largest must leave room to spare."""
        largest = {c.name: max(c.values, key=lambda v: 0 if isinstance(v, str) else v) for c in self.choices}
        cost = self._bulk(Scope(self.terms, largest)).cost()
        if max(cost.params, cost.macs, cost.macs_paper) > _MOST_EXACT:
            raise SpaceError(
                f"the largest networks here need {cost.macs:,} MACs, too many to be "
                "counted exactly; use smaller values.",
                at=self.document.where("blocks"),
            )

    def _check_rows(self) -> None:
        if not self.head.pools_last_map:
            self._check_strides()
        self.architecture(self.point(self.sample(1, 0)[0]))
        for i, raw in enumerate(self.document.data["blocks"]):
            cls = row_class(self.document, i)
            for name, domain in cls.domains().items():
                if name in raw:
                    self._check_domain(i, name, domain)
            for rule in cls.rules:
                self._check_rule(i, rule)

    def _check_strides(self) -> None:
        """Which maps such a head reads, and what is dilated for it, must be the same at all points."""
        for i, stride in enumerate(self._strides):
            if isinstance(stride, Choice | Expression):
                raise SpaceError(
                    f"open, but {self.head.kind()} reads maps at given strides; write a number.",
                    at=self.document.where("blocks", i, "stride"),
                )

    def _check_domain(self, i: int, name: str, domain: Domain) -> None:
        term = f"{self.document.data['blocks'][i]['name']}.{name}"
        for value in dict.fromkeys(np.atleast_1d(self._taken([term])[term]).tolist()):
            try:
                domain.read(value)
            except ValueError as error:
                where = self.document.where("blocks", i, name)
                raise ArchitectureError(f"can become {value!r}; {error}.", at=where) from None

    def _check_rule(self, i: int, rule: Rule) -> None:
        rows = self.document.data["blocks"]
        names = {f: f"{rows[i - 1]['name']}.out" if f == "width" else f"{rows[i]['name']}.{f}" for f in rule.fields}
        taken = self._taken(list(names.values()))
        values = [IMAGE_CHANNELS if (i, f) == (0, "width") else taken[name] for f, name in names.items()]
        facts = dict(zip(names, np.broadcast_arrays(*map(np.atleast_1d, values)), strict=True))
        wrong = np.flatnonzero(~np.asarray(rule.holds(**facts), dtype=bool))
        if len(wrong):
            example = {f: column[wrong[0]].item() for f, column in facts.items()}
            where = self.document.where("blocks", i, next(f for f in reversed(rule.fields) if f in rows[i]))
            raise SpaceError(f"for some points {rule.message.format(**example)} Or exclude them by `where:`.", at=where)

    def _taken(self, names: list[str]) -> dict[str, Any]:
        """All values that some names take together where the conditions hold (of a sample, if they are too many)."""
        used = {self.choices.index(choice) for choice in choices_of(self.terms, names)}
        groups = [group for group in self.groups if used & set(group.columns)]
        columns = sorted(used.union(*(group.columns for group in groups)))
        sizes = [len(self.choices[i].values) for i in columns]
        if math.prod(sizes) > _COUNTABLE:
            codes = self.sample(_SAMPLE, 0)
        else:
            codes = self.every(columns)
            codes = codes[self.hold([c for group in groups for c in group.conditions], codes)]
        scope = self._scope(codes)
        return {name: scope.value(name) for name in names}

    def _check_contains(self) -> None:
        names = self.document.data.get("contains", [])
        if not isinstance(names, list):
            raise SpaceError(f"found {names!r}; use a list of published models.", at=self.document.where("contains"))
        for i, name in enumerate(names):
            where = self.document.where("contains", i)
            if name not in models.all_names():
                hint = plugins.suggest(str(name), models.model_names(self.head.task))
                raise SpaceError(f"there is no published model {name!r}; {hint}", at=where)
            try:
                self.locate(models.published(name))
            except SpaceError as error:
                raise SpaceError(f"the space does not contain {name}: {error}.", at=where) from None


def _check_head(document: Document) -> None:
    head = document.data.get("head")
    for name, value in head.items() if isinstance(head, dict) else ():
        if isinstance(value, dict):
            raise SpaceError("open, but a head has no open values; write one value.", at=document.where("head", name))


def _groups(
    document: Document, terms: dict[str, Term], choices: tuple[Choice, ...], conditions: tuple[Expression, ...]
) -> tuple[Group, ...]:
    """Choices tied by conditions; raises SpaceError for a choice without effect, or conditions that nothing meets."""
    used = choices_of(terms, (name for name in terms if "." in name))
    for choice in choices:
        if choice not in used:
            raise SpaceError("open, but no row uses it; take it out.", at=document.where("vars", choice.name))
    tied: list[tuple[set[int], list[Expression]]] = []
    for condition in conditions:
        columns = {choices.index(choice) for choice in choices_of(terms, condition.names)}
        together = [group for group in tied if group[0] & columns]
        merged = columns.union(*(group[0] for group in together))
        tied = [group for group in tied if group not in together]
        tied.append((merged, [*(c for group in together for c in group[1]), condition]))
    return tuple(_group(document, terms, choices, sorted(columns), tuple(held)) for columns, held in tied)


def _group(
    document: Document,
    terms: dict[str, Term],
    choices: tuple[Choice, ...],
    columns: list[int],
    conditions: tuple[Expression, ...],
) -> Group:
    sizes = [len(choices[i].values) for i in columns]
    if math.prod(sizes) > _COUNTABLE:
        return Group(tuple(columns), conditions, None)
    grid = _grid(sizes)
    scope = Scope(terms, {choices[i].name: choices[i].array[grid[:, k]] for k, i in enumerate(columns)})
    held = np.ones(len(grid), dtype=bool)
    for condition in conditions:
        held &= np.asarray(condition.evaluate(scope.value), dtype=bool)
    if not held.any():
        said = " and ".join(str(condition) for condition in conditions)
        raise SpaceError(f"nothing meets {said}; loosen it or widen the choices it names.", at=document.where("where"))
    return Group(tuple(columns), conditions, grid[held])


def _grid(sizes: list[int]) -> Codes:
    """Every combination of codes, (product, columns)."""
    return np.indices(sizes).reshape(len(sizes), -1).T if sizes else np.zeros((1, 0), dtype=np.int64)


def _read_column(domain: Domain, column: Any) -> Any:
    """What a column's spellings stand for; a single value is read as such."""
    if not isinstance(column, np.ndarray):
        return domain.read(column)
    if not domain.spelling or column.dtype.kind not in "OU":
        return column
    values, codes = np.unique(column.astype(str), return_inverse=True)
    plain = {str(value): domain.read(value) for value in set(column.tolist())}
    return np.array([plain[value] for value in values])[codes]
