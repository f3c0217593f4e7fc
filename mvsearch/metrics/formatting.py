"""How metrics are written for people, each in its declared unit."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from mvsearch.metrics.registry import metric
from mvsearch.utils.units import significant


def pretty(name: str, value: Any) -> str:
    """A metric as a table shows it; a dash where it was not measured.

    >>> pretty("macs", 1_832_711_680), pretty("top1", 0.712), pretty("latency_ms", None)
    ('1.83 G', '71.2 %', '-')
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "-"
    return metric(name).unit.format(value)


def with_error(name: str, metrics: Mapping[str, Any]) -> str:
    """A metric, with the standard error of its mean where it was measured several times.

    >>> with_error("top1", {"top1": 0.8571, "top1_sem": 0.0039})
    '85.7 ± 0.39 %'
    """
    text, error = pretty(name, metrics.get(name)), metrics.get(f"{name}_sem")
    if error is None or text == "-":
        return text
    value, _, symbol = text.partition(" ")
    return f"{value} ± {float(f'{error / metric(name).unit.size:.2g}'):g} {symbol}".rstrip()


def scale(name: str, values: Iterable[float]) -> tuple[str, float]:
    """An axis label, and the divisor of the values along it, e.g. `("parameters (M)", 1e6)`."""
    description = metric(name).description
    symbol, size = metric(name).unit.scale(max(map(abs, values), default=0))
    return (f"{description} ({symbol})" if symbol else description), size


def volume(share: float) -> str:
    """A hypervolume: four decimals, or four significant digits below 0.01.

    >>> volume(0.24501), volume(0.00005538104)
    ('0.2450', '0.00005538')
    """
    return f"{share:.4f}" if share == 0 or share >= 0.01 else significant(share, 4)
