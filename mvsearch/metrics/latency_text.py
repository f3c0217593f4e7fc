"""What a latency is said with, the same in every command: the network's input, the runtime, and the machine's state."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mvsearch.metrics.registry import LATENCY_INT8_MS, LATENCY_MS
from mvsearch.utils.text import plural
from mvsearch.utils.units import three_digits


def conditions(metrics: Mapping[str, Any]) -> str:
    """The input and the runtime of a latency, e.g. `1 image of 256 px, torch_cpu, fp32, 1 thread`.

    >>> conditions({"latency_batch": 2, "latency_image_size": 224, "latency_backend": "openvino", "latency_threads": 4})
    '2 images of 224 px, openvino, 4 threads'
    """
    batch, threads = metrics.get("latency_batch", 1), metrics.get("latency_threads")
    parts = [f"{plural(batch, 'image')} of {metrics.get('latency_image_size')} px"]
    parts += [str(metrics[name]) for name in ("latency_backend", "latency_precision") if name in metrics]
    parts += [plural(threads, "thread")] if threads else []
    return ", ".join(parts)


def interval(metrics: Mapping[str, Any]) -> str:
    """How far a latency can be trusted, before its spread, e.g. `between 8.21 and 8.80 ms; `; empty if unknown."""
    if not {"latency_low_ms", "latency_high_ms"} <= metrics.keys():
        return ""
    low, high = (three_digits(metrics[f"latency_{end}_ms"]) for end in ("low", "high"))
    return f"between {low} and {high} ms; "


def busy_note(latencies: Sequence[Mapping[str, Any]]) -> str:
    """In words, how other processes disturbed the measurement of latencies; empty if they did not.

    Candidates without a latency, or with a predicted one, are not counted.
    """
    measured = [each for m in latencies for each in _by_name(m) if not each.get("latency_predicted")]
    busy = [metrics for metrics in measured if metrics.get("latency_busy")]
    if not busy:
        return ""
    shares = [metrics["latency_cpu_share"] for metrics in busy if metrics.get("latency_cpu_share") is not None]
    loads = [metrics["latency_load"] for metrics in busy if metrics.get("latency_load") is not None]
    state = [f"this process had the processor for {min(shares):.0%} of the time"] if shares else []
    state += [f"load average {max(loads):.1f}"] if loads else []
    count = f"{len(busy)} of {len(measured)} latencies were" if len(measured) > 1 else "the latency was"
    described = f" ({', '.join(state)})" if state else ""
    return f"{count} measured while other processes used the machine{described}; {_advice(busy)}."


def predicted_note(latencies: Sequence[Mapping[str, Any]]) -> str:
    """In words, how many latencies were predicted, and why the others were not; empty if none was to be predicted."""
    predicted = [metrics for metrics in latencies if metrics.get("latency_predicted")]
    measured = [metrics for metrics in latencies if "latency_measured_because" in metrics]
    if not predicted and not measured:
        return ""
    widths = [(m["latency_high_ms"] - m["latency_low_ms"]) / (2 * m["latency_ms"]) for m in predicted]
    parts = [f"{len(predicted)} of {sum('latency_ms' in metrics for metrics in latencies)} latencies are predicted"]
    parts[0] += f" (~), nine in ten within {max(widths):.1%} as expected" if widths else ""
    if measured:
        reasons = Counter(metrics["latency_measured_because"] for metrics in measured)
        words = ", ".join(f"{count} because {reason}" for reason, count in reasons.items())
        inside = sum(m["latency_expected_low_ms"] <= m["latency_ms"] <= m["latency_expected_high_ms"] for m in measured)
        parts.append(f"measured after a prediction: {words}; {inside} of these {len(measured)} are in its interval")
    return f"{'; '.join(parts)}."


def _by_name(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The numbers of each latency that a candidate has, under the names of those of `latency_ms`."""
    for each in (LATENCY_MS, LATENCY_INT8_MS):
        if each.name in metrics:
            prefix = str(each.prefix)
            yield {f"latency_{name.removeprefix(prefix)}": v for name, v in metrics.items() if name.startswith(prefix)}


def _advice(busy: Sequence[Mapping[str, Any]]) -> str:
    times = [metrics["latency_reference_ms"] for metrics in busy if "latency_reference_ms" in metrics]
    if not times:
        return "repeat the command on an idle machine"
    known = f"{busy[0]['latency_reference']}, {three_digits(min(times))} ms"
    if all(metrics.get("latency_reference_quiet") for metrics in busy):
        return f"they follow from ratios to the reference ({known} on this machine when it was idle)"
    return (
        f"the ratios to the reference ({known}) are more reliable than the milliseconds, which may be up to three "
        "times too high: repeat the command on an idle machine"
    )
