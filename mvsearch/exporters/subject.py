"""What is exported: an architecture, and the model that goes by it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mvsearch.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Subject:
    """What is exported.

    `model` is in eval mode with its weights in; `weights` says in words where they come from ("fresh, seed 0", or the
    file's name). With `features` the model returns a list of feature maps at strides 4, 8, 16, 32 instead of logits.
    """

    arch: Architecture
    model: "nn.Module"
    weights: str
    features: bool = False
