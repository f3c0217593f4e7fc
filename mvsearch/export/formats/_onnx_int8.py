"""int8 in ONNX where onnxruntime's kernels for CPUs are faster than those for float32; int8 weights everywhere else.

    matrix products   those that are large, one by one: uint8 inputs, int8 weights per channel, float32 outputs
    convolutions      where they are large on average: uint8 from the second to the last, through SiLU and sums
    other weights     int8 per channel; onnxruntime turns them into float32 when it loads the file
    all else          float32: softmax, norms, attention's products of two activations

Quantising an input takes as long as 700,000 multiply-accumulates, so small products are slower in int8. The figures are
in docs/evidence/export.md, and what was tried before in docs/log.md.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from mvsearch.export.int8 import SCHEMES

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Limits:
    """From where on products are computed in int8.

    A matrix product is if it has so many multiply-accumulates for one image, or so many weights: to read those of a
    classifier takes longer than to multiply. Convolutions are if they have so many each, on average.
    """

    matrix_macs: float = 1e6
    matrix_weights: float = 1e5
    convolution_macs: float = 1e6


LIMITS = Limits()

MACS_SHARE = "int8_macs_share"
"""The name of the metadata that has the share of multiply-accumulates that is computed in int8."""

_PRODUCTS = ("Conv", "MatMul", "Gemm")
_BETWEEN = ("Sigmoid", "Mul", "Add", "Relu", "Clip")
_CALIBRATION_BATCH = 8


@dataclass(frozen=True)
class Int8Plan:
    """The names of the nodes that are computed in int8, and of those whose weights alone are int8.

    `macs_share` is the share of the multiply-accumulates that is computed in int8.
    """

    nodes: tuple[str, ...]
    weights_only: tuple[str, ...]
    macs_share: float


def quantise(float32: Path, path: Path, images: np.ndarray, limits: Limits = LIMITS) -> None:
    """Write the int8 file of a float32 file, calibrated on images (N, 3, H, W): ranges from minimum to maximum."""
    from mvsearch.export.formats._onnx_quantiser import OnnxQuantiser

    with TemporaryDirectory() as folder:
        OnnxQuantiser(float32, Path(folder), images).write_by(path, SCHEMES["fast"], limits)


def plan_all(model: "onnx.ModelProto", in_float: Collection[str] = ()) -> Int8Plan:
    """Every operator that the quantiser knows, but not these nodes."""
    known = {*known_operators()}
    nodes = tuple(node.name for node in model.graph.node if node.op_type in known and node.name not in in_float)
    return Int8Plan(nodes, (), _macs_share(dict(_macs(model)), nodes))


def known_operators() -> list[str]:
    """The types of operators that onnxruntime's quantiser knows."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return sorted({*QLinearOpsRegistry, *QDQRegistry})


def plan_int8(model: "onnx.ModelProto", limits: Limits = LIMITS, in_float: Collection[str] = ()) -> Int8Plan:
    """What to compute in int8 so that it is faster, leaving these nodes in float32."""
    macs = dict(_macs(model))
    weights = {tensor.name: prod(tensor.dims) for tensor in model.graph.initializer}
    left = [node for node in model.graph.node if node.op_type in _PRODUCTS and node.name not in in_float]
    products = [node for node in left if node.input[1] in weights]
    matrices = [node for node in products if node.op_type != "Conv"]
    # The convolution that reads the image has three channels, too few for the kernel.
    convolutions = [node for node in products if node.op_type == "Conv" and node.input[0] != model.graph.input[0].name]
    chosen = [
        node.name
        for node in matrices
        if macs[node.name] >= limits.matrix_macs or weights[node.input[1]] >= limits.matrix_weights
    ]
    if convolutions and sum(macs[node.name] for node in convolutions) >= limits.convolution_macs * len(convolutions):
        chosen += [node.name for node in convolutions] + _between(model, convolutions)
    others = tuple(node.name for node in products if node.name not in chosen)
    return Int8Plan(tuple(chosen), others, _macs_share(macs, chosen))


def _macs_share(macs: Mapping[str, int], nodes: Iterable[str]) -> float:
    return sum(macs.get(name, 0) for name in nodes) / max(1, sum(macs.values()))


def _between(model: "onnx.ModelProto", convolutions: list[Any]) -> list[str]:
    """The elementwise nodes whose inputs all come from these convolutions, by way of such nodes or directly."""
    quantised, names = {node.output[0] for node in convolutions}, []
    bounds = {tensor.name for tensor in model.graph.initializer}  # of Clip
    for node in model.graph.node:
        inputs = [name for name in node.input if not (node.op_type == "Clip" and name in bounds)]
        if node.op_type in _BETWEEN and quantised.issuperset(inputs):
            quantised.add(node.output[0])
            names.append(node.name)
    return names


def _macs(model: "onnx.ModelProto") -> Iterator[tuple[str, int]]:
    """The multiply-accumulates of one image, by the names of the nodes."""
    import onnx

    one = onnx.ModelProto()
    one.CopyFrom(model)
    del one.graph.value_info[:]
    for tensor in (*one.graph.input, *one.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(one, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
    for node in graph.node:
        if node.op_type in _PRODUCTS:
            left, right = shapes[node.input[0]], shapes[node.input[1]]
            yield node.name, prod(shapes[node.output[0]]) * (prod(right[1:]) if node.op_type == "Conv" else left[-1])


def store_weights_in_int8(model: "onnx.ModelProto", names: tuple[str, ...]) -> None:
    """Store the weights of these nodes in int8, per channel.

    They are cast and scaled by operators that onnxruntime computes once, when it loads the file; DequantizeLinear would
    be computed for every image.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph, new = model.graph, []
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    readers = [name for node in graph.node for name in node.input]
    for node in graph.node:
        if node.name not in names or readers.count(node.input[1]) > 1:
            continue
        weight = node.input[1]
        values = numpy_helper.to_array(tensors[weight])
        scale = np.abs(values).max(axis=_inputs(node), keepdims=True).clip(min=1e-12).astype(np.float32) / 127
        graph.initializer.remove(tensors[weight])
        graph.initializer.append(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{weight}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{weight}_scale"))
        cast, scaled = f"{weight}_cast", f"{weight}_scaled"
        new.append(helper.make_node("Cast", [f"{weight}_int8"], [cast], name=cast, to=TensorProto.FLOAT))
        new.append(helper.make_node("Mul", [cast, f"{weight}_scale"], [scaled], name=scaled))
        node.input[1] = scaled
    nodes = [*new, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _inputs(node: Any) -> tuple[int, ...]:
    """The axes of a node's weight that are not its output channels."""
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return (1, 2, 3) if node.op_type == "Conv" else (1,) if transposed else (0,)
