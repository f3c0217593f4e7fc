"""One Python file that needs torch alone: the source of the classes that were trained, and calls of them."""

import ast
from pathlib import Path

from mvsearch.arch.architecture import Architecture
from mvsearch.export.formats._code import class_name, docstring, joined, network, rows_of, sources_of
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Run
from mvsearch.nn.weights_io import write_weights
from mvsearch.utils.atomic_write import write_whole

SUFFIX = ".py"
SIDECAR_SUFFIXES = (".safetensors",)
EXTRA = None
RUNTIME = "torch"
BATCHES = (1, 3, 8)
WHOLE = True


def export(subject: ExportModel, path: Path) -> None:
    """Write the file, and its weights beside it. The network has the key names of `build(arch)`."""
    weights = path.with_suffix(".safetensors")
    write_whole(path, source(subject.arch, features=subject.features, weights=weights.name).encode())
    write_weights(subject.model, subject.arch.key, weights)


def load_runtime(path: Path, *, threads: int = 1) -> Run:
    """The file in a fresh interpreter to which mvsearch cannot be imported, with the weights beside it."""
    from mvsearch.export.formats._fresh import IsolatedInterpreter

    return IsolatedInterpreter(path, path.with_suffix(".safetensors"), threads=threads)


def source(arch: Architecture, *, features: bool = False, weights: str = "weights.safetensors") -> str:
    """The file's text; with `features` it gives feature maps at strides 4, 8, 16, 32 and has nothing behind them."""
    sources = sources_of(rows_of(arch, features=features))
    sources.add_import("import torch")
    name = class_name(str(arch.name or "Network"), sources.names)
    usage = f'Weights: `model.load_state_dict(safetensors.torch.load_file("{weights}"))`.'
    parts = [
        docstring(arch, "Needs torch alone; yours to change.", features=features, usage=usage),
        sources.imports(),
        *sources.definitions(),
        network(arch, name, features=features),
        _main(arch, name, features=features),
    ]
    return joined(parts)


def defined(text: str) -> str:
    """The name of the network's class in a file's text."""
    return [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)][-1]


def _main(arch: Architecture, name: str, *, features: bool) -> str:
    several = features or arch.task == "detection"
    given = "maps" if features else "found" if several else "logits"
    shapes = f"[tuple(each.shape) for each in {given}]" if several else f"tuple({given}.shape)"
    return f"""if __name__ == "__main__":
    model = {name}().eval()
    with torch.no_grad():
        {given} = model(torch.zeros(1, 3, {arch.image_size}, {arch.image_size}))
    print(f"{{sum(p.numel() for p in model.parameters()):,}} parameters, output {{{shapes}}}")"""
