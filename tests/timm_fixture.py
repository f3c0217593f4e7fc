"""Writes tests/fixtures/timm_networks.json.gz: what timm's networks are and compute with made-up weights.

For each network: timm's name, names and shapes of its state_dict, parameters, MACs at its usual image size (torch's
counter on the meta device), and for two random images of 96 x 64 pixels the first logits, their norm, and the norm of
each feature map. Weights depend on their names alone (`authors.made_up`), so the tests need no timm.

    python tests/timm_fixture.py
"""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from authors import made_up
from torch.utils.flop_counter import FlopCounterMode

from mvsearch.baselines.build import _load_timm

FILE = Path(__file__).parent / "fixtures" / "timm_networks.json.gz"
HEIGHT, WIDTH = 96, 64
NETWORKS = {
    "mobilenetv4_conv_s": ("mobilenetv4_conv_small", 224),
    "mobilenetv4_conv_m": ("mobilenetv4_conv_medium", 256),
    "repvit_m0_9": ("repvit_m0_9", 224),
    "repvit_m1_0": ("repvit_m1_0", 224),
    "repvit_m1_1": ("repvit_m1_1", 224),
    "shvit_s1": ("shvit_s1", 224),
    "shvit_s2": ("shvit_s2", 224),
    "shvit_s3": ("shvit_s3", 224),
    "starnet_s1": ("starnet_s1", 224),
    "starnet_s2": ("starnet_s2", 224),
    "starnet_s3": ("starnet_s3", 224),
    "starnet_s4": ("starnet_s4", 224),
}


def weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Made-up weights; the ends of StarNet's branches are small, since products of products amplify rounding."""
    return {key: made_up(key, shape) * (0.02 if ".dwconv2." in key else 1) for key, shape in shapes.items()}


def images() -> torch.Tensor:
    """(2, 3, HEIGHT, WIDTH)."""
    return torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, HEIGHT, WIDTH)).astype(np.float32))


def main() -> None:
    timm = _load_timm()
    networks = {ours: describe(timm, *theirs) for ours, theirs in NETWORKS.items()}
    text = json.dumps({"timm": timm.__version__, "torch": torch.__version__, "networks": networks}).encode()
    FILE.write_bytes(gzip.compress(text, mtime=0))
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")


@torch.no_grad()
def describe(timm: Any, name: str, size: int) -> dict[str, Any]:
    model = timm.create_model(name).eval()
    shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    values = weights(shapes)
    model.load_state_dict(values)
    logits = model(images())
    backbone = timm.create_model(name, features_only=True).eval()
    plain = {key.replace(".", "_"): tensor for key, tensor in values.items()}
    backbone.load_state_dict({key: plain[key.replace(".", "_")] for key in backbone.state_dict()})
    maps = zip(backbone.feature_info.reduction(), backbone(images()), strict=True)
    return {
        "timm": name,
        "image_size": size,
        "params": sum(p.numel() for p in model.parameters()),
        "macs": count(timm.create_model(name), size),
        "macs_merged": count(timm.utils.reparameterize_model(timm.create_model(name)), size),
        "shapes": shapes,
        "logits": {"first": logits[:, :8].tolist(), "norm": float(logits.norm())},
        "maps": {str(stride): [map_.shape[1], float(map_.norm())] for stride, map_ in maps},
    }


def count(model: torch.nn.Module, size: int) -> int:
    with FlopCounterMode(display=False) as counter:
        model.eval().to("meta")(torch.zeros(1, 3, size, size, device="meta"))
    return int(counter.get_total_flops()) // 2


if __name__ == "__main__":
    main()
