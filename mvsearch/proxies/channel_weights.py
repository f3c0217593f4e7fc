"""Weights with every kernel counted once: what a network has to mix channels with, wherever in the image it does so.

A 3x3 kernel holds nine numbers for one pair of channels. MobileViTv3 (arXiv 2209.15159, section 3.1 and Table 5) takes
them out of the fusion and gains accuracy: counted once, they no longer stand for capacity. This count was chosen among
ten after looking at the published models (docs/log.md), so its ranking of these is flattering.
"""

from mvsearch.arch.architecture import Architecture
from mvsearch.proxies._counts import counted


def count(arch: Architecture) -> int:
    """Biases and norms are numbers of one channel each; a (out, in, k, k) kernel counts out x in."""
    import torch

    from mvsearch.nn.network import instantiate

    with torch.device("meta"):
        return sum(weights.numel() // weights.shape[2:].numel() for weights in instantiate(arch).parameters())


PROXY = counted(
    count,
    name="channel_weights",
    label="channel weights",
    description="weights, each kernel counted once",
    ideal=1e10,
)
