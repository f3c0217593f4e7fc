"""A first space file for a set of images and some budgets: the rows of `v3.yaml`, and what the rules choose. No torch.

images, budgets ── FirstSpace ── text ── Plan: checked, then written
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import NamedTuple

from mvsearch.arch.published import published
from mvsearch.data import DataSettings
from mvsearch.errors import PlanError
from mvsearch.metrics.constraints import Constraint, check_limits
from mvsearch.metrics.registry import STATIC_COSTS, is_score, scores, searchable
from mvsearch.proxies.train import Settings
from mvsearch.space.search_space import SearchSpace
from mvsearch.space.shipped import find_space
from mvsearch.study import first_settings as rules
from mvsearch.study.first_settings import Chosen, Schedule
from mvsearch.study.plan import Plan
from mvsearch.study.template import FIRST, rows_text
from mvsearch.utils import plugins
from mvsearch.utils.text import printable
from mvsearch.utils.units import COUNT
from mvsearch.utils.yaml_document import parse

_BUDGET = re.compile(r"\s*(\w+)\s*<?=\s*(.+)")
_DEFAULT_FACTOR = 2
_WIDTH = 34  # of a line before its comment
_FLIP = "false where left and right matter, as in text"


class Line(NamedTuple):
    """A value of the file, as YAML has it, and why it was chosen."""

    section: str
    key: str
    value: str
    reason: str


@dataclass(frozen=True)
class Photographs:
    """What the rules need to know of the images; `side` is the median of their shorter sides in pixels."""

    source: DataSettings
    training: int
    classes: int
    side: float

    @property
    def words(self) -> str:
        """E.g. `/my/pets: 12 classes, 960 training images, median 300 px`."""
        place = printable(self.source.path or self.source.source)
        return f"{place}: {self.classes:,} classes, {self.training:,} training images, median {self.side:,.0f} px"


def read_budget(text: str, *, option: str = "--budget", more: str = "--budget") -> Constraint:
    """The limit that a budget `NAME=VALUE` sets; raises PlanError for another text, or for a score.

    `more` is the option for further budgets.

    >>> read_budget("params=1.5M").text, read_budget("latency_ms<=10").text
    ('params <= 1.5M', 'latency_ms <= 10')
    """
    where, match = f"{option} {text}", _BUDGET.fullmatch(text)
    if match is None:
        raise PlanError("write NAME=VALUE, e.g. params=1.5M, macs=300M or latency_ms=10.", at=where)
    if "=" in match[2]:
        raise PlanError(f"found several budgets; write one, and the others with {more}.", at=where)
    costs = [name for name in searchable() if not is_score(name)]
    if match[1] in scores():
        raise PlanError(f"{match[1]} is a score, and a budget is a cost; use {', '.join(costs)}.", at=where)
    if match[1] not in costs:
        raise PlanError(f"unknown cost {match[1]!r}; {plugins.suggest(match[1], costs)}", at=where)
    try:
        limit = Constraint.parse(f"{match[1]} <= {match[2].strip()}")
        check_limits([limit])
    except PlanError as error:
        raise PlanError(f"{error}", at=where) from None
    return limit


@dataclass(frozen=True)
class FirstSpace:
    """A space file before it is written. `backend` is that of latency; without a `schedule` its trials are a guess."""

    name: str
    images: Photographs
    image_size: Chosen
    limits: tuple[Constraint, ...] = ()
    limits_reason: str = "your budget"
    backend: tuple[str, str] = ("torch_cpu", "")
    schedule: Schedule | None = None

    # ---- what the rules choose

    @cached_property
    def proxy_size(self) -> Chosen:
        """The size of the images of the score."""
        return rules.choose_proxy_size(self.image_size.value, self.images.side, self.images.training)

    @cached_property
    def held_out(self) -> int:
        """The images of the training part that scores are computed on."""
        return round(Settings().training().held_out_share(self.images.training) * self.images.training)

    @cached_property
    def batch(self) -> Chosen:
        """The images of a step."""
        return rules.choose_batch(self.images.training - self.held_out)

    @cached_property
    def steps(self) -> Chosen:
        """The steps that are wanted."""
        return rules.wanted_steps(self.images.training - self.held_out, self.batch.value)

    @property
    def measured(self) -> bool:
        """Whether latency is limited."""
        return any(limit.name == "latency_ms" for limit in self.limits)

    # ---- the networks

    @property
    def space(self) -> SearchSpace:
        """The networks, without limits."""
        return _read_space(self._networks())

    @cached_property
    def within_reach(self) -> tuple[str, ...]:
        """The published models of the space that its limits in closed form permit, each network once."""
        static = [limit for limit in self.limits if limit.name in STATIC_COSTS]
        costs = {name: self.space.adapt(published(name)).metrics() for name in _template_models()}
        return tuple(name for name, cost in costs.items() if not any(limit.violated(cost) for limit in static))

    def with_default_budget(self) -> "FirstSpace":
        """The same with a limit on parameters, which leaves room around the smallest published model."""
        params = {name: self.space.adapt(published(name)).cost().params for name in _template_models()}
        least = min(params, key=lambda name: params[name])
        limit = Constraint.parse(f"params <= {_DEFAULT_FACTOR * params[least] / 1e6:.1f}M")
        reason = f"no budget given: {_DEFAULT_FACTOR} times {least}, which has {COUNT.format(params[least])}"
        return replace(self, limits=(limit,), limits_reason=reason)

    def plan(self, file: str | None = None) -> Plan:
        """The plan of the file; raises what any file raises, with its line."""
        return Plan.of(SearchSpace.parse(parse(self.text(), file)))

    # ---- the file

    def lines(self) -> Iterator[Line]:
        """Every value that was chosen."""
        own, schedule = self.images, self.schedule
        yield Line("", "image_size", str(self.image_size.value), self.image_size.reason)
        yield Line("", "num_classes", str(own.classes), "the folders of classes" if own.source.path else "the classes")
        costs = {limit.name: "" for limit in self.limits}
        if costs.keys() <= {"params"}:
            costs["macs"] = "; macs stands for time, which has no limit"
        objectives = ", ".join(("loss", *costs))
        top1 = f"one image is {100 / self.held_out:.2g} points of top-1"
        score = f"loss on about {self.held_out:,} held-out images, where {top1}"
        limits = ", ".join(limit.text for limit in self.limits)
        yield Line("search", "objectives", f"[{objectives}]", f"{score}{costs.get('macs', '')}")
        yield Line("search", "limits", f"[{limits}]", self.limits_reason)
        if schedule:
            yield Line("search", "trials", str(schedule.trials), schedule.reason)
        size = self.proxy_size
        yield Line("proxy", "image_size", str(size.value), size.reason)
        steps = str(schedule.steps if schedule else self.steps.value)
        shortened = schedule is not None and schedule.steps < self.steps.value
        yield Line("proxy", "steps", steps, schedule.reason if schedule and shortened else self.steps.reason)
        yield Line("proxy", "seeds", str(schedule.seeds if schedule else 1), "trainings of which a score is the mean")
        yield Line("proxy", "batch", str(self.batch.value), self.batch.reason)
        yield Line("proxy", "crop_padding", str(rules.crop_padding(size.value)), "a shift of a 32nd of the side")
        yield Line("proxy", "flip", "true", _FLIP)
        if self.measured:
            yield Line("latency", "backend", *self.backend)
            yield Line("latency", "threads", "1", "measured more precisely than several; set what your program uses")
        yield Line("data", "source", own.source.source, "")
        if own.source.path:
            yield Line("data", "path", _spell(own.source.path), "relative to where the commands run, if not absolute")
            yield Line("data", "size", str(size.value), "images are decoded once, at the size of the score")

    def text(self) -> str:
        """The file."""
        by_section: dict[str, list[Line]] = {}
        for line in self.lines():
            if line.section:
                by_section.setdefault(line.section, []).append(line)
        sections = [f"{section}:\n{_spell_lines(lines, '  ')}" for section, lines in by_section.items()]
        return "\n".join([self._networks(), self._contains(), *sections])

    def _networks(self) -> str:
        """All that says which networks there are."""
        top = _spell_lines([line for line in self.lines() if not line.section], "")
        words = (
            f"# Written by `mvsearch init` for {self.images.words}.\n"
            "# A space is a network with some values left open: `mvsearch space FILE` checks it, `mvsearch run FILE`\n"
            "# searches it. Change what you like: docs/spaces.md has the language, docs/reference/ all settings.\n"
        )
        return f"{words}\nname: {_spell(self.name)}\n{top}\n{self._rows()}"

    def _rows(self) -> str:
        """The template from its variables to its conditions, with some strides left open for small images."""
        rows = rows_text()
        opened = rules.open_strides(self.image_size.value)
        for name in opened:
            rows = re.sub(rf"(name: {name}, .*)stride: 2", r"\1stride: {choose: [1, 2]}", rows)
        note = f"# {' and '.join(opened)} may keep the size of the map: otherwise few pixels are left at the end.\n"
        return rows.replace("blocks:", f"{note}blocks:") if opened else rows

    def _contains(self) -> str:
        """The published models within the limits, with their costs."""
        if not self.within_reach:
            return "contains: []   # no published model is within the limits\n"
        costs = {name: self.space.adapt(published(name)).cost() for name in self.within_reach}
        names = (
            f"  - {name}".ljust(_WIDTH - 1) + f" # {COUNT.format(cost.params)} params, {COUNT.format(cost.macs)} MACs\n"
            for name, cost in costs.items()
        )
        return "".join(("contains:   # published models with your classes and size, evaluated first\n", *names))


@cache
def _read_space(text: str) -> SearchSpace:
    return SearchSpace.parse(parse(text))


@cache
def _template_models() -> tuple[str, ...]:
    """The published models in the template, each network once."""
    by_key: dict[str, str] = {}
    for name in SearchSpace.load(find_space(FIRST)).contains:
        by_key.setdefault(published(name).key, name)
    return tuple(by_key.values())


def _spell_lines(lines: Sequence[Line], indent: str) -> str:
    pairs = ((f"{indent}{line.key}: {line.value}", line.reason) for line in lines)
    return "".join(f"{pair.ljust(_WIDTH - 1)} # {reason}\n" if reason else f"{pair}\n" for pair, reason in pairs)


def _spell(text: str) -> str:
    """A text as YAML: in quotes where it would be read as something else."""
    plain = re.fullmatch(r"[\w./-]+", text) and parse(f"x: {text}").data["x"] == text
    return text if plain else json.dumps(text, ensure_ascii=False)
