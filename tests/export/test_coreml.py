"""The operators of a Core ML file, computed by torch, give what the network gives: Core ML runs on macOS only."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small import DENSE, MIXED, SEPARABLE, SOFTMAX, job, small_model
from torch import Tensor

from mvsearch.export.comparison import run_eager
from mvsearch.export.model import ExportModel

pytestmark = pytest.mark.usefixtures("one_thread")

slow = pytest.mark.slow


def ints(values: Any) -> list[int]:
    return [int(value) for value in values]


def conv(x: Tensor, a: dict[str, Any]) -> Tensor:
    assert a["pad_type"] in ("valid", "custom")
    top, bottom, left, right = ints(a["pad"]) if a["pad_type"] == "custom" else [0] * 4
    padded, strides, dilations = F.pad(x, (left, right, top, bottom)), ints(a["strides"]), ints(a["dilations"])
    return F.conv2d(padded, a["weight"], a.get("bias"), strides, 0, dilations, int(a["groups"]))


OPERATORS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "add": lambda x, a: x + a["y"],
    "sub": lambda x, a: x - a["y"],
    "mul": lambda x, a: x * a["y"],
    "real_div": lambda x, a: x / a["y"],
    "square": lambda x, _: x**2,
    "sqrt": lambda x, _: x.sqrt(),
    "relu": lambda x, _: x.relu(),
    "silu": lambda x, _: F.silu(x),
    "softmax": lambda x, a: x.softmax(int(a["axis"])),
    "reduce_mean": lambda x, a: x.mean(ints(a["axes"]), bool(a["keep_dims"])),
    "reduce_sum": lambda x, a: x.sum(ints(a["axes"]), bool(a["keep_dims"])),
    "reshape": lambda x, a: x.reshape(ints(a["shape"])),
    "transpose": lambda x, a: x.permute(ints(a["perm"])),
    "squeeze": lambda x, a: x.squeeze(tuple(ints(a["axes"]))),
    "concat": lambda _, a: torch.cat(a["values"], int(a["axis"])),
    "split": lambda x, a: x.split(ints(a["split_sizes"]), int(a["axis"])),
    "linear": lambda x, a: F.linear(x, a["weight"], a["bias"]),
    "matmul": lambda x, a: (x.mT if a["transpose_x"] else x) @ (a["y"].mT if a["transpose_y"] else a["y"]),
    "batch_norm": lambda x, a: F.batch_norm(
        x, a["mean"], a["variance"], a["gamma"], a["beta"], eps=float(a["epsilon"])
    ),
    "layer_norm": lambda x, a: F.layer_norm(x, a["gamma"].shape, a["gamma"], a["beta"], float(a["epsilon"])),
    "conv": conv,
}


def run(path: Path, image: Tensor) -> dict[str, Tensor]:
    """The outputs of a file by their names."""
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.models import MLModel

    model = MLModel(str(path), skip_model_load=True)
    spec = model.get_spec()
    program = load(spec, specification_version=spec.specificationVersion, file_weights_dir=model.weights_dir)
    main = program.functions["main"]
    known = dict.fromkeys(main.inputs, image)

    def value(variable: Any) -> Any:
        if isinstance(variable, list | tuple):
            return [value(each) for each in variable]
        if variable.name in known:
            return known[variable.name]
        return torch.from_numpy(variable.val) if getattr(variable.val, "shape", ()) else variable.val

    for operation in main.operations:
        if operation.op_type != "const":
            arguments = {name: value(variable) for name, variable in operation.inputs.items() if variable is not None}
            results = OPERATORS[operation.op_type](arguments.get("x"), arguments)
            results = results if isinstance(results, list | tuple) else [results]
            known |= {output.name: each for output, each in zip(operation.outputs, results, strict=True)}
    assert [output.name for output in spec.description.output] == [output.name for output in main.outputs]
    return {output.name: value(output) for output in main.outputs}


def in_use(model: ExportModel) -> ExportModel:
    """The model with biases, and with norms that have seen images, as a training leaves them."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in (each for each in model.model.parameters() if each.ndim == 1):
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        model.model.train()(torch.randn(4, 3, *[model.arch.image_size] * 2, generator=generator))
    model.model.eval()
    return model


@pytest.mark.parametrize("document", [MIXED, *(pytest.param(each, marks=slow) for each in (DENSE, SOFTMAX, SEPARABLE))])
def test_the_operators_of_a_file_give_what_the_network_gives(document, tmp_path):
    export_job = job("coreml", tmp_path, in_use(small_model(document)))
    export_job.write(export_job.path)
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    outputs = run(export_job.path, image)

    assert list(outputs) == ["logits"]
    [logits] = run_eager(export_job.export_model.model, image.numpy())
    torch.testing.assert_close(outputs["logits"], torch.from_numpy(logits), rtol=0, atol=1e-4 * float(logits.std()))
