"""The tensors of a checkpoint as the float32 values of a network, or the reason why they are none."""

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from mvsearch.errors import CheckpointError
from mvsearch.nn.checkpoints import COUNTER


def to_float32(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Dense float32 tensors, counters as integers; and what was converted, in words.

    Raises CheckpointError for tensors without values, integer or complex ones, NaN and inf.
    """
    converted: Counter[str] = Counter()
    values = {}
    for name, tensor in weights.items():
        if tensor.is_meta:
            raise CheckpointError(f"{name!r} is on the meta device and has no values; save the network after loading.")
        if name.endswith(COUNTER):
            values[name] = tensor.detach().reshape(()).to(torch.int64) if tensor.numel() == 1 else tensor
            continue
        if tensor.layout != torch.strided:
            converted[f"from {str(tensor.layout).removeprefix('torch.')} to dense"] += 1
            tensor = tensor.to_dense()
        if not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise CheckpointError(f"{name!r} is of type {kind}; use a checkpoint with float32, float16 or bfloat16.")
        if tensor.dtype != torch.float32:
            converted[f"from {str(tensor.dtype).removeprefix('torch.')} to float32"] += 1
        values[name] = tensor.detach().to(torch.float32)
    _refuse_nonfinite(values)
    return values, tuple(f"converted {count} tensors {what}" for what, count in converted.items())


def _refuse_nonfinite(values: Mapping[str, Tensor]) -> None:
    bad = [name for name, tensor in values.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise CheckpointError(
            f"{bad[0]!r} contains NaN or inf ({len(bad)} of {len(values)} tensors do); use an earlier checkpoint."
        )
