"""Latency of onnxruntime on the CPU, fp32: the file that `mvsearch export --to onnx` writes."""

from mvsearch.profiling.latency import LatencyBackend
from mvsearch.profiling.latency._exported import Exported


class OnnxRuntime(Exported):
    """The file in onnxruntime."""

    name = "onnxruntime"
    format_name = "onnx"


BACKEND: LatencyBackend = OnnxRuntime()
