"""A folder to keep or to publish: the network's source, its weights, its numbers, and a test that it is still itself.

model.py               as `torch` writes it
weights.safetensors
example.safetensors    a real image, and what the network says of it
test_model.py          run by pytest there alone
README.md
"""

from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.errors import PlanError
from mvsearch.export.formats import torch as source_file
from mvsearch.export.formats._code import costs_of, gives_of, joined, numbers, title
from mvsearch.export.formats._tools import output_names
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Run
from mvsearch.metrics.record import scores
from mvsearch.metrics.trial import Trial
from mvsearch.nn.weights_io import write_weights
from mvsearch.utils.atomic_write import write_whole
from mvsearch.utils.units import unit, with_error

if TYPE_CHECKING:
    from torch import Tensor

    from mvsearch.training.sample import Sample

SUFFIX = ""
EXTRA = None
RUNTIME = "torch"
BATCHES = (1, 3, 8)
WHOLE = True
SAMPLE = True

_BESIDE_SCORES = ("memory_mib", "train_memory_mib", "latency_ms", "throughput_images_s")


def export(subject: ExportModel, path: Path) -> None:
    """Make the folder. Raises PlanError if the subject has no sample to take the image of the test from."""
    from safetensors.torch import save

    if subject.sample is None:
        raise PlanError("package: its test looks at a real image, and the subject has no sample; give it one.")
    path.mkdir()
    source = source_file.source(subject.arch, features=subject.features)
    write_whole(path / "model.py", source.encode())
    write_weights(subject.model, subject.arch.key, path / "weights.safetensors")
    write_whole(path / "example.safetensors", save(_example(subject, subject.sample)))
    name = source_file.defined(source)
    write_whole(path / "test_model.py", _test(subject, name).encode())
    write_whole(path / "README.md", _readme(subject, subject.sample, name).encode())


def load_runtime(path: Path, *, threads: int = 1) -> Run:
    """The folder's source and weights in a fresh interpreter to which mvsearch cannot be imported."""
    from mvsearch.export.formats._fresh import IsolatedInterpreter

    return IsolatedInterpreter(path / "model.py", path / "weights.safetensors", threads=threads)


def _example(subject: ExportModel, sample: "Sample") -> "dict[str, Tensor]":
    import torch

    image = torch.from_numpy(sample.images[:1])
    with torch.inference_mode():
        found = subject.model(image)
    outputs = found if _several(subject) else [found]
    return {"image": image.contiguous()} | {
        name: each.contiguous() for name, each in zip(output_names(subject), outputs, strict=True)
    }


def _several(subject: ExportModel) -> bool:
    """Whether the model gives more than one tensor."""
    return subject.features or subject.arch.task == "detection"


def _test(subject: ExportModel, name: str) -> str:
    _, total = costs_of(subject.arch, features=subject.features)
    found = 'model(stored["image"])'
    return joined(
        [
            '"""That this is the network that was exported: run `python -m pytest` in this folder."""',
            f"""from pathlib import Path

import torch
from safetensors.torch import load_file

from model import {name}

HERE = Path(__file__).parent
OUTPUTS = [{", ".join(f'"{each}"' for each in output_names(subject))}]""",
            f"""def test_it_has_the_parameters_that_were_exported():
    assert sum(parameter.numel() for parameter in {name}().parameters()) == {total.params}""",
            f"""def test_a_real_image_gives_what_it_gave_when_it_was_exported():
    model = {name}().eval()
    model.load_state_dict(load_file(HERE / "weights.safetensors"))
    stored = load_file(HERE / "example.safetensors")
    with torch.no_grad():
        found = {found if _several(subject) else f"[{found}]"}
    for name, output in zip(OUTPUTS, found, strict=True):
        # Other processors add in another order.
        torch.testing.assert_close(output, stored[name], rtol=0, atol=1e-3 * float(stored[name].std()))""",
        ]
    )


def _readme(subject: ExportModel, sample: "Sample", name: str) -> str:
    arch = subject.arch
    mean, std = (", ".join(f"{each:.4f}" for each in values) for values in (sample.mean, sample.std))
    if subject.features:
        gives, taken = "maps", "a list of feature maps, finest first"
    else:
        gives, taken = ", ".join(output_names(subject)), gives_of(arch)
    fresh = subject.weights.startswith("fresh")
    weights = f"F{subject.weights[1:]}: nobody has trained them yet" if fresh else f"From {subject.weights}"
    return f"""# {title(arch)}

```python
from safetensors.torch import load_file

from model import {name}

model = {name}().eval()
model.load_state_dict(load_file("weights.safetensors"))
{gives} = model(images)  # (B, 3, {arch.image_size}, {arch.image_size}) → {taken}
```

Needs torch and safetensors. `python -m pytest` in this folder says whether it is still the network that was exported.

## Numbers

```text
{numbers(arch, features=subject.features).rstrip()}
```
{_of_search(subject.trial) if subject.trial else ""}
## Images

RGB from 0 to 1 at {arch.image_size} x {arch.image_size} px, less the mean ({mean}), over the deviation ({std}):
those of the training part of {sample.source.partition(",")[0]}. The image in `example.safetensors` is of
{sample.source}.

## Weights

{weights}. Written by mvsearch; key of the architecture: {arch.key}.
"""


def _of_search(trial: Trial) -> str:
    metrics, settings = trial.record.metrics, trial.settings
    measured = [*scores(metrics), *(name for name in _BESIDE_SCORES if name in metrics)]
    lines = [f"{unit(name).words:<32}{with_error(name, metrics)}" for name in measured]
    if "latency_ms" in metrics:
        by = "{latency_backend} on {latency_device}, {latency_image_size} px".format(**metrics)
        lines.append(f"{'measured by':<32}{by}")
    proxy = dict(settings.get("proxy", {}))
    lines.append(f"{'proxy':<32}{proxy.pop('name', 'none')} on {settings.get('data', {}).get('source', 'no images')}")
    lines += [f"  {name:<30}{value}" for name, value in proxy.items()]
    table = "\n".join(lines)
    return f"""
## In the search

Trial {trial.record.number} of the study {trial.study}. A proxy ranks the candidates of one study; it does not say what
these weights score.

```text
{table}
```
"""
