"""A folder to publish: the network's source, its weights, its costs, and a test that it still computes the same.

model.py               as the format `torch` writes it
weights.safetensors
example.safetensors    a real image, and the network's outputs for it
test_model.py          needs only pytest and the folder
preparation.json       how images are prepared for the weights, and the names of the classes, where they are known
README.md
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mvsearch.errors import PlanError
from mvsearch.export.formats import ExportFormat, Runtime
from mvsearch.export.formats import torch as source_file
from mvsearch.export.formats._code import cost_table, costs_of, images_text, join_parts, title
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Runner
from mvsearch.metrics.formatting import with_error
from mvsearch.metrics.record import score_values
from mvsearch.metrics.registry import measurements, metric, with_devices
from mvsearch.metrics.trial import Trial
from mvsearch.nn.weights_io import write_weights
from mvsearch.utils.atomic_write import write_whole

if TYPE_CHECKING:
    from torch import Tensor

    from mvsearch.training.image_samples import ImageSample


def export(export_model: ExportModel, path: Path) -> None:
    """Make the folder. Raises PlanError if the ExportModel has no sample, whose first image the test uses."""
    from safetensors.torch import save

    if export_model.sample is None:
        raise PlanError("package: its test needs a real image; give the ExportModel a sample.")
    path.mkdir()
    images = images_text(export_model)
    source = source_file.source(export_model.arch, features=export_model.features, images=images)
    write_whole(path / "model.py", source.encode())
    preparation = export_model.stored_preparation
    write_weights(
        export_model.model, export_model.arch.key, path / "weights.safetensors", preparation, random=export_model.random
    )
    if preparation:
        content = json.dumps(preparation.to_json(), indent=2) + "\n"
        write_whole(path / "preparation.json", content.encode())
    write_whole(path / "example.safetensors", save(_example(export_model, export_model.sample)))
    name = source_file.network_class(source)
    write_whole(path / "test_model.py", _test(export_model, name).encode())
    write_whole(path / "README.md", _readme(export_model, export_model.sample, name).encode())


def load_runtime(path: Path, *, threads: int = 1) -> Runner:
    """The folder's source and weights in an interpreter that cannot import mvsearch."""
    from mvsearch.export.formats._interpreter import IsolatedInterpreter

    return IsolatedInterpreter(path / "model.py", path / "weights.safetensors", threads=threads)


def _example(export_model: ExportModel, sample: "ImageSample") -> "dict[str, Tensor]":
    import torch

    image = torch.from_numpy(sample.images[:1])
    with torch.inference_mode():
        result = export_model.model(image)
    outputs = result if export_model.returns_several else [result]
    named = zip(export_model.output_names, outputs, strict=True)
    return {"image": image.contiguous()} | {name: output.contiguous() for name, output in named}


def _test(export_model: ExportModel, name: str) -> str:
    _, total = costs_of(export_model.arch, features=export_model.features)
    call = 'model(stored["image"])'
    outputs = call if export_model.returns_several else f"[{call}]"
    return join_parts(
        [
            '"""Checks that this is the network that was exported: run `python -m pytest` in this folder."""',
            f"""from pathlib import Path

import torch
from safetensors.torch import load_file

from model import {name}

HERE = Path(__file__).parent
OUTPUTS = [{", ".join(f'"{output}"' for output in export_model.output_names)}]""",
            f"""def test_it_has_the_parameters_that_were_exported():
    assert sum(parameter.numel() for parameter in {name}().parameters()) == {total.params}""",
            f"""def test_a_real_image_has_the_outputs_of_the_exported_network():
    model = {name}().eval()
    model.load_state_dict(load_file(HERE / "weights.safetensors"))
    stored = load_file(HERE / "example.safetensors")
    with torch.no_grad():
        outputs = {outputs}
    for name, output in zip(OUTPUTS, outputs, strict=True):
        # Other processors sum in another order. A single output has no deviation.
        deviation = float(stored[name].std(correction=0))
        torch.testing.assert_close(output, stored[name], rtol=1e-3, atol=1e-3 * deviation)""",
        ]
    )


def _readme(export_model: ExportModel, sample: "ImageSample", name: str) -> str:
    arch = export_model.arch
    if export_model.features:
        variables, shapes = "maps", "a list of feature maps, finest first"
    else:
        variables = ", ".join(export_model.output_names)
        shapes = arch.head.output_shapes(arch.features, arch.num_classes)
    random = export_model.weights.startswith("random,")
    weights = f"R{export_model.weights[1:]}: not trained" if random else f"From {export_model.weights}"
    return f"""# {title(arch)}

```python
from safetensors.torch import load_file

from model import {name}

model = {name}().eval()
model.load_state_dict(load_file("weights.safetensors"))
{variables} = model(images)  # (B, 3, {arch.image_size}, {arch.image_size}) → {shapes}
```

Needs torch and safetensors. `python -m pytest` in this folder checks that it is still the network that was exported.

## Numbers

```text
{cost_table(arch, features=export_model.features).rstrip()}
```
{_search_results(export_model.trial) if export_model.trial else ""}
## Images

{_images(export_model)} The image in `example.safetensors` comes from
{sample.source}.
{_classes(export_model.expected.classes)}
## Weights

{weights}. Written by mvsearch; key of the architecture: {arch.key}.
"""


def _images(export_model: ExportModel) -> str:
    expected = export_model.expected
    if export_model.preparation is None:
        which = (
            "Unknown for these weights" if export_model.trained else "The weights are random, so nothing is prescribed"
        )
        return f"{which}. The example is\n{expected.describe()}."
    notes = "".join(f"\n{note}" for note in export_model.notes)
    framing = f"{expected.describe_framing().capitalize()}. Known from {expected.source}."
    return f"{expected.describe()}.\n{framing}{notes}"


def _classes(names: tuple[str, ...]) -> str:
    rows = "\n".join(f"{i}  {name}" for i, name in enumerate(names))
    return f"\n## Classes\n\nThe index of each output, and its class:\n\n```text\n{rows}\n```\n" if names else ""


def _search_results(trial: Trial) -> str:
    metrics, settings = trial.record.metrics, trial.settings
    measured = [*score_values(metrics), *(name for name in with_devices(measurements(), [metrics]) if name in metrics)]
    lines = [f"{metric(name).description:<32}{with_error(name, metrics)}" for name in measured]
    if "latency_ms" in metrics:
        backend = "{latency_backend} on {latency_device}, {latency_image_size} px".format(**metrics)
        how = "predicted for" if metrics.get("latency_predicted") else "measured by"
        lines.append(f"{how:<32}{backend}")
    proxy = dict(settings.get("proxy", {}))
    proxy |= {"held_out": trial.held_out} if trial.held_out else {}
    lines.append(f"{'proxy':<32}{proxy.pop('name', 'none')} on {settings.get('data', {}).get('source', 'no images')}")
    lines += [f"  {name:<30}{value}" for name, value in proxy.items()]
    table = "\n".join(lines)
    return f"""
## In the search

Trial {trial.record.number} of the study {trial.study}. A proxy ranks the candidates of one study; its score is not the
score of these weights.

```text
{table}
```
"""


FORMAT = ExportFormat(
    name="package",
    suffix="",
    export=export,
    exports_stages=False,
    needs_sample=True,
    runtime=Runtime(package="torch", load_runtime=load_runtime, in_process=False),
)
