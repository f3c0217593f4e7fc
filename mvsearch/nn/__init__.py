"""Blocks and heads as torch modules.

A file `nn/x.py` declares the module of `arch/blocks/x.py`, with the same fields, as `LAYER = BlockLayer(module=...)`,
and that of `arch/heads/x.py` as `HEAD = HeadLayer(module=...)`; `nn/_layer.py` lists what
fusing and weight transfer can declare.
"""

from mvsearch.nn.checkpoints import load_checkpoint
from mvsearch.nn.network import build

__all__ = ["build", "load_checkpoint"]
