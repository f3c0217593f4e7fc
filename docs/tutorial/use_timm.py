"""Classify photographs with the exported network in a script of timm: python use_timm.py IMAGE..."""

import sys

try:
    import timm
except (ImportError, RuntimeError) as error:  # it imports torchvision, which must be that of the installed torch
    sys.exit(f"timm cannot be imported ({error}); install the torchvision that belongs to your torch.")
import my_net  # noqa: F401  the exported file: it registers trial 6 of the study my with timm
import torch
from PIL import Image

model = timm.create_model("my_6", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
for path in sys.argv[1:]:
    image = transform(Image.open(path).convert("RGB"))
    with torch.no_grad():
        shares = model(image[None]).softmax(dim=1)[0]
    print(f"{path}: {model.pretrained_cfg['label_names'][shares.argmax()]} ({shares.max():.0%})")
