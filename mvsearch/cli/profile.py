"""`mvsearch profile ARCH`: output shapes, parameters and MACs of each stage."""

from typing import TYPE_CHECKING, Any

import click

from mvsearch.cli._completion import complete_architecture, plugin_names
from mvsearch.cli._device_options import device_options, device_settings
from mvsearch.cli._help import Command
from mvsearch.cli._output import (
    console,
    image_size_option,
    json_option,
    print_json,
    refuse_without,
    storage_option,
    table,
)
from mvsearch.utils.plugins import names

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture
    from mvsearch.metrics.record import Latency
    from mvsearch.profiling.counters import Count


@click.command(cls=Command, examples=["mvsearch profile mobilevitv3_xxs", "mvsearch profile v3:17 --latency --memory"])
@click.argument("arch", shell_complete=complete_architecture)
@image_size_option
@click.option("--counter", type=click.Choice(names("counter")), help="Also count with this tool, for comparison.")
@click.option("--latency", is_flag=True, help="Measure the latency on this machine.")
@click.option(
    "--backend",
    shell_complete=plugin_names("latency_backend"),
    default=None,
    help=f"Latency backend: {', '.join(names('latency_backend'))}; default: torch_cpu, or command with --run.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Batch size for latency and memory.",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads, for latency.")
@click.option("--precision", help="fp32, tf32, fp16 or bf16, if the backend supports it.")
@click.option("--graph", is_flag=True, help="Replay a captured CUDA graph, if the backend supports it.")
@click.option("--fused", is_flag=True, help="Time the network after `mvsearch.nn.fuse`, if the backend supports it.")
@device_options
@click.option("--memory", is_flag=True, help="Count peak memory: of inference on a batch, and of a training step.")
@click.option(
    "--train-batch",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Batch size of the training step, for memory.",
)
@storage_option
@json_option
def profile(
    arch: str,
    image_size: int | None,
    counter: str | None,
    latency: bool,
    backend: str | None,
    batch: int,
    threads: int,
    precision: str | None,
    graph: bool,
    fused: bool,
    memory: bool,
    train_batch: int,
    storage: str | None,
    as_json: bool,
    **device: Any,
) -> None:
    """Show parameters and MACs stage by stage.

    ARCH is a published name, a YAML file, STUDY:NUMBER or the folder of a training; ARCH+HEAD has another head:
    deeplabv3, pspnet or ssdlite.
    """
    timing = bool(latency or backend or device["run"])
    if not timing:
        refuse_without("--latency", "threads", "precision", "graph", "fused", *device)
    if not memory:
        refuse_without("--memory", "train_batch")
    if not timing and not memory:
        refuse_without("--latency or --memory", "batch")
    from mvsearch.profiling.counters import load_counter
    from mvsearch.study.resolve import find_architecture

    network = find_architecture(arch, storage=storage).at(image_size=image_size)
    count = load_counter(counter)(network) if counter else None
    peaks = _peaks(network, batch, train_batch) if memory else {}
    timed = None
    if timing:
        from mvsearch.nn import build
        from mvsearch.profiling.latency import TimingOptions, load_backend

        options = TimingOptions(
            batch=batch,
            threads=threads,
            precision=precision or "fp32",
            graph=graph,
            fused=fused,
            **device_settings(device),
        )
        timer = load_backend(backend or ("command" if device["run"] else "torch_cpu"))
        timer.check(options)
        timed = timer.measure(build(network.deploy(), seed=0), network.image_size, options)
    if as_json:
        print_json(_to_json(arch, network, count, timed) | peaks)
    else:
        _print(arch, network, count, timed)
        for line in _peak_lines(peaks):
            console().print(line)


def _peaks(arch: "Architecture", batch: int, train_batch: int) -> dict[str, Any]:
    """Counted peaks in MiB, and on a GPU those of its allocator."""
    import torch

    from mvsearch.profiling.memory import MIB, allocated_bytes, peak_bytes

    counters = {"": peak_bytes} | ({"_allocated": allocated_bytes} if torch.cuda.is_available() else {})
    peaks: dict[str, Any] = {"memory_batch": batch, "train_memory_batch": train_batch}
    for suffix, peak in counters.items():
        peaks[f"memory_mib{suffix}"] = peak(arch, batch=batch) / MIB
        peaks[f"train_memory_mib{suffix}"] = peak(arch, batch=train_batch, training=True) / MIB
    return peaks


def _peak_lines(peaks: dict[str, Any]) -> list[str]:
    from mvsearch.metrics.formatting import pretty

    sources = {"": "counted", "_allocated": "of the allocator of this GPU"}
    return [
        f"Peak memory, {source}: {pretty('memory_mib', peaks[f'memory_mib{suffix}'])} for inference on a batch of "
        f"{peaks['memory_batch']}, {pretty('train_memory_mib', peaks[f'train_memory_mib{suffix}'])} for a training "
        f"step on a batch of {peaks['train_memory_batch']}."
        for suffix, source in sources.items()
        if f"memory_mib{suffix}" in peaks
    ]


def _to_json(name: str, arch: "Architecture", count: "Count | None", timed: "Latency | None") -> dict[str, Any]:
    from dataclasses import asdict

    stages = [
        {
            "name": stage.name,
            "block": stage.block,
            "out": [stage.out.channels, stage.out.height, stage.out.width],
            "params": stage.cost.params,
            "macs": stage.cost.macs,
            "macs_paper": stage.cost.macs_paper,
        }
        for stage in arch.stages()
    ]
    facts = {
        "name": arch.name or name,
        "key": arch.key,
        "image_size": arch.image_size,
        "task": arch.task,
        **arch.metrics(),
        "training_params": arch.training_cost().params,
        "stages": stages,
    }
    if count is not None:
        facts["counter"] = asdict(count) | {"exact": count.exact, "exact_params": count.exact_params}
    if timed is not None:
        facts |= timed.metrics()
    return facts


def _print(name: str, arch: "Architecture", count: "Count | None", timed: "Latency | None") -> None:
    from rich.text import Text

    from mvsearch.metrics.formatting import pretty
    from mvsearch.metrics.latency_text import busy_note, conditions, interval

    rows = table("stage", "block", "output", "params", "MACs", "share", "MACs (paper)", numbers_from=2)
    total = arch.cost()
    for stage in arch.stages():
        out = stage.out
        size = f"{out.channels}" if stage.block == "head" else f"{out.channels} x {out.height} x {out.width}"
        share = f"{100 * stage.cost.macs / total.macs:.1f} %"
        paper = pretty("macs", stage.cost.macs_paper)
        rows.add_row(
            stage.name, stage.block, size, f"{stage.cost.params:,}", pretty("macs", stage.cost.macs), share, paper
        )
    rows.add_section()
    paper = pretty("macs", total.macs_paper)
    rows.add_row("total", "", "", f"{total.params:,}", f"{total.macs:,}", "", paper, style="bold")
    screen = console()
    about = f" at {arch.image_size} px, {arch.num_classes} classes, key {arch.key}"
    screen.print(Text.assemble((arch.name or name, "bold"), about))
    screen.print(rows)
    if extra := arch.training_cost().params:
        screen.print(f"Training uses {extra:,} more parameters, which are dropped or merged for inference.")
    if count is not None:
        screen.print(count.sentence(total.macs))
    if timed is not None:
        numbers = timed.metrics()
        screen.print(
            f"{timed.median_ms:.2f} ms for {conditions(numbers)} ({interval(numbers)}10th to 90th percentile of "
            f"{timed.repeats} calls {timed.p10_ms:.2f} to {timed.p90_ms:.2f}), {timed.images_s:.1f} images/s on "
            f"{timed.device}."
        )
        if note := busy_note([numbers]):
            screen.print(note, style="yellow")
