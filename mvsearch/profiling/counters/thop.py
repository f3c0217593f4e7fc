"""thop counts in hooks on modules of known types, and does not see functions that are called between them.

It misses types without a rule, with their parameters, and attention and products of maps, which are functions. It does
not see other functions either (SiLU in a feed-forward, concatenation, resizing), but these have no
multiply-accumulates. It adds norms.

thop is an optional second opinion: the extra `counters` names it, and nothing else here needs it.
"""

from collections import Counter
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from mvsearch.arch.architecture import Architecture
from mvsearch.profiling.counters import Count, Missed, _fused
from mvsearch.profiling.counters._tools import load, throwaway

_MULTIPLY_ACCUMULATE = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Linear")


def count(arch: Architecture) -> Count:
    """The count of `thop.profile`, on a network that is discarded after: thop leaves its buffers in it."""
    thop = load("thop.profile")
    network, images = throwaway(arch)
    missed = _without_rule(network, images, thop.register_hooks)
    missed |= _fused.missed_attention(network, images) | _fused.missed_matmul(network, images)
    macs, params, parts = thop.profile(network, (images,), verbose=False, ret_layer_info=True)
    by_type: Counter[str] = Counter()
    _sum_by_type(network, parts, by_type)
    by_operator = {name: macs for name, macs in by_type.most_common() if macs}
    return Count(
        tool="thop",
        version=version("thop"),
        params=int(params),
        macs=int(macs),
        by_operator=by_operator,
        missed=missed,
        extra={name: macs for name, macs in by_operator.items() if name not in _MULTIPLY_ACCUMULATE},
    )


def _sum_by_type(module: nn.Module, parts: dict[str, Any], by_type: Counter[str]) -> None:
    for name, (macs, _params, children) in parts.items():
        child = module.get_submodule(name)
        if children:
            _sum_by_type(child, children, by_type)
        else:
            by_type[type(child).__name__] += int(macs)


def _without_rule(network: nn.Module, images: Tensor, rules: dict[type[nn.Module], Any]) -> dict[str, Missed]:
    """The innermost modules for which thop has no rule, by type."""
    uncounted = [m for m in network.modules() if not list(m.children()) and type(m) not in rules]
    calls: Counter[str] = Counter()
    hooks = [m.register_forward_hook(lambda m, *_: calls.update([type(m).__name__])) for m in uncounted]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    params: Counter[str] = Counter()
    for module in uncounted:
        params[type(module).__name__] += sum(parameter.numel() for parameter in module.parameters())
    return {name: Missed(times, params=params[name]) for name, times in calls.most_common()}
