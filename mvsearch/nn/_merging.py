"""Weights of networks with parts that only training uses, for networks without them: branches and classifiers merge."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mvsearch.nn._layer import layers
from mvsearch.utils.text import plural

_FIRST, _SECOND, _JOINT = "head.head.", "head.head_dist.", ("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
_PARTS = {*_JOINT, "l.weight", "l.bias"}
_EPS = 1e-5
JOINED = "made one classifier of the two that a network distilled by timm has: the mean, as timm evaluates it"


def join_classifiers(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Weights with one classifier, where timm's network has two, of which one learned from a teacher: their mean.

    The mean of two batch norms with linear layers is one: it keeps the statistics of the first norm, without scale.
    """
    pairs = [{part: weights.get(head + part) for part in _PARTS} for head in (_FIRST, _SECOND)]
    if any(tensor is None for pair in pairs for tensor in pair.values()):
        return weights
    first, second = (_linear(pair) for pair in pairs)
    matrix, shift = (first[0] + second[0]) / 2, (first[1] + second[1]) / 2
    own: dict[str, Any] = pairs[0]
    mean, deviation = own["bn.running_mean"].double(), (own["bn.running_var"].double() + _EPS).sqrt()
    joined = {
        "bn.weight": torch.ones_like(own["bn.weight"]),
        "bn.bias": torch.zeros_like(own["bn.bias"]),
        "l.weight": (matrix * deviation).to(own["l.weight"].dtype),
        "l.bias": (shift + matrix @ mean).to(own["l.bias"].dtype),
    }
    others = {name: tensor for name, tensor in weights.items() if not name.startswith(_SECOND)}
    return others | {_FIRST + part: tensor for part, tensor in joined.items()}


def _linear(pair: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """A norm and a linear layer as one matrix and shift, in double precision."""
    part = {name: tensor.double() for name, tensor in pair.items()}
    scale = part["bn.weight"] / (part["bn.running_var"] + _EPS).sqrt()
    shift = part["bn.bias"] - part["bn.running_mean"] * scale
    return part["l.weight"] * scale, part["l.bias"] + part["l.weight"] @ shift


def merge_blocks(model: nn.Module, weights: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """Weights, by our names, for blocks of the model that lack parts for training; and in words what was merged."""
    merged, counts = dict(weights), Counter[str]()
    for name, module in model.named_modules():
        layer = layers().get(type(module))
        if layer is None or layer.merge is None:
            continue
        theirs = {key.removeprefix(f"{name}."): t for key, t in merged.items() if key.startswith(f"{name}.")}
        if theirs.keys() <= module.state_dict().keys():
            continue
        state = layer.merge(theirs)
        counts[layer.merged_parts] += state.keys() != theirs.keys()
        merged = {key: t for key, t in merged.items() if not key.startswith(f"{name}.")}
        merged |= {f"{name}.{key}": tensor for key, tensor in state.items()}
    notes = (f"merged the {parts} of {plural(count, 'block')}" for parts, count in counts.items() if count)
    return merged, tuple(notes)
