"""The steps of benchmarks/gpu.sh. Each writes what it found on stdout; exit code 77 is a step that is skipped."""

import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import torch

from mvsearch.arch.published import model_names, published
from mvsearch.nn import build
from mvsearch.profiling.latency import TimingOptions, load_backend
from mvsearch.study.evaluator import Evaluator
from mvsearch.study.plan import Plan
from mvsearch.utils import machine

ROOT = Path(__file__).parents[1]
CUDA_TESTS = ("test_latency.py", "test_memory.py", "test_protocols.py")
MAX_DIFFERENCE = 0.1  # of the loss in mixed precision to that in float32, as a share

SPACE = """
name: gpu
image_size: {size}
num_classes: 4
blocks:
  - {{name: stem, block: conv, out: 16, stride: 2}}
  - {{name: down, block: mv2, out: body.out, stride: 2, expand: 2}}
  - {{name: body, block: mobilevit, out: {{range: [32, 96, 16]}}, dim: {{choose: [32, 64]}}, depth: {{choose: [1, 2]}}}}
search: {{objectives: [scaled_loss, params, latency_ms], sampler: random, trials: {trials}, workers: 1}}
proxy: {{steps: {steps}, seeds: 1, image_size: 32, batch: 32}}
data: {{source: folder, path: {images}}}
latency: {{backend: torch_{device}{options}, repeats: 20}}
"""

RUN_EXPORTED = """
import net, torch
from safetensors.torch import load_file

model = net.MobileViTv3_XXS().eval()
model.load_state_dict(load_file("{weights}"))
images = torch.rand(2, 3, {size}, {size}, generator=torch.Generator().manual_seed(0))
with torch.inference_mode():
    here = model(images)
    there = model.to("{device}")(images.to("{device}")).cpu()
difference = float((here - there).abs().max())
print("largest difference of a logit:", difference)
assert difference < 0.02 * float(here.std() + 1), difference
"""


def skip(reason: str) -> None:
    """End the step as skipped."""
    print(reason, file=sys.stderr)
    sys.exit(77)


@click.group()
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda")
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.option("--quick", is_flag=True)
@click.pass_context
def main(context: click.Context, device: str, folder: Path, quick: bool) -> None:
    """One step."""
    context.obj = (device, folder, quick)


@main.command()
@click.pass_obj
def environment(given: tuple[str, Path, bool]) -> None:
    """What the numbers depend on."""
    if given[0] == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device; --device cpu --quick is a dry run of the same steps.")
    print(load_backend(f"torch_{given[0]}").device())
    print(json.dumps(machine.describe()))


@main.command()
@click.pass_obj
def tests(given: tuple[str, Path, bool]) -> None:
    """The tests that skip without CUDA; all tests of these files in a dry run would only repeat the usual check."""
    if find_spec("pytest") is None:
        skip("pytest is not installed")
    files = [str(ROOT / "tests" / "profiling" / name) for name in CUDA_TESTS]
    chosen = "cuda or gpu" if given[0] == "cuda" else "gpu and precision"
    run = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-k", chosen, *files]
    done = subprocess.run(run, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=False)
    print(done.stdout)
    if done.returncode:
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        print(failed[0] if failed else f"pytest ended with exit code {done.returncode}", file=sys.stderr)
    if not done.returncode and " passed" not in done.stdout:
        skip(f"no test ran: {done.stdout.strip().splitlines()[-1]}")
    sys.exit(done.returncode)


@main.command()
@click.pass_obj
def table8(given: tuple[str, Path, bool]) -> None:
    """Latency of one image and throughput, by the paper's protocol and by our own."""
    device, _, quick = given
    names = [name for name in model_names() if published(name).task == "classification"]
    sizes = ["--image-size", "64", "--batch", "0"] if quick else ["--batch", "100"]
    command = ["latency", *(names[:2] if quick else names), "--device", device, "--quick", "--json", *sizes]
    sys.exit(mvsearch(command))


def mvsearch(arguments: list[str]) -> int:
    """The exit code of a command of mvsearch."""
    return subprocess.run([sys.executable, "-m", "mvsearch", *arguments], check=False).returncode


@main.command()
@click.pass_obj
def graph(given: tuple[str, Path, bool]) -> None:
    """One image of three networks: eager launches, and the same as a CUDA graph; in a dry run as built, and fused."""
    device, _, quick = given
    backend = load_backend(f"torch_{device}")
    precisions = ("fp32", "fp16", "bf16") if device == "cuda" else ("fp32",)
    for name in ("mobilevitv3_xxs",) if quick else ("mobilevitv3_xxs", "mobilevitv3_xs", "mobilevitv3_s"):
        arch = published(name)
        model = build(arch, seed=0)
        for precision in precisions:
            eager = TimingOptions(precision=precision, fused=device == "cuda")
            other = replace(eager, graph=True) if device == "cuda" else replace(eager, fused=True)
            size = 64 if quick else arch.image_size
            times = [
                backend.measure(model, size, options, repeats=100, limit_s=3.0).median_ms for options in (eager, other)
            ]
            row = {"name": name, "precision": precision, "eager_ms": times[0], "other_ms": times[1]}
            print(json.dumps(row | {"other": "graph" if device == "cuda" else "fused", "speedup": times[0] / times[1]}))


def plan(given: tuple[str, Path, bool]) -> Plan:
    """A search on images that are made here: four classes of coloured noise."""
    from PIL import Image

    device, folder, quick = given
    rng, images = np.random.default_rng(0), folder / "images"
    for i in range(4):
        (images / f"class{i}").mkdir(parents=True, exist_ok=True)
        for j in range(40 if quick else 200):
            pixels = rng.integers(0, 160, (32, 32, 3), dtype=np.uint8)
            pixels[..., i % 3] += np.uint8(60 * (i < 3))
            Image.fromarray(pixels).save(images / f"class{i}" / f"{j}.png")
    space = folder / "gpu.yaml"
    options = ", precision: fp16, graph: true" if device == "cuda" else ""
    filled = SPACE.format(
        images=images,
        device=device,
        options=options,
        size=64 if quick else 256,
        trials=3 if quick else 10,
        steps=4 if quick else 75,
    )
    space.write_text(filled, encoding="utf-8")
    return Plan.load(space)


@main.command()
@click.pass_obj
def amp(given: tuple[str, Path, bool]) -> None:
    """The proxy's loss and seconds on the device and on the CPU, whose training is in float32."""
    from mvsearch.metrics.record import Metrics

    found = Plan.of(plan(given).space, objectives=("scaled_loss", "params"))
    arch = next(found.space.architecture(found.space.point(codes)) for codes in found.space.sample(1, 0))
    losses: dict[str, float] = {}
    for device in dict.fromkeys((given[0], "cpu")):
        evaluator = Evaluator(found, device="cuda:0" if device == "cuda" else "cpu")
        start = time.perf_counter()
        metrics: Metrics = evaluator(arch)
        losses[device] = float(metrics["scaled_loss"])
        row = {"device": device, "precision": evaluator.facts()["precision"], "scaled_loss": losses[device]}
        print(json.dumps(row | {"seconds": time.perf_counter() - start}))
    if not all(map(math.isfinite, losses.values())):
        sys.exit(f"the loss is not finite: {losses}")
    difference = abs(losses[given[0]] / losses["cpu"] - 1)
    if difference > MAX_DIFFERENCE:
        sys.exit(f"the loss in mixed precision differs by {difference:.1%} from that in float32")


@main.command()
@click.pass_obj
def search(given: tuple[str, Path, bool]) -> None:
    """A search to its end, whose front has latencies of the device."""
    plan(given)
    sys.exit(mvsearch(["run", str(given[1] / "gpu.yaml"), "--json"]))


@main.command()
@click.pass_obj
def export(given: tuple[str, Path, bool]) -> None:
    """A file that needs no mvsearch runs on the device and gives the logits of the CPU."""
    device, folder, quick = given
    file = folder / "net.py"
    if code := mvsearch(["export", "mobilevitv3_xxs", "--to", "torch", "-o", str(file), "--force"]):
        sys.exit(code)
    size = 64 if quick else 256
    program = RUN_EXPORTED.format(device=device, size=size, weights=file.with_suffix(".safetensors"))
    if code := subprocess.run([sys.executable, "-c", program], cwd=folder, check=False).returncode:
        sys.exit(code)
    if find_spec("onnx") is None or find_spec("onnxruntime") is None:
        print("onnx or onnxruntime is not installed: no ONNX file was checked")
        return
    sys.exit(mvsearch(["export", "mobilevitv3_xxs", "--to", "onnx", "-o", str(folder / "net.onnx"), "--force"]))


if __name__ == "__main__":
    main()
