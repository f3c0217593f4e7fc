"""Weights for comparing with the authors' networks."""

import math
import zlib

import numpy as np
import torch


def made_up(key: str, shape: list[int]) -> torch.Tensor:
    """Weights that depend on the name and the shape only. RandomState, because NumPy promises never to change it."""
    draw = np.random.RandomState(zlib.crc32(key.encode()))
    kind = key.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return torch.tensor(0)
    if kind in ("bias", "running_mean"):
        values = 0.1 * draw.standard_normal(shape)
    elif kind == "running_var" or len(shape) == 1:
        values = draw.uniform(0.5, 1.5, shape)
    else:
        # 1.3 keeps the spread about the same from layer to layer, so that the logits depend on every one of them.
        values = draw.standard_normal(shape) * math.sqrt(1.3 / math.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))
