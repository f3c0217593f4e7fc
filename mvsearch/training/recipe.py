"""How a network is trained: numbers only, no torch, so that a plan can be checked without loading it."""

from dataclasses import dataclass

from mvsearch.errors import PlanError


@dataclass(frozen=True)
class Recipe:
    """AdamW with cosine and warm-up, label smoothing, averaged weights; the same batches for every network.

    `lr` rises linearly over the `warmup` share of all steps, then falls along a cosine to a hundredth. `ema` is the
    decay of the averaged weights that are judged (arXiv 2209.15159, appendix C, averages too, over a longer run).
    Weight decay leaves norms and biases alone. `held_out` images of the training part, as many of each class, judge.
    """

    steps: int = 75
    batch: int = 64
    image_size: int = 32
    lr: float = 2e-3
    warmup: float = 0.1
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    ema: float = 0.95
    clip: float = 5.0
    crop_padding: int = 1
    flip: bool = True
    held_out: int = 5000
    seed: int = 0

    def __post_init__(self) -> None:
        lowest = {"steps": 1, "batch": 2, "image_size": 8, "held_out": 1}
        for name, low in lowest.items():
            if getattr(self, name) < low:
                raise PlanError(f"proxy: {name}={getattr(self, name)} trains nothing; use {low} or more.")
        for name in ("warmup", "ema", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise PlanError(f"proxy: {name}={getattr(self, name)} is no share; use 0 to below 1.")
