"""ExecuTorch for phones and boards: XNNPACK runs the operators that it supports, portable kernels run the rest.

One image at a time: with a dynamic batch XNNPACK leaves every change of shape to the portable kernels.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.formats._plain_attention import with_plain_attention
from mvsearch.export.formats._tools import trace
from mvsearch.export.int8 import FORMAT_SCHEMES, Int8Scheme, Quantiser
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Runner, suppress_output, to_arrays


def export(export_model: ExportModel, path: Path) -> None:
    """Write the file, with plain attention."""
    FORMAT.require_packages()
    _lower(trace(export_model, model=with_plain_attention(export_model.model), any_batch=False), path)


class XnnpackQuantiser:
    """Static quantisation for XNNPACK: int8 weights and activations, calibrated on images."""

    def __init__(self, export_model: ExportModel, images: np.ndarray) -> None:
        self._export_model, self._images = export_model, images
        self.stages = tuple(name for name, _ in export_model.model.named_children())

    def write_float32(self, path: Path) -> None:
        """Write the file in float32."""
        export(self._export_model, path)

    def write(self, path: Path, scheme: Int8Scheme) -> None:
        """Write the int8 file of a scheme: weights per channel or per tensor."""
        with suppress_output(), torch.no_grad():
            from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

            plain = with_plain_attention(self._export_model.model)
            graph = trace(self._export_model, model=plain, any_batch=False).module()
            prepared = prepare_pt2e(graph, _quantiser(scheme))
            for image in torch.from_numpy(self._images):
                prepared(image[None])
            converted = convert_pt2e(prepared)
            _dequantise_for_each_user(converted)
            _lower(trace(self._export_model, model=converted, any_batch=False), path)


def _dequantise_for_each_user(module: torch.fx.GraphModule) -> None:
    """Repeat a dequantisation for each of its users: XNNPACK cannot run a float stage whose users share its input."""
    for node in list(module.graph.nodes):
        if node.target != torch.ops.quantized_decomposed.dequantize_per_tensor.default:
            continue
        for user in list(node.users)[1:]:
            with module.graph.inserting_before(user):
                user.replace_input_with(node, module.graph.node_copy(node))
    module.recompile()


def _quantiser(scheme: Int8Scheme) -> Any:
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack

    # `set_module_name` leaves out convolutions: of a bias that a norm is folded into it does not know the module.
    def is_int8(node: torch.fx.Node) -> bool:
        return not any(name in scheme.float_stages for name, _ in node.meta.get("nn_module_stack", {}).values())

    config = xnnpack.get_symmetric_quantization_config(is_per_channel=scheme.per_channel)
    return xnnpack.XNNPACKQuantizer().set_global(config).set_filter_function(is_int8)


def quantiser(export_model: ExportModel, images: np.ndarray, _folder: Path) -> Quantiser:
    """What writes int8 files for XNNPACK."""
    replace(FORMAT, packages=(*FORMAT.packages, "torchao")).require_packages()
    return XnnpackQuantiser(export_model, images)


def _lower(program: torch.export.ExportedProgram, path: Path) -> None:
    with suppress_output(), torch.no_grad():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.devtools.backend_debug import get_delegation_info
        from executorch.exir import EdgeProgramManager, to_edge_transform_and_lower

        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).exported_program()
        delegation = get_delegation_info(lowered.graph_module).delegation_by_operator.values()
        # `getitem` selects one of several results and computes nothing.
        operators = [operator for operator in delegation if operator.op_type != "getitem"]
        delegated = sum(operator.delegated for operator in operators)
        total = delegated + sum(operator.non_delegated for operator in operators)
        # Methods without arguments store what cannot be read from the file later.
        constants = {"operators": total, "delegated": delegated}
        executable = EdgeProgramManager({"forward": lowered}, constants).to_executorch()
    path.write_bytes(executable.buffer)


def load_runtime(path: Path, *, threads: int = 1) -> Runner:
    """The file in ExecuTorch's own runtime. The number of threads holds for the whole process."""
    FORMAT.require_packages()
    with suppress_output():
        from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
        from executorch.runtime import Runtime

        _unsafe_reset_threadpool(threads)
        method = Runtime.get().load_program(path).load_method("forward")

    def run(images: np.ndarray) -> list[np.ndarray]:
        # Results lie in the method's own memory, which the next call overwrites.
        return [output.copy() for output in to_arrays(method.execute([torch.from_numpy(images)]))]

    return run


def facts(path: Path) -> dict[str, Any]:
    """The number of operators in the graph, and the share of them that XNNPACK runs."""
    FORMAT.require_packages()
    with suppress_output():
        from executorch.runtime import Runtime

        program = Runtime.get().load_program(path)
        operators, delegated = (program.load_method(name).execute([])[0] for name in ("operators", "delegated"))
    return {"operators": operators, "delegated_share": delegated / operators}


FORMAT = ExportFormat(
    name="executorch",
    suffix=".pte",
    extra="executorch",
    packages=("executorch",),
    export=export,
    quantiser=quantiser,
    int8_schemes=FORMAT_SCHEMES["executorch"],
    runtime=Runtime(package="executorch", batch_sizes=(1,), load_runtime=load_runtime, facts=facts),
)
