"""Source text of a network: the docstring of its file, its class, and the calls that build its rows."""

import keyword
import re
import textwrap

from mvsearch.arch.architecture import Architecture, Stage
from mvsearch.arch.cost import Cost
from mvsearch.export.formats._source import Sources
from mvsearch.export.model import ExportModel
from mvsearch.nn.classification import initialise
from mvsearch.nn.features import backbone_rows, taps
from mvsearch.nn.network import Call, calls, head_initialises_itself, read_names
from mvsearch.utils import yaml_document

_WIDTH = 120


def class_name(name: str, taken: set[str]) -> str:
    """A class name for an architecture's: `mobilevitv3_xxs_l2` is MobileViTv3_XXS_L2.

    >>> class_name("mobilevitv2_0.5", set()), class_name("conv", {"Conv"})
    ('MobileViTv2_0_5', 'ConvNetwork')
    """
    words = re.findall("[A-Za-z0-9]+", name.replace("mobilevit", "MobileViT"))
    result = "_".join(word.upper() if re.fullmatch(r"x*s|l\d", word) else word[:1].upper() + word[1:] for word in words)
    if not result.isidentifier() or keyword.iskeyword(result):
        result = f"Network_{result}"
    while result in taken:
        result += "Network"
    return result


def title(arch: Architecture) -> str:
    """The architecture's name, else its key, on one line."""
    letters = (letter if letter.isprintable() else " " for letter in str(arch.name or f"network {arch.key}"))
    return "".join(letters)


def rows_of(arch: Architecture, *, features: bool) -> dict[str, list[Call]]:
    """The rows to write, from names to calls: all rows, or those that feature maps need."""
    rows = calls(arch)
    return {name: rows[name] for name in backbone_rows(arch)} if features else rows


def costs_of(arch: Architecture, *, features: bool) -> tuple[list[Stage], Cost]:
    """The stages to write, and their total cost."""
    written = rows_of(arch, features=features)
    stages = [stage for stage in arch.stages() if stage.name.partition(".")[0] in written]
    return stages, sum((stage.cost for stage in stages), Cost())


def cost_table(arch: Architecture, *, features: bool) -> str:
    """Parameters and multiply-accumulates, then one line per stage."""
    stages, total = costs_of(arch, features=features)
    rows = [(stage.name, " x ".join(map(str, _size(stage))), stage.cost.params, stage.cost.macs) for stage in stages]
    width = max(16, *(len(stage.name) + 2 for stage in stages))
    table = "\n".join(f"{name:<{width}}{size:>16}{params:>14,}{macs:>16,}" for name, size, params, macs in rows)
    selected = taps(arch) if features else ()
    maps = [f"stride {tap.reduction:>2}: {tap.channels} channels, after {tap.row}" for tap in selected]
    outputs = "\n".join(["", "feature maps", *maps, ""]) if maps else ""
    return f"""{total.params:,} parameters
{total.macs:,} multiply-accumulates for one image of {arch.image_size} x {arch.image_size}
{total.macs_paper:,} as the MobileViTv3 paper counts them (arXiv 2209.15159)

{"stage":<{width}}{"output":>16}{"parameters":>14}{"MACs":>16}
{table}
{outputs}"""


def docstring(arch: Architecture, summary: str, *, features: bool, usage: str) -> str:
    """The docstring of a file that holds a network: a summary, its costs, its usage and its architecture."""
    text = f"""{title(arch)}, written by mvsearch. {summary}

{textwrap.indent(cost_table(arch, features=features), " " * 4)}
{usage}
As an architecture file:

{_indent_yaml(yaml_document.dump(arch.to_dict()))}
"""
    # A name may hold any character; between the quotes it stays text.
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{escaped}"""'


def images_text(export_model: ExportModel) -> str:
    """How images are prepared, in lines for a docstring; empty for weights that are random."""
    if export_model.preparation is None and not export_model.trained:
        return ""
    if export_model.preparation is None:
        return "Images: how they are prepared for these weights is unknown.\n"
    expected = export_model.expected
    classes = f"Classes in order: {', '.join(expected.classes)}." if expected.classes else ""
    described = f"Images: {expected.describe()}; {expected.describe_framing()}. Known from {expected.source}."
    lines = (described, *export_model.notes, classes)
    return "".join(textwrap.fill(line, _WIDTH - 4) + "\n" for line in lines if line)


def _size(stage: Stage) -> list[int]:
    out = stage.out
    return [out.channels] if stage.block == "head" else [out.channels, out.height, out.width]


def _indent_yaml(text: str) -> str:
    """Indent by four, and break long rows between their fields."""
    lines = [part for line in text.removesuffix("\n").split("\n") for part in _fold_row(line)]
    return textwrap.indent("\n".join(lines), " " * 4)


def _fold_row(line: str) -> list[str]:
    if not line.startswith("  - {"):
        return [line]
    tied = line.replace(": ", ":\N{NO-BREAK SPACE}")
    parts = textwrap.wrap(tied, _WIDTH - 4, subsequent_indent=" " * 5, break_long_words=False, break_on_hyphens=False)
    return [part.replace("\N{NO-BREAK SPACE}", " ") for part in parts]


def collect_sources(rows: dict[str, list[Call]]) -> Sources:
    """The classes that the rows need, and the definitions that every network needs."""
    sources = Sources()
    for call in (call for row in rows.values() for call in row):
        sources.add(call.cls)
    sources.add(initialise)
    sources.add_import("from torch import Tensor, nn")
    return sources


def join_parts(parts: list[str]) -> str:
    """Join a file's docstring and its other parts with as many empty lines as formatters ask for."""
    return parts[0] + "\n\n" + "\n\n\n".join(parts[1:]) + "\n"


def network(arch: Architecture, name: str, *, features: bool) -> str:
    """The source of a class that returns logits, or a list of feature maps."""
    rows, argument = rows_of(arch, features=features), "x"
    own = "\n        self.head.initialise_weights()" if not features and head_initialises_itself(arch) else ""
    if features:
        maps = taps(arch)
        steps = _forward_lines(list(rows), {tap.row: tap.name for tap in maps}, "x")
        steps += f"\n        return [{', '.join(tap.name for tap in maps)}]"
        reductions = ", ".join(str(tap.reduction) for tap in maps)
        channels = ", ".join(str(tap.channels) for tap in maps)
        shapes, returns = f"maps at strides {reductions}, of {channels} channels", "list[Tensor]"
    elif not arch.head.pools_last_map:
        read = {row: f"map_{i}" for i, row in enumerate(read_names(arch))}
        steps = _forward_lines(list(rows)[:-1], read, "images")
        steps += f"\n        return self.head([{', '.join(read.values())}], images.shape[2:])"
        argument, shapes, returns = (
            "images",
            arch.head.output_shapes(arch.features, arch.num_classes),
            _return_type(arch),
        )
    else:
        steps = "\n".join(f"        x = self.{row}(x)" for row in list(rows)[:-1]) + "\n        return self.head(x)"
        shapes, returns = arch.head.output_shapes(arch.features, arch.num_classes), "Tensor"
    return f'''class {name}(nn.Module):
    """(B, 3, H, W) → {shapes}."""

    def __init__(self) -> None:
        super().__init__()
{assignments(rows)}
        self.apply(initialise){own}

    def forward(self, {argument}: Tensor) -> {returns}:
        """(B, 3, H, W) → {shapes}."""
{steps}'''


def assignments(rows: dict[str, list[Call]]) -> str:
    """The lines of a class's `__init__` that build the rows."""
    return "\n".join(_assignment(row, calls) for row, calls in rows.items())


def _return_type(arch: Architecture) -> str:
    outputs = ["Tensor" for _ in arch.head.outputs]
    return outputs[0] if len(outputs) == 1 else f"tuple[{', '.join(outputs)}]"


def _forward_lines(rows: list[str], names: dict[str, str], argument: str) -> str:
    """The lines that call every row in order, the first on the argument; maps that are read later keep their names."""
    lines = []
    for row in rows:
        result = names.get(row, "x")
        lines.append(f"        {result} = self.{row}({argument})")
        argument = result
    return "\n".join(lines)


def _assignment(row: str, row_calls: list[Call]) -> str:
    if len(row_calls) == 1:
        return _wrap_call(f"        self.{row} = ", row_calls[0])
    inner = "\n".join(_wrap_call(" " * 12, call, ",") for call in row_calls)
    return f"        self.{row} = nn.Sequential(\n{inner}\n        )"


def _wrap_call(before: str, call: Call, after: str = "") -> str:
    """A call on one line if it fits, else its arguments on a second line, else one argument per line."""
    arguments, head = call.arguments(), f"{before}{call.cls.__name__}"
    margin = " " * (len(before) - len(before.lstrip()))
    inline, inner = f"{head}({', '.join(arguments)}){after}", f"{margin}    {', '.join(arguments)}"
    if len(inline) <= _WIDTH:
        return inline
    if len(inner) > _WIDTH:
        inner = "\n".join(f"{margin}    {argument}," for argument in arguments)
    return f"{head}(\n{inner}\n{margin}){after}"
