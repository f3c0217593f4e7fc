"""Latency of OpenVINO on the CPU in fp32: the file that `mvsearch export --to openvino` writes."""

from mvsearch.profiling.latency import LatencyBackend
from mvsearch.profiling.latency._exported import Exported


class OpenVino(Exported):
    """The file in openvino."""

    name = format_name = "openvino"


BACKEND: LatencyBackend = OpenVino()
