"""`mvsearch export ARCH --to FORMAT -o FILE`: write a network as a file, and verify that it computes the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mvsearch.cli._completion import complete_architecture, complete_data, plugin_names
from mvsearch.cli._export_model import NamedModel
from mvsearch.cli._help import Command
from mvsearch.cli._output import (
    Amount,
    console,
    force_option,
    image_size_option,
    int8_options,
    json_option,
    path_option,
    preparation_options,
    print_json,
    print_weights_notes,
    storage_option,
    table,
)
from mvsearch.export.formats import format_names

_IMAGES, _INT8_IMAGES, _CALIBRATION = 64, 500, 100
_SCENES = 4
"""Images for networks of other tasks than classification, whose outputs for every pixel fill the memory."""


@click.command(
    cls=Command,
    examples=[
        "mvsearch export mobilevitv3_xxs --weights xxs.pt --to onnx -o xxs.onnx",
        "mvsearch export v3:17 --to torch -o net.py",
    ],
)
@click.argument("arch", shell_complete=complete_architecture)
@click.option(
    "--to",
    "kind",
    shell_complete=plugin_names("export_format"),
    default="torch",
    show_default=True,
    help=f"Format: {', '.join(format_names())}.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="File to write; default: the name of the architecture."
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Checkpoint (.safetensors, .pt) under mvsearch's, the authors' or timm's names; its moving average is taken "
    "if it has one. random: random weights from --seed. Default: the weights of a training or the validated ones of "
    "a trial, else random.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of random weights.")
@click.option(
    "--num-classes",
    type=click.IntRange(min=1),
    help="Number of classes; the classifier is random if --weights has another number.",
)
@image_size_option
@preparation_options
@click.option("--features", is_flag=True, help="Output feature maps at strides 4, 8, 16, 32, 64 instead of logits.")
@click.option(
    "--data",
    shell_complete=complete_data,
    help="Images to verify on: a source or a folder; default: the study's, or fashion_mnist.",
)
@path_option
@click.option(
    "--images",
    type=click.IntRange(min=2),
    help=f"Number of images ({_IMAGES}, with --int8 {_INT8_IMAGES}; {_SCENES} for segmentation and detection).",
)
@click.option("--no-verify", is_flag=True, help="Write the file without running it.")
@click.option("--int8", is_flag=True, help="Quantise to int8 (onnx, executorch), calibrated on training images.")
@int8_options("the first of these that the format has")
@click.option("--max-drop", type=Amount(100), help="Largest accepted loss of top-1 by int8, in points; default: 5.")
@force_option
@storage_option
@json_option
def export(
    arch: str,
    kind: str,
    output: Path | None,
    weights: Path | None,
    seed: int,
    num_classes: int | None,
    image_size: int | None,
    normalise: str | None,
    channel_order: str | None,
    features: bool,
    data: str | None,
    path: Path | None,
    images: int | None,
    no_verify: bool,
    int8: bool,
    scheme: str | None,
    float_stages: tuple[str, ...],
    max_drop: float | None,
    force: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Write a network as a file and verify it.

    The file does not need mvsearch. ARCH is a published name, a YAML file, STUDY:NUMBER or the folder of a training;
    ARCH+HEAD has another head: deeplabv3 and pspnet for segmentation, ssdlite for detection.

    The file is run by its runtime and compared with the network on real images before it gets its final name. The
    comparison is printed and stored in FILE.report.json. If the outputs differ, only that report is written and the
    exit code is 1. Files of executorch, litert and coreml take one image at a time.
    """
    from mvsearch.utils.atomic_write import refuse_existing

    if output:  # before torch is imported
        refuse_existing(output, force=force, folder=True)
    from mvsearch.cli._progress import Steps
    from mvsearch.errors import PlanError
    from mvsearch.export.comparison import MAX_DROP
    from mvsearch.export.formats import load_format
    from mvsearch.export.int8 import find_scheme
    from mvsearch.export.job import ExportJob, check_writable
    from mvsearch.export.verify import export_unverified, export_verified
    from mvsearch.profiling.benchmark import time_exported

    export_format = load_format(kind)
    if int8 and export_format.quantiser is None:
        raise PlanError(f"--int8: {kind} supports float32 only; use --to onnx or --to executorch.")
    if (scheme or float_stages) and not int8:
        raise click.UsageError("--scheme and --float need --int8; add it.")
    int8_scheme = find_scheme(scheme or export_format.int8_schemes[0], kind) if int8 else None
    if (weights or features) and export_format.runtime is None:
        raise PlanError(f"{kind} files contain neither weights nor feature maps; use --to torch.")
    if max_drop is not None and not int8:
        raise click.UsageError("--max-drop needs --int8; add it.")
    named = NamedModel.find(
        arch, weights=weights, data=data, path=path, storage=storage, has_weights=export_format.runtime is not None
    )
    architecture = named.architecture
    stem = export_format.file_stem(architecture.name or architecture.key)
    file = output or Path(f"{stem}{'_int8' if int8 else ''}{export_format.suffix}")
    check_writable(export_format, file, named.weights, force=force)
    export_model = named.load(
        seed=seed,
        num_classes=num_classes,
        image_size=image_size,
        features=features,
        normalise=normalise,
        channel_order=channel_order,
        deploy=export_format.runtime is not None,  # rows are trained too
    )
    if int8:
        named.check_int8(export_model)
    if int8_scheme:
        int8_scheme = int8_scheme.with_float(float_stages, [stage for stage, _ in export_model.model.named_children()])
    job = ExportJob(export_format, export_model, file, scheme=int8_scheme)
    runtime = None if no_verify else export_format.runtime
    needs_images = int8 or export_format.needs_sample
    with Steps() as steps:
        if runtime or needs_images:
            steps.show("reading images")
            several = _INT8_IMAGES if int8 else _IMAGES
            held_out = images or (several if architecture.task == "classification" else _SCENES)
            sample, calibration = named.draw(
                export_model,
                held_out,
                _CALIBRATION if int8 else 0,
                instead="" if needs_images else "write the file without running it: --no-verify",
            )
            job = replace(job, export_model=replace(export_model, sample=sample), calibration=calibration)
        if runtime:
            drop = MAX_DROP if max_drop is None else max_drop / 100
            report = export_verified(job, sample, max_drop=drop, progress=steps, timer=time_exported).to_dict()
        else:
            steps.show(f"exporting to {kind}")
            report = export_unverified(job)
    if as_json:
        print_json(report)
    else:
        click.echo(f"wrote {file}")
        _print(report)


def _print(report: dict[str, Any]) -> None:
    from rich.text import Text

    from mvsearch.data import Preparation
    from mvsearch.metrics.formatting import pretty
    from mvsearch.metrics.latency_text import busy_note
    from mvsearch.utils.units import three_digits

    screen = console()
    if headline := report.get("headline"):
        style = {"slower": "bold red", "faster": "green"}.get(report["int8_to_float32"]["verdict"], "yellow")
        screen.print(Text(f"int8 is {headline}", style=style))
    if report["weights"] is not None:
        screen.print(Text(f"weights: {report['weights']}"))
        print_weights_notes(report)
    if images := report.get("preparation"):
        preparation = Preparation.from_json(images)
        screen.print(Text(f"images: {preparation.describe()}; known from {preparation.source}"))
    for note in report["notes"]:
        screen.print(Text(note), style="yellow")
    if "takes" in report:
        screen.print(Text(f"batch: {report['takes']}"))
    if "features" in report:
        rows = table("feature map", "channels", "stride", numbers_from=1)
        for output in report["features"]:
            rows.add_row(f"after {output['row']}", str(output["channels"]), str(output["reduction"]))
        screen.print(rows)
    if "facts" in report:
        facts = [f"{name.replace('_', ' ')} {_fact(value)}" for name, value in report["facts"].items()]
        written = f"written by {report['written_by']}"
        screen.print(Text(", ".join([report["precision"], report["runtime"], *facts, written])), style="dim")
    if calibration := report.get("calibration"):
        images = f"{calibration['images']} images of {calibration['data']}"
        screen.print(Text(f"calibrated on {images}, scheme {calibration['scheme']}"))
    if report.get("comparisons"):
        rows = table("batch", "largest difference", "in standard deviations", "same top-1", numbers_from=0)
        for batch in report["comparisons"]:
            same = pretty("top1", batch["top1_agreement"])
            rows.add_row(str(batch["batch"]), f"{batch['worst']:.1e}", f"{batch['ratio']:.1e}", same)
        images = f"{report['images']} images of {report['data']}, {report['image_size']} px"
        screen.print(Text(f"compared with eager torch on {images} (a smaller difference is better):"))
        screen.print(rows)
    if top1 := report.get("top1"):
        rows = table("top-1 (test)", "eager", "file", "change")
        change = f"{100 * top1['change']:+.1f} ± {100 * top1['change_sem']:.1f} points"
        rows.add_row("against labels", pretty("top1", top1["eager"]), pretty("top1", top1["file"]), change)
        screen.print(rows)
    if "eager" in report:
        rows = table(f"one image of {report['image_size']} px, one thread", "median", "10 %", "90 %", "of eager")
        float32 = [(f"{report['runtime']}, float32", report["float32"])] if "float32" in report else []
        file = f"{report['runtime']}, {report['precision']}"
        for runtime, times in ((file, report), *float32, ("eager torch", report["eager"])):
            cells = [f"{three_digits(times[name])} ms" for name in ("latency_ms", "latency_p10_ms", "latency_p90_ms")]
            rows.add_row(runtime, *cells, f"{times['latency_ms'] / report['eager']['latency_ms']:.2f}")
        screen.print(rows)
        if note := busy_note([report, report["eager"], *(times for _, times in float32)]):
            screen.print(Text(note, style="yellow"))
    prefix, style = ("verified: ", "green") if report["verified"] else ("", "yellow")
    screen.print(Text(prefix + report["reason"]), style=style)


def _fact(value: float) -> str:
    return f"{value:.1%}" if isinstance(value, float) else str(value)
