"""Other words for names of this package, as papers and other tools have them: a hint for who types one of them."""

from collections.abc import Collection

_SYNONYMS = {
    "acc": ("top1",),
    "accuracy": ("top1",),
    "top_1": ("top1",),
    "top1_accuracy": ("top1",),
    "val_acc": ("top1",),
    "iou": ("miou",),
    "mean_iou": ("miou",),
    "flops": ("macs",),
    "mult_adds": ("macs",),
    "parameters": ("params",),
    "size": ("params", "image_size"),
    "latency": ("latency_ms",),
    "time": ("latency_ms",),
    "speed": ("latency_ms",),
    "memory": ("memory_mib",),
    "epochs": ("steps",),
    "iterations": ("steps",),
    "batch_size": ("batch",),
    "learning_rate": ("lr",),
    "wd": ("weight_decay",),
    "ema_decay": ("ema",),
    "resolution": ("image_size",),
    "input_size": ("image_size",),
    "img_size": ("image_size",),
    "classes": ("num_classes",),
    "channels": ("out",),
    "width": ("out",),
    "kernel_size": ("kernel",),
    "expansion": ("expand",),
    "expand_ratio": ("expand",),
    "embed_dim": ("dim",),
    "num_heads": ("heads",),
    "patch_size": ("patch",),
    "layers": ("depth", "repeat"),
    "num_blocks": ("repeat", "depth"),
    "mlp_dim": ("ffn",),
    "mlp_ratio": ("ffn",),
    "mbconv": ("mv2",),
    "inverted_residual": ("mv2",),
    "mobilevitv1": ("mobilevit",),
    "mobilevitv3": ("mobilevit",),
    "constraints": ("limits",),
    "n_trials": ("trials",),
    "algorithm": ("sampler",),
    "evolution": ("nsga2",),
    "genetic": ("nsga2",),
    "bayesian": ("surrogate",),
    "nwot": ("naswot",),
    "pytorch": ("torch", "torch_cpu"),
    "onnx": ("onnxruntime",),
    "tflite": ("litert",),
    "imagenet": ("folder",),
}
_DIFFERENCES = {
    ("epochs", "steps"): "batches, not passes over the images",
    ("flops", "macs"): "a multiplication with its addition is one",
}
"""How the two words differ in what they count."""


def synonym(name: str, known: Collection[str]) -> str | None:
    """The known name for another word, quoted, with a note where they count different things; None if there is none.

    >>> synonym("accuracy", ("top1", "params")), synonym("epochs", ("steps",)), synonym("x", ("steps",))
    ("'top1'", "'steps' (batches, not passes over the images)", None)
    """
    word = name.lower().replace("-", "_")
    for own in _SYNONYMS.get(word, ()):
        if own in known:
            note = _DIFFERENCES.get((word, own))
            return f"{own!r} ({note})" if note else repr(own)
    return None
