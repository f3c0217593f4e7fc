"""Baselines as torch modules, built by timm."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import nn

from mvsearch.baselines import Baseline
from mvsearch.errors import EnvironmentFault
from mvsearch.utils.installation import install_hint


def build(baseline: Baseline) -> nn.Module:
    """The network in evaluation mode and in its form for inference, with random weights: 1,000 classes, (B, 3, S, S).

    Raises EnvironmentFault for a baseline that timm does not have, and where timm cannot be imported.
    """
    if baseline.timm is None:
        raise EnvironmentFault(f"{baseline.name}: timm does not have this network; only its printed figures are known.")
    timm = _load_timm()
    network: nn.Module = timm.create_model(baseline.timm, pretrained=False).eval()
    if baseline.reparameterised:
        network = timm.utils.reparameterize_model(network)
    return network


def _load_timm() -> Any:
    if find_spec("timm") is None:
        raise EnvironmentFault(f"baselines need timm, which is missing; install it with `{install_hint('timm')}`.")
    try:
        try:
            return _import_timm()
        except RuntimeError:
            with _torchvision_operators():
                return _import_timm()
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EnvironmentFault(
            f"baselines need timm, which cannot be imported ({reason}); install the torchvision of this torch."
        ) from error


def _import_timm() -> ModuleType:
    import timm

    module: ModuleType = timm
    return module


@contextmanager
def _torchvision_operators() -> Iterator[None]:
    """Declare two operators of torchvision for as long as the context lasts.

    timm imports torchvision, which requires them at import. A torchvision built for another torch lacks them, and no
    network here uses them.
    """
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    try:
        yield
    finally:
        del library  # which takes back what it declared
