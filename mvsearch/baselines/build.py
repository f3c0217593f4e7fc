"""Rivals as torch modules, made by timm."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import nn

from mvsearch.baselines import Baseline
from mvsearch.errors import EnvironmentFault


def build(rival: Baseline) -> nn.Module:
    """The network in evaluation mode and the form that it runs in, with fresh weights: 1,000 classes, (B, 3, S, S).

    Raises EnvironmentFault for a rival that timm does not build, and where timm cannot be imported.
    """
    if rival.timm is None:
        raise EnvironmentFault(f"{rival.name}: timm does not build it; its figures are printed ones, and stay so.")
    timm = _timm()
    network: nn.Module = timm.create_model(rival.timm, pretrained=False).eval()
    if rival.reparameterised:
        network = timm.utils.reparameterize_model(network)
    return network


def _timm() -> Any:
    if find_spec("timm") is None:
        raise EnvironmentFault("rivals are built by timm, which is missing; pip install 'mvsearch[timm]' brings it.")
    try:
        try:
            return _imported()
        except RuntimeError:
            with _declared_operators():
                return _imported()
    except Exception as error:
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EnvironmentFault(
            f"rivals are built by timm, which cannot be imported here ({words}); "
            "install the torchvision that was made for this torch."
        ) from error


def _imported() -> ModuleType:
    import timm
    import timm.utils

    module: ModuleType = timm
    return module


@contextmanager
def _declared_operators() -> Iterator[None]:
    """Beside a torch of another build, torchvision, which timm imports, misses its compiled part and asks for two
    operators of it. No network here needs them: declared for as long as it looks, they let it be imported."""
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    try:
        yield
    finally:
        library._destroy()
