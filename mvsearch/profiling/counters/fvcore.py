"""fvcore traces the network and sums one rule per operator: right on convolutions, without fused attention on a CPU.

It adds norms and resizing, and lists operators without a rule. These include `mul` and `neg` of image sizes.
"""

from importlib.metadata import version

from mvsearch.arch.architecture import Architecture
from mvsearch.profiling.counters import Count, Missed, _fused
from mvsearch.profiling.counters._tools import load, throwaway

_MULTIPLY_ACCUMULATE = ("conv", "linear", "matmul", "mm", "bmm", "addmm", "einsum")


def count(arch: Architecture) -> Count:
    """The count of `FlopCountAnalysis`, whose "flop" is a multiply-accumulate."""
    fvcore = load("fvcore.nn")
    network, images = throwaway(arch)
    attention = _fused.missed_attention(network, images)
    analysis = fvcore.FlopCountAnalysis(network, images)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    by_operator = {name: int(macs) for name, macs in analysis.by_operator().most_common()}
    unsupported = {
        name.removeprefix("aten::"): Missed(calls) for name, calls in analysis.unsupported_ops().most_common()
    }
    return Count(
        tool="fvcore",
        version=version("fvcore"),
        params=fvcore.parameter_count(network)[""],
        macs=int(analysis.total()),
        by_operator=by_operator,
        missed=unsupported | attention,
        extra={name: macs for name, macs in by_operator.items() if name not in _MULTIPLY_ACCUMULATE},
    )
