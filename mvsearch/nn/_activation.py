"""Activations by the names that rows have for them."""

import copy
from typing import Any

from torch import nn

_CLASSES = {"silu": nn.SiLU, "relu": nn.ReLU, "relu6": nn.ReLU6, "hard_swish": nn.Hardswish, "gelu": nn.GELU}


def activation(name: str) -> nn.Module:
    """The module of an activation; that of `none` returns its input."""
    return nn.Identity() if name == "none" else _CLASSES[name]()


def in_place(act: nn.Module | None) -> nn.Module | None:
    """A copy of an activation that overwrites its input, where it can."""
    own: Any = copy.deepcopy(act)
    if hasattr(own, "inplace"):
        own.inplace = True
    return own
