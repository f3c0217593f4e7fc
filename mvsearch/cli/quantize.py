"""`mvsearch quantize ARCH`: what int8 costs a trained network, by scheme and by stage."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mvsearch.cli._completion import complete_architecture, complete_data
from mvsearch.cli._export_model import NamedModel
from mvsearch.cli._help import Command
from mvsearch.cli._output import (
    console,
    force_option,
    int8_options,
    json_option,
    path_option,
    preparation_options,
    print_json,
    storage_option,
    table,
    theme_option,
)

if TYPE_CHECKING:
    from mvsearch.export.int8_analysis import Int8Analysis, Int8Loss


@click.command(
    cls=Command,
    examples=[
        "mvsearch quantize trained --data photographs --plot stages.png",
        "mvsearch quantize v3:17 --scheme percentile --float layer5 -o net_int8.onnx",
    ],
)
@click.argument("arch", shell_complete=complete_architecture)
@click.option("--to", "kind", default="onnx", show_default=True, help="Format: onnx or executorch.")
@int8_options("channel")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write the int8 file of --scheme and --float.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Checkpoint (.safetensors, .pt); default: those of a training, or the validated ones of a trial.",
)
@preparation_options
@click.option("--data", shell_complete=complete_data, help="Images: a source or a folder; default: the study's.")
@path_option
@click.option(
    "--images", type=click.IntRange(min=2), default=500, show_default=True, help="Test images to compare files on."
)
@click.option(
    "--calibration",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Training images that ranges are taken from.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw a figure to this file: .png or .svg.")
@theme_option
@force_option
@storage_option
@json_option
def quantize(
    arch: str,
    kind: str,
    scheme: str | None,
    float_stages: tuple[str, ...],
    output: Path | None,
    weights: Path | None,
    normalise: str | None,
    channel_order: str | None,
    data: str | None,
    path: Path | None,
    images: int,
    calibration: int,
    plot: Path | None,
    theme: str,
    force: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Show what int8 costs a trained network, by scheme and by stage.

    ARCH is the folder of a training, STUDY:NUMBER with validated weights, or any network with --weights. Every scheme
    of the format is compared with the float32 file of the same runtime on test images; then, by --scheme, each stage
    alone in int8 and all stages but one. Top-1 changes by whole images, so the error of the outputs stands beside it.

    The scheme channel computes everything in int8. Latencies: mvsearch export --int8.
    """
    from tempfile import TemporaryDirectory

    from mvsearch.utils.atomic_write import refuse_existing

    if output:  # before torch is imported
        refuse_existing(output, force=force, folder=True)
    from mvsearch.cli._progress import Steps
    from mvsearch.errors import PlanError, VerificationError
    from mvsearch.export.formats import load_format
    from mvsearch.export.int8 import SCHEMES, find_scheme
    from mvsearch.export.int8_analysis import Int8Analyser
    from mvsearch.export.job import ExportJob, check_writable, translate_errors
    from mvsearch.export.publish import publish, staging_folder
    from mvsearch.export.verify import report_unverified
    from mvsearch.report.figures.int8_plot import plot_int8
    from mvsearch.report.figures.palette import THEMES
    from mvsearch.report.figures.plot import PICTURES, refuse_to_draw

    chosen = find_scheme(scheme or "channel", kind)
    export_format = load_format(kind)
    export_format.require_packages()
    if plot:
        refuse_to_draw(plot, force=force, kinds=PICTURES)
    if output:
        check_writable(export_format, output, weights, force=force)
    named = NamedModel.find(arch, weights=weights, data=data, path=path, storage=storage)
    head = named.architecture.head
    if head.task != "classification" or not head.classifies:
        found = f"is for {head.task}" if head.classifies else "returns features and no classes"
        raise PlanError(f"{found}; int8 is compared for classification only.", at=arch)
    model = named.load(normalise=normalise, channel_order=channel_order)
    if model.random:
        reason = "has random weights" if model.random == "all" else "has a random classifier"
        raise PlanError(
            f"{reason}, so there is no accuracy to lose in int8; use --weights or the folder of a training.", at=arch
        )
    named.check_int8(model)
    chosen = chosen.with_float(float_stages, [stage for stage, _ in model.model.named_children()])
    with Steps("file") as steps, TemporaryDirectory() as folder:
        steps.show("reading images")
        sample, training = named.draw(model, images, calibration)
        model = replace(model, sample=sample)
        job = ExportJob(export_format, model, output or Path(folder, "net"), calibration=training, scheme=chosen)
        analyser = Int8Analyser(job, sample, Path(folder), steps)
        schemes = [SCHEMES[name] for name in export_format.int8_schemes]
        schemes += [chosen] if chosen.float_stages else []
        analysis = analyser.analyse(schemes, chosen)
        works = any(each.loss for each in analysis.schemes if each.scheme == chosen.label)
        if output and works:
            with (
                staging_folder(output) as staged,
                translate_errors(f"{export_format.name} cannot quantise this network"),
            ):
                analyser.quantiser.write(staged / output.name, chosen)
                publish(staged, output.parent)
            report_unverified(job, "`mvsearch quantize` compares int8 with float32 and does not verify the file")
    name = model.arch.name or arch
    if plot:
        plot_int8(analysis, name, plot, THEMES[theme])
    notes = (*model.notes, *sample.notes)
    written = {"file": str(output)} if output and works else {}
    if as_json:
        own = {"name": name, "key": model.arch.key, "weights": model.weights, "notes": notes}
        print_json({**own, **analysis.to_dict(), **written})
    else:
        _print(analysis, notes)
        for file in filter(None, (output if works else None, plot)):
            click.echo(f"wrote {file}")
    if output and not works:
        raise VerificationError(f"{chosen.label} failed, see above; nothing is written.", at=output)


def _print(analysis: "Int8Analysis", notes: tuple[str, ...]) -> None:
    from mvsearch.metrics.formatting import pretty
    from mvsearch.utils.units import three_digits

    screen = console()
    for note in dict.fromkeys([*notes, *(each.note for each in analysis.schemes if each.note), *analysis.failed]):
        screen.print(note, style="yellow")
    calibrated = f"calibrated on {analysis.calibration_images} images of {analysis.calibration_data}"
    screen.print(f"{analysis.runtime}, {calibrated}; compared on {analysis.images} images of {analysis.data}.")
    rows = table("scheme", "top-1 (test)", "change, points", "same top-1", "error", "MAC in int8", "MB", numbers_from=1)
    float32 = pretty("top1", analysis.top1_float32)
    rows.add_row("float32", float32, "", "", "", "", three_digits(analysis.float32_bytes / 1e6))
    for each in analysis.schemes:
        share = "-" if each.macs_share is None else f"{each.macs_share:.0%}"
        top1 = pretty("top1", each.loss.top1) if each.loss else "-"
        megabytes = three_digits(each.file_bytes / 1e6) if each.file_bytes else "-"
        rows.add_row(each.scheme, top1, *_loss(each.loss), share, megabytes)
    screen.print(rows)
    screen.print(
        f"stages by scheme {analysis.stages_scheme}; error: root mean square of the outputs' difference from float32, "
        "as a share of their standard deviation (lower is better)."
    )
    rows = table("stage", "alone in int8: change", "same top-1", "error", "all others: change", "same top-1", "error")
    for stage in analysis.stages:
        rows.add_row(stage.stage, *_loss(stage.alone), *_loss(stage.others))
    screen.print(rows)


def _loss(loss: "Int8Loss | None") -> tuple[str, str, str]:
    if loss is None:
        return "failed", "-", "-"
    change = "-" if loss.change is None else f"{100 * loss.change:+.1f} ± {100 * (loss.change_sem or 0.0):.1f}"
    return change, f"{loss.same_top1:.1%}", f"{loss.error:.3f}"
