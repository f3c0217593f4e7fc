"""One Python file that needs only torch: the source of the classes that were trained, and the calls that build them."""

import ast
from pathlib import Path

from mvsearch.arch.architecture import Architecture
from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.formats._code import (
    class_name,
    collect_sources,
    docstring,
    images_text,
    join_parts,
    network,
    rows_of,
)
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Runner
from mvsearch.nn.weights_io import write_weights
from mvsearch.utils.atomic_write import write_whole
from mvsearch.utils.text import printable


def export(export_model: ExportModel, path: Path) -> None:
    """Write the file, and its weights beside it. Parameters have the names of those of `build(arch)`."""
    weights = path.with_suffix(".safetensors")
    images = images_text(export_model)
    text = source(export_model.arch, features=export_model.features, weights=printable(weights.name), images=images)
    write_whole(path, text.encode())
    write_weights(
        export_model.model, export_model.arch.key, weights, export_model.stored_preparation, random=export_model.random
    )


def load_runtime(path: Path, *, threads: int = 1) -> Runner:
    """The file, with the weights beside it, in an interpreter that cannot import mvsearch."""
    from mvsearch.export.formats._interpreter import IsolatedInterpreter

    return IsolatedInterpreter(path, path.with_suffix(".safetensors"), threads=threads)


def source(
    arch: Architecture, *, features: bool = False, weights: str = "weights.safetensors", images: str = ""
) -> str:
    """The file's text; with `features` the network ends with feature maps at strides 4 to 64.

    `images` says how they are prepared.
    """
    sources = collect_sources(rows_of(arch, features=features))
    sources.add_import("import torch")
    name = class_name(str(arch.name or "Network"), sources.names)
    usage = f'Weights: `model.load_state_dict(safetensors.torch.load_file("{weights}"))`.'
    usage = f"{usage}\n\n{images}" if images else usage
    parts = [
        docstring(arch, "It needs only torch; edit it freely.", features=features, usage=usage),
        sources.imports(),
        *sources.definitions(),
        network(arch, name, features=features),
        _main(arch, name, features=features),
    ]
    return join_parts(parts)


def network_class(text: str) -> str:
    """The name of the network's class in a file's text."""
    return [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)][-1]


def _main(arch: Architecture, name: str, *, features: bool) -> str:
    several = features or len(arch.head.outputs) > 1
    result = "maps" if features else "outputs" if several else "logits"
    shapes = f"[tuple(y.shape) for y in {result}]" if several else f"tuple({result}.shape)"
    return f"""if __name__ == "__main__":
    model = {name}().eval()
    with torch.no_grad():
        {result} = model(torch.zeros(1, 3, {arch.image_size}, {arch.image_size}))
    print(f"{{sum(p.numel() for p in model.parameters()):,}} parameters, output {{{shapes}}}")"""


FORMAT = ExportFormat(
    name="torch",
    suffix=".py",
    sidecar_suffixes=(".safetensors",),
    export=export,
    exports_stages=False,
    runtime=Runtime(package="torch", load_runtime=load_runtime, in_process=False),
)
