"""Writes int8 ONNX files of one network by several schemes, from one float32 file and one calibration of each kind."""

from ast import literal_eval
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mvsearch.export.formats._onnx_int8 import (
    LIMITS,
    MACS_SHARE,
    Int8Plan,
    Limits,
    known_operators,
    plan_all,
    plan_int8,
    store_weights_in_int8,
)
from mvsearch.export.int8 import Int8Scheme, Ranges
from mvsearch.export.runtime import suppress_output

_SCOPES = "pkg.torch.onnx.name_scopes"
"""The names of the modules that a node comes from, outermost first, as torch's exporter writes them."""

_CALIBRATION_BATCH = 8
_BINS = {"percentile": {"num_bins": 2048, "percentile": 99.99, "symmetric": False}, "entropy": {"num_bins": 256}}


class OnnxQuantiser:
    """Quantises the float32 file, which lies in `folder` with what is computed on the way, on images (N, 3, H, W)."""

    def __init__(self, float32: Path, folder: Path, images: np.ndarray) -> None:
        import onnx
        from onnxruntime.quantization.shape_inference import quant_pre_process

        self._float32, self._folder, self._images = float32, folder, images
        self._prepared = folder / "prepared.onnx"
        with suppress_output():
            quant_pre_process(float32, self._prepared, skip_symbolic_shape=True)
        self._stage_of = stages_of_nodes(onnx.load(float32), onnx.load(self._prepared))
        self._ranges: dict[Ranges, Any] = {}

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages with an operator that the quantiser knows, in the order of the graph."""
        return tuple(dict.fromkeys(stage for stage in self._stage_of.values() if stage))

    def write_float32(self, path: Path) -> None:
        """Copy the file."""
        path.write_bytes(self._float32.read_bytes())

    def write(self, path: Path, scheme: Int8Scheme) -> None:
        """Write the int8 file of a scheme."""
        self.write_by(path, scheme, LIMITS)

    def write_by(self, path: Path, scheme: Int8Scheme, limits: Limits) -> None:
        """The same, where a scheme without `everything` computes what is above these limits in int8."""
        import onnx

        model = onnx.load(self._prepared)
        in_float = {name for name, stage in self._stage_of.items() if stage in scheme.float_stages}
        plan = plan_all(model, in_float) if scheme.everything else plan_int8(model, limits, in_float)
        with suppress_output():
            if plan.nodes:
                model = self._quantise(plan, scheme)
            store_weights_in_int8(model, plan.weights_only)
            properties = {entry.key: entry.value for entry in model.metadata_props if not entry.key.startswith("onnx.")}
            onnx.helper.set_model_props(model, properties | {MACS_SHARE: f"{plan.macs_share:.4f}"})
            onnx.save(model, path)

    def _quantise(self, plan: Int8Plan, scheme: Int8Scheme) -> Any:
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
        from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

        model, nodes = load_model_with_shape_infer(self._prepared), {*plan.nodes}
        quantiser = QDQQuantizer(
            model,
            scheme.per_channel,
            False,
            QuantType.QInt8,
            QuantType.QUInt8,
            self._calibrated(scheme.ranges),
            list(plan.nodes),
            [],
            sorted({node.op_type for node in model.graph.node if node.name in nodes}),
            {} if scheme.everything else {"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
        )
        quantiser.quantize_model()
        return quantiser.model.model

    def _calibrated(self, method: Ranges) -> Any:
        """The range of every activation, computed once for each method, a few images at a time."""
        if method not in self._ranges:
            from onnxruntime.quantization import CalibrationMethod, create_calibrator

            methods = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
            calibrator = create_calibrator(
                self._prepared,
                known_operators(),
                augmented_model_path=str(self._folder / f"{method}.onnx"),
                calibrate_method=CalibrationMethod[methods[method]],
                extra_options=_BINS.get(method, {}),
            )
            for batch in _readers(self._images):
                calibrator.collect_data(batch)
            self._ranges[method] = calibrator.compute_data()
        return self._ranges[method]


def _readers(images: np.ndarray) -> Iterator[Any]:
    """Readers for a calibrator, one for each batch: it keeps all that one reader reads in memory."""
    from onnxruntime.quantization import CalibrationDataReader

    class Batch(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, batch: np.ndarray) -> None:
            self.feed: dict[str, np.ndarray] | None = {"images": batch}

        def get_next(self) -> dict[str, np.ndarray] | None:
            feed, self.feed = self.feed, None
            return feed

    yield from map(Batch, np.array_split(images, -(-len(images) // _CALIBRATION_BATCH)))


def stages_of_nodes(float32: Any, prepared: Any) -> Mapping[str, str]:
    """The stage of every node of the prepared graph by the node's name, empty where none is known.

    The exporter writes the modules of each node; nodes that were added later are of the stage that they read from.
    """
    known = {node.name: _stage(node) for node in float32.graph.node}
    maker: dict[str, str] = {}
    for node in prepared.graph.node:
        stage = known.get(node.name) or next((maker[name] for name in node.input if maker.get(name)), "")
        known[node.name] = stage
        maker |= dict.fromkeys(node.output, stage)
    return {node.name: known[node.name] for node in prepared.graph.node}


def _stage(node: Any) -> str:
    scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
    names = literal_eval(scopes)
    return str(names[1]).split(".")[0] if len(names) > 1 else ""
