"""One Python file that registers the network with timm, and its weights beside it for `pretrained=True`.

Once the file is imported, `timm.create_model(NAME, num_classes=..., in_chans=..., features_only=True, out_indices=...)`
makes the network from the classes that were trained. Feature maps begin at stride 2, as those of timm's own models do.
"""

import keyword
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvsearch.arch.architecture import Architecture, Head
from mvsearch.errors import ArchitectureError, PlanError
from mvsearch.export.formats._code import assignments, class_name, docstring, joined, rows_of, sources_of
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Run, require
from mvsearch.nn.features import STRIDES, taps
from mvsearch.nn.network import Call
from mvsearch.nn.weights_io import write_weights
from mvsearch.utils.atomic_write import write_whole

if TYPE_CHECKING:
    from torch import nn

    from mvsearch.training.sample import Sample

SUFFIX = ".py"
SIDECAR_SUFFIXES = (".safetensors",)
EXTRA = "timm"
PACKAGES = ("timm",)
RUNTIME = "timm"
BATCHES = (1, 3, 8)
WHOLE = True
SAMPLE = True

_ATTRIBUTES = ("num_classes", "num_features", "head_hidden_size", "feature_info", "pretrained_cfg", "default_cfg")
_METHODS = ("forward_features", "forward_head", "get_classifier", "reset_classifier")


def export(subject: ExportModel, path: Path) -> None:
    """Write the file, and its weights beside it.

    Raises PlanError for a file that could not be imported, for feature maps, which timm makes itself, and for a subject
    without a sample, whose mean and deviation timm is to know; ArchitectureError for a row named as timm's attributes.
    """
    require(EXTRA, *PACKAGES)
    if subject.features:
        raise PlanError("timm: `create_model(..., features_only=True)` gives feature maps; leave --features out.")
    if subject.sample is None:
        raise PlanError("timm: it wants to know the mean and deviation of images, and the subject has no sample.")
    if not path.stem.isidentifier() or keyword.iskeyword(path.stem):
        wanted = stem(path.stem)
        raise PlanError(f"{path.name}: could not be imported under this name; call it {wanted}.py (with -o).")
    weights = path.with_suffix(".safetensors")
    write_whole(path, source(subject.arch, subject.model, subject.sample, module=path.stem).encode())
    write_weights(subject.model, subject.arch.key, weights)


def unavailable_reason() -> str | None:
    """Why timm cannot be imported here, though it is installed: it needs a torchvision that fits torch."""
    run = subprocess.run([sys.executable, "-c", "import timm"], capture_output=True, text=True, check=False)
    return f"timm cannot be imported here ({run.stderr.strip().splitlines()[-1]})" if run.returncode else None


def load_runtime(path: Path, *, threads: int = 1) -> Run:
    """The network as timm creates it, pretrained, in a fresh interpreter to which mvsearch cannot be imported."""
    from mvsearch.export.formats._fresh import IsolatedInterpreter

    make = '__import__("timm").create_model(module.__all__[0], pretrained=True)'
    return IsolatedInterpreter(path, path.with_suffix(".safetensors"), threads=threads, make=make)


def stem(name: str) -> str:
    """What timm calls the network, and how its file is called: a function's name, without a dot, which timm takes for
    the beginning of a tag.

    >>> stem("mobilevitv2_0.5"), stem("17"), stem("class")
    ('mobilevitv2_0_5', 'network_17', 'network_class')
    """
    made = re.sub(r"[^a-z0-9_]", "_", name.lower())
    return made if re.match("[a-z]", made) and not keyword.iskeyword(made) else f"network_{made}"


def source(arch: Architecture, model: "nn.Module", sample: "Sample", *, module: str) -> str:
    """The file's text, for images prepared as those of the sample; `module` is the name to import it by."""
    rows = rows_of(arch, features=False)
    for row in rows:
        if row in (*_ATTRIBUTES, *_METHODS):
            raise ArchitectureError(f"a row named {row!r} would hide what timm's models call so; rename the row.")
    sources = sources_of(rows)
    for statement in (
        "from pathlib import Path",
        "from typing import Any",
        "from timm.models import build_model_with_cfg, generate_default_cfgs, register_model",
    ):
        sources.add_import(statement)
    name = stem(str(arch.name or f"network_{arch.key}"))
    while name in sources.names:
        name += "_network"
    cls = class_name(str(arch.name or "Network"), {*sources.names, name})
    usage = (
        f'Use: `import {module}`, then `timm.create_model("{name}", num_classes=10)`;\n'
        f"with `pretrained=True` it has the weights of {module}.safetensors beside this file.\n"
    )
    return joined(
        [
            docstring(arch, "Registers itself with timm.", features=False, usage=usage),
            sources.imports(),
            *sources.definitions(),
            _network(arch, cls, rows),
            _settings(arch, name, model, sample),
            _entry(arch, name, cls),
        ]
    )


class _Word(str):
    """An argument that is written as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _classifier(arch: Architecture) -> Head:
    """The head, which is the only kind that timm's models have; PlanError for another."""
    if not isinstance(arch.head, Head):
        raise PlanError(f"timm: its models are classifiers, and this is a network for {arch.task}; use --to torch.")
    return arch.head


def _with_argument(call: Call, place: int, word: str) -> Call:
    args: list[Any] = list(call.args)
    args[place] = _Word(word)
    return replace(call, args=tuple(args))


def _network(arch: Architecture, cls: str, rows: dict[str, list[Call]]) -> str:
    classifier = _classifier(arch)
    first, head = next(iter(rows)), rows["head"][0]
    options = {name: value for name, value in head.kwargs.items() if name != "dropout"}
    head = _with_argument(replace(head, kwargs={**options, "dropout": _Word("drop_rate")}), 1, "num_classes or None")
    opened = {**rows, first: [_with_argument(rows[first][0], 0, "in_chans"), *rows[first][1:]], "head": [head]}
    steps = "\n".join(f"        x = self.{row}(x)" for row in list(rows)[:-1])
    pooled = "x.mean((2, 3))" if classifier.pool == "mean" else "x.amax((2, 3))"
    maps = "\n".join(
        f'            {{"num_chs": {tap.channels}, "reduction": {tap.reduction}, "module": "{tap.row}"}},'
        for tap in taps(arch, (2, *STRIDES))
    )
    classes, rate = arch.num_classes if classifier.linear else 0, classifier.dropout
    return f'''class {cls}(nn.Module):
    """(B, in_chans, H, W) → (B, num_classes), or pooled features where `num_classes` is 0."""

    def __init__(self, num_classes: int = {classes}, in_chans: int = 3, drop_rate: float = {rate}) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_features = self.head_hidden_size = {arch.features}
        self.feature_info = [
{maps}
        ]
{assignments(opened)}
        self.apply(initialise)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) → (B, {arch.features}, h, w)."""
{steps}
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(B, {arch.features}, h, w) → (B, num_classes), or (B, {arch.features}) with `pre_logits`."""
        return {pooled} if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) → (B, num_classes)."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head.linear

    def reset_classifier(self, num_classes: int) -> None:
        """Another last layer, fresh; none where `num_classes` is 0."""
        self.num_classes = num_classes
        self.head.linear = nn.Linear({arch.features}, num_classes) if num_classes else nn.Identity()
        self.head.apply(initialise)'''


def _settings(arch: Architecture, name: str, model: "nn.Module", sample: "Sample") -> str:
    from torch import nn

    first = next(name for name, module in model.named_modules() if isinstance(module, nn.Conv2d))
    mean, std = (", ".join(f"{value:.6f}" for value in values) for values in (sample.mean, sample.std))
    classifier = '\n            "classifier": "head.linear",' if arch.head.classifies else ""
    return f"""default_cfgs = generate_default_cfgs(
    {{
        "{name}": {{
            "file": str(Path(__file__).with_suffix(".safetensors")),
            "num_classes": {arch.num_classes if arch.head.classifies else 0},
            "input_size": (3, {arch.image_size}, {arch.image_size}),
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": ({mean}),
            "std": ({std}),
            "first_conv": "{first}",{classifier}
        }}
    }}
)"""


def _entry(arch: Architecture, name: str, cls: str) -> str:
    indices = tuple(range(len(taps(arch, (2, *STRIDES)))))
    return f'''@register_model
def {name}(pretrained: bool = False, **kwargs: Any) -> {cls}:
    """For `timm.create_model`."""
    features = {{"out_indices": {indices}}}
    return build_model_with_cfg({cls}, "{name}", pretrained, feature_cfg=features, **kwargs)'''
