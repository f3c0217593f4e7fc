"""ExecuTorch for phones and boards: XNNPACK takes what it can of the graph, portable kernels run the rest.

One image at a time: with an open batch XNNPACK leaves every change of shape to the portable kernels.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvsearch.export.formats._tools import traced
from mvsearch.export.formats._unfused import unfused
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Run, as_list, quiet, require

SUFFIX = ".pte"
EXTRA = "executorch"
PACKAGES = ("executorch",)
RUNTIME = "executorch"
BATCHES = (1,)


def export(subject: ExportModel, path: Path) -> None:
    """Write the file, attention spelt out."""
    require(EXTRA, *PACKAGES)
    _lower(traced(subject, model=unfused(subject.model), any_batch=False), path)


def export_int8(subject: ExportModel, path: Path, images: np.ndarray) -> None:
    """Static quantisation as XNNPACK wants it: int8 weights a channel, int8 activations, calibrated on the images."""
    require(EXTRA, *PACKAGES, "torchao")
    with quiet(), torch.no_grad():
        from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        quantiser = xnnpack.XNNPACKQuantizer()
        quantiser.set_global(xnnpack.get_symmetric_quantization_config(is_per_channel=True))
        graph = traced(subject, model=unfused(subject.model), any_batch=False).module()
        prepared = prepare_pt2e(graph, quantiser)
        for image in torch.from_numpy(images):
            prepared(image[None])
        _lower(traced(subject, model=convert_pt2e(prepared), any_batch=False), path)


def _lower(program: torch.export.ExportedProgram, path: Path) -> None:
    with quiet(), torch.no_grad():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.devtools.backend_debug import get_delegation_info
        from executorch.exir import EdgeProgramManager, to_edge_transform_and_lower

        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).exported_program()
        found = get_delegation_info(lowered.graph_module).delegation_by_operator.values()
        counted = [
            each for each in found if each.op_type != "getitem"
        ]  # takes one of several results, computes nothing
        delegated = sum(each.delegated for each in counted)
        # Methods without arguments are how the file tells of itself what cannot be read off it later.
        told = {"operators": delegated + sum(each.non_delegated for each in counted), "delegated": delegated}
        made = EdgeProgramManager({"forward": lowered}, told).to_executorch()
    path.write_bytes(made.buffer)


def load_runtime(path: Path, *, threads: int = 1) -> Run:
    """The file in ExecuTorch's own runtime. The number of threads is the whole process's."""
    require(EXTRA, *PACKAGES)
    with quiet():
        from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
        from executorch.runtime import Runtime

        _unsafe_reset_threadpool(threads)
        method = Runtime.get().load_program(path).load_method("forward")

    def run(images: np.ndarray) -> list[np.ndarray]:
        # Results lie in the method's own memory, which the next call overwrites.
        return [output.copy() for output in as_list(method.execute([torch.from_numpy(images)]))]

    return run


def facts(path: Path) -> dict[str, Any]:
    """How many operators the graph has, and the share of them that XNNPACK takes."""
    require(EXTRA, *PACKAGES)
    with quiet():
        from executorch.runtime import Runtime

        program = Runtime.get().load_program(path)
        operators, delegated = (program.load_method(name).execute([])[0] for name in ("operators", "delegated"))
    return {"operators": operators, "delegated_share": delegated / operators}
