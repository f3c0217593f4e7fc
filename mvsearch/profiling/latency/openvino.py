"""Latency of OpenVINO on the CPU, asked for fp32: the file that `mvsearch export --to openvino` writes."""

from mvsearch.profiling.latency._exported import Exported

VERSION = 1
_FILES = Exported("openvino", "openvino")
measure, ready, device, missing = _FILES.measure, _FILES.ready, _FILES.device, _FILES.missing
