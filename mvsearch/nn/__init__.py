"""Rows as torch modules. A file `nn/x.py` holds the module of `blocks/x.py`, with the same fields, as `LAYER`."""

from mvsearch.nn.checkpoints import load_backbone, load_checkpoint
from mvsearch.nn.network import build

__all__ = ["build", "load_backbone", "load_checkpoint"]
