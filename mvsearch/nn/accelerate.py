"""A network made fast for training on a CPU: the same parameters and statistics, other kernels."""

import copy

from torch import Tensor, nn

from mvsearch.nn.conv import Conv
from mvsearch.nn.kernels import norm_act


def accelerate(model: nn.Module) -> nn.Module:
    """A network that shares all parameters and buffers with `model` and trains faster on a CPU.

    Its outputs are those of `model` up to rounding; in eval mode they are the same. Hooks of `model` are not called.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    view = copy.deepcopy(model, shared)
    for module in view.modules():
        if type(module) is Conv:
            module.__class__ = _AcceleratedConv
    return view


class _AcceleratedConv(Conv):
    """The block `conv` with batch norm, and SiLU if it is the activation, in one kernel."""

    def activate(self, x: Tensor) -> Tensor:
        """Batch norm and activation: (B, out, H, W) → the same. The kernel has SiLU; others follow it."""
        silu = isinstance(getattr(self, "act", None), nn.SiLU)
        y = norm_act(x, self.norm, act=silu)
        if y is None:
            return super().activate(x)
        return y if silu or not hasattr(self, "act") else self.act(y)
