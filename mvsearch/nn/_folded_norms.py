"""Batch norms of a transformer, which become part of the layers that read their outputs."""

from collections.abc import Mapping

import torch
from torch import Tensor

_READERS = {"norm1": "attention.qkv", "norm2": "ffn_in", "norm": "project.conv"}
_SHIFTED = {"project.conv": ("project.norm.running_mean", -1)}
"""Where the shift of a layer without a bias goes: its norm subtracts the mean."""


def fold_batch_norms(state: Mapping[str, Tensor], eps: float = 1e-5) -> dict[str, Tensor]:
    """The state of a block of `merged` transformer layers, from that of a block with batch norms."""
    merged = dict(state)
    for norm in _norms(state):
        prefix, _, last = norm.rpartition(".")
        reader = f"{prefix}.{_READERS[last]}" if prefix else _READERS[last]
        bias, sign = _SHIFTED.get(reader, (f"{reader}.bias", 1))
        parts = [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        if not _fits(state, parts, f"{reader}.weight", bias):
            return dict(state)
        scale, shift, mean, variance = (state[part].double() for part in parts)
        scale = scale / (variance + eps).sqrt()
        shift = shift - mean * scale
        weight, old = merged[f"{reader}.weight"], merged[bias]
        read = weight.flatten(1)[:, : len(scale)].double()
        folded = torch.cat((read * scale, weight.flatten(1)[:, len(scale) :].double()), dim=1)
        merged[f"{reader}.weight"] = folded.view_as(weight).to(weight.dtype)
        merged[bias] = (old.double() + sign * (read @ shift)).to(old.dtype)
        for name in (*parts, f"{norm}.num_batches_tracked"):
            merged.pop(name, None)
    return merged


def _norms(state: Mapping[str, Tensor]) -> list[str]:
    """The batch norms of the transformer: `norm`, `layers.0.norm1` ..."""
    names = (name.removesuffix(".running_mean") for name in state if name.endswith(".running_mean"))
    return [name for name in names if name == "norm" or name.startswith("layers.")]


def _fits(state: Mapping[str, Tensor], parts: list[str], weight: str, bias: str) -> bool:
    """Whether all parts are there, in shapes that fit; a damaged file is refused by its shapes later."""
    if not all(name in state for name in (*parts, weight, bias)) or state[weight].ndim < 2:
        return False
    channels, outputs = len(state[parts[0]]), state[weight].shape[0]
    shapes = [tuple(state[name].shape) for name in parts]
    pointwise = state[weight].flatten(1).shape[1] == state[weight].shape[1] >= channels
    return shapes == [(channels,)] * 4 and pointwise and tuple(state[bias].shape) == (outputs,)
