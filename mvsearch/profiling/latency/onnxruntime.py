"""Latency of onnxruntime on the CPU, fp32: the file that `mvsearch export --to onnx` writes."""

from mvsearch.profiling.latency._exported import Exported

VERSION = 1
_FILES = Exported("onnxruntime", "onnx")
measure, ready, device, missing = _FILES.measure, _FILES.ready, _FILES.device, _FILES.missing
