"""Source text of a network: its file's docstring, its class, and the calls that make its rows."""

import keyword
import re
import textwrap

from mvsearch.arch.architecture import Architecture, Stage
from mvsearch.arch.cost import Cost
from mvsearch.export.formats._source import Sources
from mvsearch.nn.classification import initialise
from mvsearch.nn.features import needed, taps
from mvsearch.nn.network import Call, calls, read_names
from mvsearch.utils import yaml_document

_WIDTH = 120
_RETURNS = {"segmentation": "Tensor", "detection": "tuple[Tensor, Tensor, Tensor]"}


def class_name(name: str, taken: set[str]) -> str:
    """A class name for an architecture's: `mobilevitv3_xxs_l2` is MobileViTv3_XXS_L2.

    >>> class_name("mobilevitv2_0.5", set()), class_name("conv", {"Conv"})
    ('MobileViTv2_0_5', 'ConvNetwork')
    """
    words = re.findall("[A-Za-z0-9]+", name.replace("mobilevit", "MobileViT"))
    made = "_".join(word.upper() if re.fullmatch(r"x*s|l\d", word) else word[:1].upper() + word[1:] for word in words)
    if not made.isidentifier() or keyword.iskeyword(made):
        made = f"Network_{made}"
    while made in taken:
        made += "Network"
    return made


def title(arch: Architecture) -> str:
    """The architecture's name, else its key, on one line."""
    letters = (letter if letter.isprintable() else " " for letter in str(arch.name or f"network {arch.key}"))
    return "".join(letters)


def rows_of(arch: Architecture, *, features: bool) -> dict[str, list[Call]]:
    """The rows that are written, name to modules: all of them, or those that feature maps are made of."""
    rows = calls(arch)
    return {name: rows[name] for name in needed(arch)} if features else rows


def costs_of(arch: Architecture, *, features: bool) -> tuple[list[Stage], Cost]:
    """The stages that are written, and what they cost together."""
    written = rows_of(arch, features=features)
    stages = [stage for stage in arch.stages() if stage.name.partition(".")[0] in written]
    return stages, sum((stage.cost for stage in stages), Cost())


def numbers(arch: Architecture, *, features: bool) -> str:
    """Parameters and multiply-accumulates, then a line a stage."""
    stages, total = costs_of(arch, features=features)
    rows = [(each.name, " x ".join(map(str, _size(each))), each.cost.params, each.cost.macs) for each in stages]
    wide = max(16, *(len(each.name) + 2 for each in stages))
    table = "\n".join(f"{stage:<{wide}}{size:>16}{params:>14,}{macs:>16,}" for stage, size, params, macs in rows)
    found = taps(arch) if features else ()
    maps = [f"stride {tap.reduction:>2}: {tap.channels} channels, after {tap.row}" for tap in found]
    gives = "\n".join(["", "feature maps", *maps, ""]) if maps else ""
    return f"""{total.params:,} parameters
{total.macs:,} multiply-accumulates for one image of {arch.image_size} x {arch.image_size}
{total.macs_paper:,} as the MobileViTv3 paper counts them (arXiv 2209.15159)

{"stage":<{wide}}{"output":>16}{"parameters":>14}{"MACs":>16}
{table}
{gives}"""


def docstring(arch: Architecture, says: str, *, features: bool, usage: str) -> str:
    """The docstring of a file that `says` what it is, holds the network, and is used so."""
    text = f"""{title(arch)}, written by mvsearch. {says}

{textwrap.indent(numbers(arch, features=features), " " * 4)}
{usage}
As an architecture file:

{_indented(yaml_document.dump(arch.to_dict()))}
"""
    # A name may hold anything; between the quotes it stays text.
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{escaped}"""'


def _size(stage: Stage) -> list[int]:
    out = stage.out
    return [out.channels] if stage.block == "head" else [out.channels, out.height, out.width]


def _indented(text: str) -> str:
    """Indented by four, long rows broken between their fields."""
    lines = [part for line in text.removesuffix("\n").split("\n") for part in _fold(line)]
    return textwrap.indent("\n".join(lines), " " * 4)


def _fold(line: str) -> list[str]:
    if not line.startswith("  - {"):
        return [line]
    tied = line.replace(": ", ":\N{NO-BREAK SPACE}")
    parts = textwrap.wrap(tied, _WIDTH - 4, subsequent_indent=" " * 5, break_long_words=False, break_on_hyphens=False)
    return [part.replace("\N{NO-BREAK SPACE}", " ") for part in parts]


def sources_of(rows: dict[str, list[Call]]) -> Sources:
    """The classes that the rows need, and what all networks of ours do."""
    sources = Sources()
    for call in (call for row in rows.values() for call in row):
        sources.add(call.cls)
    sources.add(initialise)
    sources.add_import("from torch import Tensor, nn")
    return sources


def joined(parts: list[str]) -> str:
    """A file's docstring and its other parts, with the empty lines between them that formatters want."""
    return parts[0] + "\n\n" + "\n\n\n".join(parts[1:]) + "\n"


def network(arch: Architecture, name: str, *, features: bool) -> str:
    """The source of a class that gives logits, or a list of feature maps."""
    rows, given = rows_of(arch, features=features), "x"
    if features:
        maps = taps(arch)
        steps = _tapped(list(rows), {tap.row: tap.name for tap in maps}, "x")
        steps += f"\n        return [{', '.join(tap.name for tap in maps)}]"
        reductions, channels = (", ".join(str(getattr(tap, of)) for tap in maps) for of in ("reduction", "channels"))
        gives, returns = f"maps at strides {reductions}, of {channels} channels", "list[Tensor]"
    elif arch.task != "classification":
        read = {row: f"map_{i}" for i, row in enumerate(read_names(arch))}
        steps = _tapped(list(rows)[:-1], read, "images")
        steps += f"\n        return self.head([{', '.join(read.values())}], images.shape[2:])"
        given, gives, returns = "images", gives_of(arch), _RETURNS[arch.task]
    else:
        steps = "\n".join(f"        x = self.{row}(x)" for row in list(rows)[:-1]) + "\n        return self.head(x)"
        gives, returns = gives_of(arch), "Tensor"
    return f'''class {name}(nn.Module):
    """(B, 3, H, W) → {gives}."""

    def __init__(self) -> None:
        super().__init__()
{assignments(rows)}
        self.apply(initialise)

    def forward(self, {given}: Tensor) -> {returns}:
        """(B, 3, H, W) → {gives}."""
{steps}'''


def assignments(rows: dict[str, list[Call]]) -> str:
    """The lines that make the rows, inside a class's `__init__`."""
    return "\n".join(_assignment(row, made) for row, made in rows.items())


def gives_of(arch: Architecture) -> str:
    """The shapes that a network gives for (B, 3, H, W), in words."""
    if arch.task == "detection":
        return f"logits (B, A, {arch.num_classes}), offsets (B, A, 4), anchors (B, A, 4)"
    if arch.task == "segmentation":
        return f"(B, {arch.num_classes}, H, W)"
    return f"(B, {arch.num_classes if arch.head.classifies else arch.features})"


def _tapped(rows: list[str], names: dict[str, str], given: str) -> str:
    """Every row called in order, first on what is given; what is tapped gets a name of its own."""
    lines = []
    for row in rows:
        made = names.get(row, "x")
        lines.append(f"        {made} = self.{row}({given})")
        given = made
    return "\n".join(lines)


def _assignment(row: str, made: list[Call]) -> str:
    if len(made) == 1:
        return _broken(f"        self.{row} = ", made[0])
    inner = "\n".join(_broken(" " * 12, call, ",") for call in made)
    return f"        self.{row} = nn.Sequential(\n{inner}\n        )"


def _broken(before: str, call: Call, after: str = "") -> str:
    """A call on one line if it fits, else its arguments on a line of their own, else each on one."""
    words, head = call.words(), f"{before}{call.cls.__name__}"
    margin = " " * (len(before) - len(before.lstrip()))
    inline, inner = f"{head}({', '.join(words)}){after}", f"{margin}    {', '.join(words)}"
    if len(inline) <= _WIDTH:
        return inline
    if len(inner) > _WIDTH:
        inner = "\n".join(f"{margin}    {word}," for word in words)
    return f"{head}(\n{inner}\n{margin}){after}"
