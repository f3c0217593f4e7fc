"""One Python file that registers the network with timm, and its weights beside it for `pretrained=True`.

Once the file is imported, `timm.create_model(NAME, num_classes=..., in_chans=..., features_only=True, out_indices=...)`
builds the network from the classes that were trained. Feature maps begin at stride 2, as in timm's own models.
"""

import json
import keyword
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mvsearch.arch.architecture import Architecture, Head
from mvsearch.errors import ArchitectureError, PlanError
from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.formats._code import (
    assignments,
    class_name,
    collect_sources,
    docstring,
    images_text,
    join_parts,
    rows_of,
)
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Runner
from mvsearch.nn.features import STRIDES, taps
from mvsearch.nn.network import Call
from mvsearch.nn.weights_io import write_weights
from mvsearch.utils.atomic_write import write_whole
from mvsearch.utils.import_check import import_failures

_ATTRIBUTES = ("num_classes", "num_features", "head_hidden_size", "feature_info", "pretrained_cfg", "default_cfg")
_METHODS = ("forward_features", "forward_head", "get_classifier", "reset_classifier")


def export(export_model: ExportModel, path: Path) -> None:
    """Write the file, and its weights beside it.

    Raises PlanError for a file name that cannot be imported, for feature maps, which timm makes itself, and for weights
    whose preparation of images is unknown, because timm would take ImageNet's; ArchitectureError for a row that has the
    name of an attribute of timm's models.
    """
    FORMAT.require_packages()
    if export_model.features:
        raise PlanError("timm: `create_model(..., features_only=True)` returns feature maps; remove --features.")
    if export_model.trained and export_model.preparation is None:
        raise PlanError(
            "timm: the file states mean and deviation of images, which are unknown for these weights; use --normalise."
        )
    if not path.stem.isidentifier() or keyword.iskeyword(path.stem):
        raise PlanError(f"cannot be imported under this name; use -o {file_stem(path.stem)}.py.", at=path)
    weights = path.with_suffix(".safetensors")
    write_whole(path, source(export_model, module=path.stem).encode())
    write_weights(
        export_model.model, export_model.arch.key, weights, export_model.stored_preparation, random=export_model.random
    )


def unavailable_reason() -> str | None:
    """Why timm, though installed, cannot be imported: it needs a torchvision that fits torch."""
    failure = import_failures(["timm"]).get("timm")
    return f"timm cannot be imported here ({failure})" if failure else None


def load_runtime(path: Path, *, threads: int = 1) -> Runner:
    """The network as timm creates it, pretrained, in an interpreter that cannot import mvsearch."""
    from mvsearch.export.formats._interpreter import IsolatedInterpreter

    expression = '__import__("timm").create_model(module.__all__[0], pretrained=True)'
    return IsolatedInterpreter(path, path.with_suffix(".safetensors"), threads=threads, expression=expression)


def file_stem(name: str) -> str:
    """The name of the network in timm and of its file: a function's name without a dot, which begins a tag in timm.

    >>> file_stem("mobilevitv2_0.5"), file_stem("17"), file_stem("class")
    ('mobilevitv2_0_5', 'network_17', 'network_class')
    """
    identifier = re.sub(r"[^a-z0-9_]", "_", name.lower())
    valid = re.match("[a-z]", identifier) and not keyword.iskeyword(identifier)
    return identifier if valid else f"network_{identifier}"


def source(export_model: ExportModel, *, module: str) -> str:
    """The file's text; `module` is the name to import it by."""
    arch = export_model.arch
    rows = rows_of(arch, features=False)
    for row in rows:
        if row in (*_ATTRIBUTES, *_METHODS):
            raise ArchitectureError(f"a row named {row!r} hides an attribute of timm's models; rename the row.")
    sources = collect_sources(rows)
    for statement in (
        "from pathlib import Path",
        "from typing import Any",
        "from timm.models import build_model_with_cfg, generate_default_cfgs, register_model",
    ):
        sources.add_import(statement)
    name = file_stem(str(arch.name or f"network_{arch.key}"))
    while name in sources.names:
        name += "_network"
    cls = class_name(str(arch.name or "Network"), {*sources.names, name})
    usage = (
        f'Use: `import {module}`, then `timm.create_model("{name}", num_classes=10)`;\n'
        f"with `pretrained=True` it has the weights of {module}.safetensors beside this file.\n"
    )
    if images := images_text(export_model):
        usage += f"\n{images}"
    return join_parts(
        [
            docstring(arch, "It registers itself with timm.", features=False, usage=usage),
            sources.imports(),
            *sources.definitions(),
            _network(arch, cls, rows),
            _settings(export_model, name),
            _entry(arch, name, cls),
        ]
    )


class _Expression(str):
    """An argument that is printed without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _classifier(arch: Architecture) -> Head:
    """The classification head; raises PlanError for another, since timm's models are classifiers."""
    if arch.task != "classification":
        raise PlanError(f"timm: its models are classifiers and this network is for {arch.task}; use --to torch.")
    return cast(Head, arch.head)


def _replace_argument(call: Call, position: int, expression: str) -> Call:
    args: list[Any] = list(call.args)
    args[position] = _Expression(expression)
    return replace(call, args=tuple(args))


def _network(arch: Architecture, cls: str, rows: dict[str, list[Call]]) -> str:
    """The source of the class. Its first row takes `in_chans`, its head `num_classes` and `drop_rate`."""
    classifier = _classifier(arch)
    first, head = next(iter(rows)), rows["head"][0]
    options = {name: value for name, value in head.kwargs.items() if name != "dropout"}
    head = replace(head, kwargs={**options, "dropout": _Expression("drop_rate")})
    first_calls = [_replace_argument(rows[first][0], 0, "in_chans"), *rows[first][1:]]
    open_rows = {**rows, first: first_calls, "head": [_replace_argument(head, 1, "num_classes or None")]}
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
        self.num_features, self.head_hidden_size = {arch.features}, {classifier.hidden or arch.features}
        self.feature_info = [
{maps}
        ]
{assignments(open_rows)}
        self.apply(initialise)

{_methods(arch, classifier, list(rows)[:-1])}'''


def _methods(arch: Architecture, classifier: Head, rows: list[str]) -> str:
    """The methods that timm's models have."""
    steps = "\n".join(f"        x = self.{row}(x)" for row in rows)
    features = classifier.hidden or arch.features
    return f'''    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) → (B, {arch.features}, h, w)."""
{steps}
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(B, {arch.features}, h, w) → (B, num_classes), or (B, {features}) with `pre_logits`."""
        return self.head.features(x) if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) → (B, num_classes)."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head.linear

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer by one with random weights; by none where `num_classes` is 0."""
        self.num_classes = num_classes
        self.head.linear = nn.Linear({features}, num_classes) if num_classes else nn.Identity()
        self.head.linear.apply(initialise)'''


def _settings(export_model: ExportModel, name: str) -> str:
    from torch import nn

    arch, images = export_model.arch, export_model.expected
    modules = export_model.model.named_modules()
    first = next(name for name, module in modules if isinstance(module, nn.Conv2d))
    mean, std = (", ".join(f"{value:.6f}" for value in values) for values in (images.mean, images.std))
    labels = "".join(f"\n                {json.dumps(name, ensure_ascii=False)}," for name in images.classes)
    labels = f'\n            "label_names": ({labels}\n            ),' if labels else ""
    notes = "".join(f"\n                {json.dumps(note)}," for note in export_model.notes)
    notes = f'\n            "notes": ({notes}\n            ),' if notes else ""
    crop = math.floor(1e6 * images.crop) / 1e6  # timm rounds size / crop down: of a larger share it would lose a pixel
    crop_mode = '\n            "crop_mode": "squash",' if images.fit == "stretch" else ""
    classifier = '\n            "classifier": "head.linear",' if arch.head.classifies else ""
    return f"""default_cfgs = generate_default_cfgs(
    {{
        "{name}": {{
            "file": str(Path(__file__).with_suffix(".safetensors")),
            "num_classes": {arch.num_classes if arch.head.classifies else 0},
            "input_size": (3, {arch.image_size}, {arch.image_size}),
            "interpolation": "{images.interpolation}",
            "crop_pct": {crop},{crop_mode}
            "mean": ({mean}),
            "std": ({std}),
            "first_conv": "{first}",{classifier}{labels}{notes}
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


FORMAT = ExportFormat(
    name="timm",
    suffix=".py",
    sidecar_suffixes=(".safetensors",),
    extra="timm",
    packages=("timm",),
    export=export,
    file_stem=file_stem,
    exports_stages=False,
    runtime=Runtime(package="timm", load_runtime=load_runtime, unavailable_reason=unavailable_reason, in_process=False),
)
