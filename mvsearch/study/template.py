"""Starting files for a search: the spaces that mvsearch includes, and a space around any published model. No torch.

name ── shipped file, or rows of a published model with open widths and depths ── limits ── text
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.blocks import Block
from mvsearch.arch.cost import IMAGE_CHANNELS
from mvsearch.arch.published import Model, family, model, model_names, published
from mvsearch.errors import PlanError, SpaceError
from mvsearch.metrics.constraints import Constraint, replace_limits
from mvsearch.metrics.registry import STATIC_COSTS
from mvsearch.space.exact_front import exact_front
from mvsearch.space.search_space import SearchSpace
from mvsearch.space.shipped import find_space, shipped_spaces
from mvsearch.study.plan import Plan
from mvsearch.utils import plugins
from mvsearch.utils.units import COUNT
from mvsearch.utils.yaml_document import dump_flow, parse

FIRST = "v3"
"""The space whose rows `mvsearch init` uses."""

BUDGET = "mixed"
"""The space for a budget without the name of a family."""

_SHIPPED = {"mobilevitv3": FIRST, "mobilevitv2": "v2"}
"""The families that have a space of their own."""

_SIGN = re.compile(r" *([<>]=) *")
_DRAWN = 20_000
_ROOM = 1.5


def families() -> dict[str, list[str]]:
    """The published models of each family, in the order of their parameters."""
    found: dict[str, list[str]] = {}
    for name in sorted(model_names(), key=lambda name: published(name).cost().params):
        if first := family(name):
            found.setdefault(first, []).append(name)
    return found


def template_names() -> tuple[str, ...]:
    """The names that have a template, beside those of published models."""
    return tuple(dict.fromkeys((*sorted(families()), *shipped_spaces())))


def rows_text() -> str:
    """The rows that `mvsearch init` begins with: `vars`, `blocks`, `head` and `where`, with their comments."""
    text = find_space(FIRST).read_text(encoding="utf-8")
    return text[text.index("vars:") : text.index("contains:")].rstrip() + "\n"


def template(name: str, limits: Sequence[Constraint] = (), *, study: str | None = None) -> str:
    """A commented file for a family, a published model or a space that mvsearch includes, under the limits.

    `study` is the name in the file. Raises PlanError for an unknown name, and for a limit that no network can meet,
    with the least that there is.
    """
    known = families()
    shipped = _SHIPPED.get(name, name)
    if shipped in shipped_spaces():
        text = find_space(shipped).read_text(encoding="utf-8")
    elif name in known:
        text = _around(known[name][0], known[name])
    elif name in model_names():
        text = _around(name, known.get(family(name) or "", [name]))
    else:
        near = plugins.nearest(name.lower(), (*template_names(), *model_names()))
        every = f"a family or a space ({', '.join(template_names())}), a published model (`mvsearch models`)"
        hint = f"did you mean {near!r}?" if near else f"use {every}, or a budget such as params=1.5M."
        raise PlanError(f"unknown template; {hint}", at=f"--template {name}")
    text = re.sub(r"(?m)^name: [\w.-]+", f"name: {study}", text, count=1) if study else text
    text = _limited(text, limits) if limits else text
    document = replace(parse(text), file="--template", lines={})  # nobody has seen its lines
    space = Plan.of(SearchSpace.parse(document)).space  # as `run` reads it
    if problems := [problem for limit in limits if (problem := unmet(space, limit))]:
        raise PlanError(f"no network can meet {' or '.join(problems)}; allow more.", at="--template")
    return text


def unmet(space: SearchSpace, limit: Constraint) -> str | None:
    """A limit on an exact cost that no network of the space meets, with the least that there is; None if one does."""
    if limit.name not in STATIC_COSTS:
        return None
    if limit.holds(getattr(space.costs(_DRAWN), limit.name)).any():
        return None
    (least,) = exact_front(space, (limit.name,))
    value = getattr(least.cost, limit.name)
    return None if limit.holds(value) else f"{limit.text} (the least is {value:,})"


def _limited(text: str, limits: Sequence[Constraint]) -> str:
    """The text with limits besides its own, or instead of those on the same side of the same cost."""
    own = [Constraint.parse(each) for each in parse(text).data.get("search", {}).get("limits", ())]
    merged = ", ".join(_SIGN.sub(r" \1 ", limit.text) for limit in replace_limits(own, limits))
    line = f"  limits: [{merged}]"
    if own:
        return re.sub(r"(?m)^  limits: .*$", line, text)
    return re.sub(r"(?m)^(  objectives: .*)$", rf"\1\n{line}", text)


def _around(name: str, others: Sequence[str]) -> str:
    """The space around a published model, which is a point of it; others of its family are named where they are too."""
    about = model(name)
    text = _text(about, (name,))
    space = SearchSpace.parse(parse(text))
    inside = [other for other in others if other == name or _is_point(space, published(other))]
    return _text(about, inside)


def _is_point(space: SearchSpace, arch: Architecture) -> bool:
    try:
        space.find_point(space.adapt(arch))
    except SpaceError:
        return False
    return True


def _text(about: Model, contains: Iterable[str]) -> str:
    arch, cost, name = about.architecture, about.architecture.cost(), about.name
    counts = f"{COUNT.format(cost.params)} parameters, {COUNT.format(cost.macs)} MACs at {arch.image_size} px"
    printed = (
        f"\n# ImageNet top-1 {about.figures['top1']} %: {about.figures['source']}." if "top1" in about.figures else ""
    )
    conditions = _conditions(arch)
    where = f"{_line('where:', 'widths grow')}  - {conditions}\n\n" if conditions else ""
    return f"""\
# Networks around {name}: {counts}.{printed}
# Widths are open by a quarter, depths by a half, and rows that keep the shape of their input may be left out.
# `mvsearch space FILE` checks the file, `mvsearch run FILE` searches it; docs/spaces.md has the language.

name: {name}
{_line(f"image_size: {arch.image_size}", f"or open: {{choose: [{arch.image_size - 32}, {arch.image_size}]}}")}\
{_line(f"num_classes: {arch.num_classes}", "of your images")}
blocks:
{"".join(_rows(arch))}
head: {dump_flow(arch.head.own_values())}

{where}{_line("contains:", "points of the space, evaluated first")}\
{"".join(f"  - {each}{chr(10)}" for each in contains)}
search:
{_line("  objectives: [loss, params, macs]", "the proxy's loss, and costs: docs/metrics.md")}\
{_line(f"  limits: [params <= {_ROOM * cost.params / 1e6:.1f}M]", f"{_ROOM} times {name}")}\
  sampler: surrogate
  trials: 40

proxy: {{name: train, steps: 600, image_size: 32}}
{_line("data: {source: fashion_mnist}", "yours: {source: folder, path: /my/images}; see `mvsearch init`")}"""


def _line(text: str, comment: str) -> str:
    return f"{text:<35} # {comment}\n"


def _rows(arch: Architecture) -> Iterator[str]:
    """The rows, with the size of the map where it changes."""
    width, stride = IMAGE_CHANNELS, 1
    for i, row in enumerate(arch.blocks):
        if row.stride != 1:
            stride *= row.stride
            yield f"{chr(10) if i else ''}  # 1/{stride} of the image\n"
        yield f"  - {dump_flow(_open(row, width, first=i == 0))}\n"
        width = row.out


def _open(row: Block, width: int, *, first: bool) -> dict[str, Any]:
    """A row as the file spells it: widths and depths open, fields with their defaults left out."""
    written, values = row.spell(), row.own_values()
    keeps = row.stride == 1 and row.out == width
    values["out"] = "in_channels" if keeps else row.out if first else _choose(_widths(row.out, 8))
    for name in row.width_fields:
        if getattr(row, name):
            values[name] = _choose(_widths(getattr(row, name), math.lcm(8, getattr(row, "heads", 1))))
    for name, to in row.proportional_fields.items():
        if name in values and getattr(row, name) % getattr(row, to) == 0:
            values[name] = f"{getattr(row, name) // getattr(row, to)}*{to}"
    depth = row.layer_count
    if depth > 1:
        half = max(1, depth // 2)
        values[row.depth_field] = _choose([depth - half, depth, depth + half])
    elif keeps and row.depth_field == "repeat":
        values["repeat"] = _choose([0, 1])
    order = {name: i for i, name in enumerate(("block", "out", "repeat", "stride", *written))}
    return {"name": row.name, "block": row.kind(), **dict(sorted(values.items(), key=lambda pair: order[pair[0]]))}


def _choose(values: Sequence[int]) -> dict[str, list[int]]:
    return {"choose": sorted(set(values))}


def _widths(value: int, divisor: int) -> list[int]:
    """The width, and a quarter less and more, to a multiple of the divisor.

    >>> _widths(48, 8), _widths(24, 8), _widths(68, 4)
    ([40, 48, 64], [16, 24, 32], [52, 68, 84])
    """
    less, more = math.floor(0.75 * value / divisor), math.ceil(1.25 * value / divisor)
    return [max(1, less) * divisor, value, more * divisor]


def _conditions(arch: Architecture) -> str:
    """That widths grow along the rows that stride, as those of the model do."""
    rows = [row for row in arch.blocks[1:] if row.stride != 1]
    growing = [row for row, before in zip(rows, [None, *rows], strict=False) if before is None or row.out >= before.out]
    return " <= ".join(f"{row.name}.out" for row in growing) if len(growing) > 1 else ""
