"""torch's own FlopCounterMode on the meta device, where attention is two matrix products, which it counts.

On a CPU it would miss fused attention. It counts flops, two per multiply-accumulate, of operators that have any.
"""

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mvsearch.arch.architecture import Architecture
from mvsearch.profiling.counters import Count, Missed
from mvsearch.profiling.counters._tools import throwaway

_MEMORY_ONLY = ("empty", "clone", "cat", "_unsafe_view")


def count(arch: Architecture) -> Count:
    """The count of `FlopCounterMode`, halved; no tensor holds data."""
    network, images = throwaway(arch, device="meta")
    # The inner mode sees an operator first, and passes it on to be counted.
    with FlopCounterMode(display=False) as counter, _OperatorCalls() as operators, torch.no_grad():
        network(images)
    flops = counter.get_flop_counts().get("Global", {})
    missed = {
        packet.__name__: Missed(calls)
        for packet, calls in operators.calls.most_common()
        if packet not in counter.flop_registry and packet.__name__ not in _MEMORY_ONLY
    }
    return Count(
        tool="torch FlopCounterMode",
        version=torch.__version__,
        params=sum(parameter.numel() for parameter in network.parameters()),
        macs=counter.get_total_flops() // 2,
        by_operator={packet.__name__: flops[packet] // 2 for packet in sorted(flops, key=flops.__getitem__)[::-1]},
        missed=missed,
    )


class _OperatorCalls(TorchDispatchMode):
    """How often each operator is called that computes values; views are not counted."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's, without annotations
        self.calls: Counter[Any] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            self.calls[func.overloadpacket] += 1
        return func(*args, **(kwargs or {}))
