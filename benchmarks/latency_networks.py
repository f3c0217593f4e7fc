"""Measure random networks of a space on several runtimes of this machine, for `latency_prediction.py`.

Each network is timed on every runtime beside the reference, interleaved, on one thread. A line of the file is one
network: the codes of its choices, and milliseconds by runtime: the median ratio to the reference in processor time,
times the median of the reference over the whole file, so that other processes matter little. With an existing file the
networks that are left are measured; `--passes 2` measures each twice, to tell how far a measurement can be trusted.

    python benchmarks/latency_networks.py spaces/v3.yaml --networks 80 --passes 2 -o v3_latency.jsonl
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from torch import nn

from mvsearch.arch.architecture import Architecture
from mvsearch.export.formats.onnx import load_runtime
from mvsearch.nn import build
from mvsearch.profiling import reference
from mvsearch.profiling.estimate import median_interval
from mvsearch.profiling.latency import TimingOptions, load_backend
from mvsearch.profiling.timing import interleave
from mvsearch.study.plan import Plan
from mvsearch.utils.cpu_usage import load_average

TORCH = {"torch_cpu": TimingOptions(), "torch_cpu_fused": TimingOptions(fused=True)}


def sample(plan: Plan, count: int, seed: int) -> np.ndarray:
    """Random points of the space inside its limits."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        codes = plan.space.sample(1000, rng)
        found += list(codes[plan.admissible(codes)])
    return np.array(found[:count])


@contextmanager
def prepare_onnx(model: nn.Module, image_size: int) -> Iterator[Callable[[], object]]:
    """A call of onnxruntime. The file is of torch's older exporter, in 0.7 s instead of 10 s of a core."""
    images = torch.rand(1, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    with TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        torch.onnx.export(model.eval(), (images,), path, dynamo=False, input_names=["images"], opset_version=17)
        run = load_runtime(path, threads=1)
        yield lambda: run(images.numpy())


def ratios(arch: Architecture, rounds: int, seed: int) -> dict[str, list[float]]:
    """By runtime the median ratio to the reference and its half-width; and the reference's milliseconds."""
    model = build(arch.deploy(), seed=0)
    backend = load_backend("torch_cpu")
    with ExitStack() as stack:
        beside = stack.enter_context(reference.prepare(backend.conditions(arch.image_size, TimingOptions())))
        calls = {
            name: stack.enter_context(backend.prepare(model, arch.image_size, options))
            for name, options in TORCH.items()
        }
        calls["onnxruntime"] = stack.enter_context(prepare_onnx(model, arch.image_size))
        times = interleave(calls, repeats=rounds, limit_s=120.0, reference=beside, seed=seed, warm_calls=2, warm_s=0.05)
    below = np.array(times.reference_cpu_ms)
    found = {}
    for name, cpu_ms in times.cpu_ms.items():
        interval = median_interval(np.array(cpu_ms) / below)
        found[name] = [round(interval.middle, 5), round(interval.half_width, 4)]
    return found | {"reference_ms": [round(float(np.median(below)), 4), 0.0]}


@click.command()
@click.argument("space", type=click.Path(path_type=Path))
@click.option("--networks", type=click.IntRange(min=1), default=80, show_default=True)
@click.option("--passes", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--rounds", type=click.IntRange(min=3), default=15, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("-o", "output", type=click.Path(path_type=Path), required=True)
def main(space: Path, networks: int, passes: int, rounds: int, seed: int, output: Path) -> None:
    """Measure random networks."""
    plan = Plan.load(space)
    codes = sample(plan, networks, seed)
    lines = output.read_text(encoding="utf-8").splitlines() if output.exists() else []
    done = {(row["network"], row["pass"]) for row in map(json.loads, lines)}
    for number in range(passes):
        for i in np.random.default_rng((seed, number)).permutation(networks):
            if (int(i), number) in done:
                continue
            arch = plan.space.architecture(plan.space.point(codes[i]))
            row = {"network": int(i), "pass": number, "codes": codes[i].tolist(), "load": load_average()}
            row["ratios"] = ratios(arch, rounds, seed=number)
            with output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
