"""One Python file that needs torch alone: the source of the classes that were trained, and calls of them."""

import keyword
import re
import textwrap
from pathlib import Path

from mvsearch import yamlfile
from mvsearch.architecture import Architecture
from mvsearch.errors import PlanError
from mvsearch.exporters._source import Sources
from mvsearch.exporters._tools import Run
from mvsearch.exporters._weights import write_weights
from mvsearch.exporters.subject import Subject
from mvsearch.files import write_whole
from mvsearch.nn.head import initialise
from mvsearch.nn.network import Call, calls

SUFFIX = ".py"
BESIDE = (".safetensors",)
EXTRA = None
RUNTIME = "torch"
BATCHES = (1, 3, 8)

_WIDTH = 120


def export(subject: Subject, path: Path) -> None:
    """Write the file, and its weights beside it. The network has the key names of `build(arch)`."""
    if subject.features:
        raise PlanError("torch: the file gives logits, no feature maps; use --to onnx, or leave --features out.")
    write_whole(path, source(subject.arch).encode())
    write_weights(subject, path.with_suffix(".safetensors"))


def read_back(path: Path, *, threads: int = 1) -> Run:
    """The file in a fresh interpreter to which mvsearch cannot be imported, with the weights beside it."""
    from mvsearch.exporters._fresh import Fresh

    return Fresh(path, threads=threads)


def source(arch: Architecture) -> str:
    """The file's text."""
    rows = calls(arch)
    sources = Sources()
    for call in (call for row in rows.values() for call in row):
        sources.add(call.cls)
    sources.add(initialise)
    sources.add_import("import torch")
    sources.add_import("from torch import Tensor, nn")
    name = class_name(str(arch.name or "Network"), sources.names)
    parts = [
        _docstring(arch, name),
        sources.imports(),
        *sources.definitions(),
        _network(arch, name, rows),
        _main(arch, name),
    ]
    return parts[0] + "\n\n" + "\n\n\n".join(parts[1:]) + "\n"


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


def _title(arch: Architecture) -> str:
    letters = (letter if letter.isprintable() else " " for letter in str(arch.name or f"network {arch.key}"))
    return "".join(letters)


def _docstring(arch: Architecture, name: str) -> str:
    total = arch.cost()
    rows = [
        (stage.name, " x ".join(str(n) for n in _size(stage.out, stage.block)), stage.cost.params, stage.cost.macs)
        for stage in arch.stages()
    ]
    table = "\n".join(f"    {stage:<16}{size:>16}{params:>14,}{macs:>16,}" for stage, size, params, macs in rows)
    text = f"""{_title(arch)}, written by mvsearch. Needs torch alone; yours to change.

    {total.params:,} parameters
    {total.macs:,} multiply-accumulates for one image of {arch.image_size} x {arch.image_size}
    {total.macs_paper:,} as the MobileViTv3 paper counts them (arXiv 2209.15159)

    {"stage":<16}{"output":>16}{"parameters":>14}{"MACs":>16}
{table}

Weights: `model.load_state_dict(safetensors.torch.load_file("weights.safetensors"))`.
As an architecture file:

{_indented(yamlfile.dump(arch.to_dict()))}
"""
    # A name may hold anything; between the quotes it stays text.
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{escaped}"""'


def _size(out: object, block: str) -> list[int]:
    channels, height, width = (getattr(out, part) for part in ("channels", "height", "width"))
    return [channels] if block == "head" else [channels, height, width]


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


def _network(arch: Architecture, name: str, rows: dict[str, list[Call]]) -> str:
    assignments = "\n".join(_assignment(row, made) for row, made in rows.items())
    steps = "\n".join(f"        x = self.{row}(x)" for row in list(rows)[:-1])
    classes = arch.num_classes if arch.head.linear else arch.features
    return f'''class {name}(nn.Module):
    """(B, 3, H, W) → (B, {classes})."""

    def __init__(self) -> None:
        super().__init__()
{assignments}
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, {classes})."""
{steps}
        return self.head(x)'''


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


def _main(arch: Architecture, name: str) -> str:
    return f"""if __name__ == "__main__":
    model = {name}().eval()
    with torch.no_grad():
        logits = model(torch.zeros(1, 3, {arch.image_size}, {arch.image_size}))
    print(f"{{sum(p.numel() for p in model.parameters()):,}} parameters, output {{tuple(logits.shape)}}")"""
