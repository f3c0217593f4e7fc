"""`mvsearch export ARCH --to FORMAT -o FILE`: take a network out of the framework, and see that it is the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mvsearch.cli._output import Amount, console, json_option, print_json, storage_option, table
from mvsearch.cli._progress import Steps
from mvsearch.export.formats import formats

_IMAGES, _INT8_IMAGES, _CALIBRATION = 64, 500, 100
_FEW = 4  # of networks for other tasks than classification: a class for each pixel fills the memory


@click.command()
@click.argument("arch")
@click.option("--to", "kind", default="torch", show_default=True, help=f"The format: {', '.join(formats())}.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The file; by default the architecture's name.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="A checkpoint (.safetensors, .pt) with our names, the authors' or timm's. Else fresh from --seed.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="For fresh weights.")
@click.option(
    "--num-classes", type=click.IntRange(min=1), help="A classifier for so many; fresh if --weights is for others."
)
@click.option("--image-size", type=click.IntRange(min=32), help="Pixels of a side, instead of the architecture's.")
@click.option("--features", is_flag=True, help="Feature maps at strides 4, 8, 16, 32 instead of logits.")
@click.option("--data", help="The images to verify on: a source or a folder. Else the study's own, or fashion_mnist.")
@click.option(
    "--images",
    type=click.IntRange(min=2),
    help=f"How many ({_IMAGES}, with --int8 {_INT8_IMAGES}; {_FEW} of networks for other tasks than classification).",
)
@click.option("--no-verify", is_flag=True, help="Write the file without running it.")
@click.option("--int8", is_flag=True, help="Quantise to int8 (onnx, executorch), calibrated on training images.")
@click.option("--max-drop", type=Amount(100), help="Points of top-1 that int8 may cost (5).")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
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
    features: bool,
    data: str | None,
    images: int | None,
    no_verify: bool,
    int8: bool,
    max_drop: float | None,
    force: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Write ARCH (a published name, a YAML file or STUDY:NUMBER) as a file that needs no mvsearch.

    ARCH+HEAD puts another head on any of these: deeplabv3 and pspnet for segmentation, ssdlite for detection.

    A file with a runtime is run by it and compared with the network on real images before it is put in its place; what
    was found is printed, and stored in FILE.report.json. If they differ nothing is kept but that report, and the exit
    code is 1. Files of executorch, litert and coreml take one image at a time.
    """
    from mvsearch.errors import PlanError
    from mvsearch.export import verify
    from mvsearch.export.formats import batch_support, load_format
    from mvsearch.export.model import ExportModel
    from mvsearch.profiling.benchmark import time_beside_eager
    from mvsearch.study.resolve import find_architecture, find_trial

    module = load_format(kind)
    if int8 and not hasattr(module, "export_int8"):
        raise PlanError(f"--int8: {kind} is written in float32 only; use --to onnx or --to executorch.")
    if (weights or features) and not hasattr(module, "load_runtime"):
        raise PlanError(f"{kind} holds rows alone, neither weights nor feature maps; use --to torch.")
    if max_drop is not None and not int8:
        raise click.UsageError("--max-drop is for --int8; add it.")
    trial = find_trial(arch, storage=storage)
    found = trial.architecture if trial else find_architecture(arch)
    name = getattr(module, "stem", str)(found.name or found.key)
    path = output or Path(f"{name}{'_int8' if int8 else ''}{module.SUFFIX}")
    verify.check_free(module, path, force=force)
    settings = verify.images_for(data, trial)
    subject = ExportModel.of(
        found, weights=weights, seed=seed, num_classes=num_classes, image_size=image_size, features=features
    )
    subject = replace(subject, trial=trial)
    job = verify.Job(kind, module, subject, path)
    checked = hasattr(module, "load_runtime") and not no_verify
    with Steps() as say:
        if checked or int8 or hasattr(module, "SAMPLE"):
            say("reading images")
            usual = _IMAGES if found.task == "classification" else _FEW
            held_out = images or (_INT8_IMAGES if int8 else usual)
            sample, training = verify.draw(settings, subject.arch.image_size, held_out, _CALIBRATION if int8 else 0)
            job = replace(
                job, subject=replace(job.subject, sample=sample), calibration=training.images if int8 else None
            )
        if checked:
            drop = verify.MAX_DROP if max_drop is None else max_drop / 100
            report = verify.export_verified(job, sample, max_drop=drop, say=say, timer=time_beside_eager).to_dict()
        else:
            say(f"exporting to {kind}")
            verify.export(job)
            why = "--no-verify" if no_verify else f"{kind} has no runtime of its own"
            report = {"file": path.name, "format": kind, "verified": None, "reason": f"not verified: {why}"}
            report |= subject.facts() | (
                {"takes": batch_support(module)} if hasattr(module, "BATCHES") else {"weights": None}
            )
    if as_json:
        print_json(report)
    else:
        click.echo(f"wrote {path}")
        _show(report)


def _show(report: dict[str, Any]) -> None:
    from rich.text import Text

    from mvsearch.utils.units import pretty, three_digits

    screen = console()
    if report["weights"] is not None:
        screen.print(Text(f"weights: {report['weights']}"))
    if "takes" in report:
        screen.print(Text(f"takes: {report['takes']}"))
    if "features" in report:
        made = table("feature map", "channels", "stride", numbers_from=1)
        for each in report["features"]:
            made.add_row(f"after {each['row']}", str(each["channels"]), str(each["reduction"]))
        screen.print(made)
    if "facts" in report:
        facts = [f"{name.replace('_', ' ')} {_fact(value)}" for name, value in report["facts"].items()]
        screen.print(Text(", ".join([report["precision"], report["runtime"], *facts])), style="dim")
    if report.get("comparisons"):
        made = table("batch", "worst difference", "of the deviation", "same top-1", numbers_from=0)
        for each in report["comparisons"]:
            same = pretty("top1", each["top1_agreement"])
            made.add_row(str(each["batch"]), f"{each['worst']:.1e}", f"{each['ratio']:.1e}", same)
        on = f"{report['images']} images of {report['data']}, {report['image_size']} px"
        screen.print(Text(f"beside eager torch on {on}:"))
        screen.print(made)
    if top1 := report.get("top1"):
        made = table("top-1", "eager", "file", "change")
        change = f"{100 * top1['change']:+.1f} ± {100 * top1['change_sem']:.1f} points"
        made.add_row("against labels", pretty("top1", top1["eager"]), pretty("top1", top1["file"]), change)
        screen.print(made)
    if "eager" in report:
        made = table("one image, one thread", "median", "10 %", "90 %", "of eager")
        for words, times in ((report["runtime"], report), ("eager torch", report["eager"])):
            shown = [f"{three_digits(times[name])} ms" for name in ("latency_ms", "latency_p10_ms", "latency_p90_ms")]
            made.add_row(words, *shown, f"{times['latency_ms'] / report['eager']['latency_ms']:.2f}")
        screen.print(made)
    verdict, style = ("verified: ", "green") if report["verified"] else ("", "yellow")
    screen.print(Text(verdict + report["reason"]), style=style)


def _fact(value: float) -> str:
    return f"{value:.1%}" if isinstance(value, float) else str(value)
