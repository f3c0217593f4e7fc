"""What a trial of a study consists of and how long it takes: printed by `run` before the first trial."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mvsearch.utils.text import plural
from mvsearch.utils.units import duration, significant

if TYPE_CHECKING:
    from mvsearch.data import DataSet
    from mvsearch.proxies import HeldOut
    from mvsearch.study.plan import Plan
    from mvsearch.study.trial_time import TrialTime

_MEASURED_BY = ("backend", "format", "scheme", "calibration", "batch", "threads", "precision")
"""The settings of measurements that are named, where a measurement has them."""
_BUSY = 1.5
"""How many seconds a CPU second takes by the clock, from which it is said."""


def trial_conditions(plan: "Plan", data: "DataSet | None", held_out: "HeldOut | None" = None) -> Iterator[str]:
    """The images, pixels, steps and seeds of a score, and the size and the settings of every measurement.

    Images that are held out are not among those that a candidate is trained on.
    """
    if data is not None:
        source = f"{data.name} {plan.data.path or ''}".strip()
        count = len(data.train.labels)
        trained_on = f"{count - held_out.images:,} of {count:,}" if held_out else f"{count:,}"
        images = f"{trained_on} training images of {len(data.train.classes):,} classes ({source})"
        yield f"each trial: {_score_words(plan)}, on {images}."
    for name, measurement in plan.required_measurements().items():
        settings = plan.measurements[name]
        size = "" if measurement.trained else settings.image_size or " or ".join(map(str, plan.space.image_sizes))
        where = f"at {size} px" if size else "of the trained network"
        used = [f"{key} {getattr(settings, key)}" for key in _MEASURED_BY if getattr(settings, key, "") != ""]
        yield f"each trial: {name} {where}, {', '.join(used)}."
    if plan.predicts_latency:
        from mvsearch.profiling.measurements.latency import KNOWN_NETWORKS

        latency = plan.measurements["latency"]
        known = f", and of {KNOWN_NETWORKS * latency.predict} by {' and '.join(latency.known)}" if latency.known else ""
        first = f"latency is measured of {latency.predict} other networks first{known}"
        yield f"{first}, and predicted where that suffices."


def classes_note(plan: "Plan", classes: Sequence[str]) -> tuple[str, ...]:
    """A sentence if the images have another number of classes than the networks of the space."""
    if len(classes) == plan.space.num_classes:
        return ()
    costs = f"params, MACs and measurements are of networks for {plan.space.num_classes:,}"
    return (f"the images have {len(classes):,} classes; {costs} (`num_classes` of the space).",)


def time_words(trial: "TrialTime", left: int, left_s: float, workers: int, measurements: int = 0) -> str:
    """E.g. `about 25 CPU seconds a trial (12 to 60 by size; timed on 2 networks of the space): 4 min for 9 trials`.

    So many `measurements` of the network to beat and of the short list are among what is left.
    """
    spread = f"{_seconds(trial.low_s)} to {_seconds(trial.high_s)} by size; "
    spread = "" if _seconds(trial.low_s) == _seconds(trial.high_s) else spread
    measured = "".join(f", with {_seconds(s)} for {name}" for name, s in trial.measured_s.items())
    unknown = f", without {' and '.join(trial.unknown)}" if trial.unknown else ""
    stretched = f"; a CPU second takes {trial.stretch:.1f} s by the clock beside other work"
    busy = stretched if trial.stretch >= _BUSY else ""
    more = f" and {measurements} measurements of the network to beat and of the short list" if measurements else ""
    trials = f"{plural(left, 'trial')}{more} with {plural(workers, 'worker')}"
    return (
        f"about {_seconds(trial.mean_s)} {trial.unit} a trial ({spread}{trial.source}{measured}{unknown}){busy}: "
        f"{duration(left_s)} for {trials}.{_predicting_words(trial)}"
    )


def _predicting_words(trial: "TrialTime") -> str:
    """What the prediction of latency changes of the time of a study."""
    if trial.predicting_s is None:
        return ""
    less = f" A trial whose latency is predicted takes {_seconds(trial.measured_s['latency'])} less"
    first = f"; the networks that it is predicted from take {_seconds(trial.predicting_s)} {trial.unit} first"
    return f"{less}{first if trial.predicting_s else ''}."


def _seconds(seconds: float) -> str:
    return significant(seconds, 2)  # an estimate has no more


def _score_words(plan: "Plan") -> str:
    """E.g. `train with 75 steps of 64 images at 32 px, 2 seeds`."""
    settings = plan.proxy_settings()
    steps = getattr(settings, "steps", None)
    parts = [f"{steps:,} steps of" if steps else "", f"{settings.batch:,} images" if hasattr(settings, "batch") else ""]
    open_size = ", for smaller networks' images in proportion" if len(plan.space.image_sizes) > 1 else ""
    parts += [f"at {settings.image_size} px{open_size}" if hasattr(settings, "image_size") else ""]
    details = " ".join(part for part in parts if part)
    rungs = f" (rungs at {', '.join(map(str, plan.proxy.rungs))})" if plan.proxy.rungs else ""
    seeds = plural(plan.proxy.seeds, "seed")
    return f"{plan.proxy.name} with {details}{rungs}, {seeds}" if details else f"{plan.proxy.name}, {seeds}"
