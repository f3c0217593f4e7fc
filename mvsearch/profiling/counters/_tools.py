"""What every counter starts from: the tool, imported without its warnings, and a network of its own."""

import warnings
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.cost import IMAGE_CHANNELS
from mvsearch.errors import EnvironmentFault
from mvsearch.nn import build
from mvsearch.utils.installation import install_hint


def load(module: str) -> Any:
    """A module of a tool; raises EnvironmentFault, naming the package, if it cannot be imported."""
    package = module.partition(".")[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(module)
    except ImportError as error:
        raise EnvironmentFault(
            f"counter {package!r} cannot be imported ({error}); install it with `{install_hint('counters')}`, or use "
            "--counter dispatch."
        ) from error


def throwaway(arch: Architecture, *, device: str = "cpu") -> tuple[nn.Module, Tensor]:
    """The network of an architecture in evaluation mode, and a batch of one image for it."""
    with torch.device(device):
        network = build(arch.deploy(), seed=0).eval()
        return network, torch.zeros(1, IMAGE_CHANNELS, arch.image_size, arch.image_size)
