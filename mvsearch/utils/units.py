"""How a raw number is written for people: `1_249_448` params are `1.25 M`."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_PREFIXES = (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))


@dataclass(frozen=True)
class Unit:
    """How a metric is called in a table's head and along an axis; counts take the prefix that suits their size.

    Three digits are shown, unless `decimals` says more: where networks of one space are all nearly alike.
    """

    head: str
    words: str
    symbol: str = ""
    size: float = 1.0
    count: bool = False
    decimals: int | None = None


UNITS = {
    "top1": Unit("top-1", "proxy top-1", "%", 0.01),
    "miou": Unit("mIoU", "proxy mIoU", "%", 0.01),
    "map": Unit("mAP", "proxy mAP", "%", 0.01),
    "params": Unit("params", "parameters", count=True),
    "macs": Unit("MACs", "MACs", count=True),
    "macs_paper": Unit("MACs (paper)", "MACs as the paper counts them", count=True),
    "memory_mib": Unit("memory", "peak memory", "MiB"),
    "train_memory_mib": Unit("training memory", "peak memory of a training step", "MiB"),
    "latency_ms": Unit("latency", "latency", "ms"),
    "loss": Unit("loss", "proxy loss"),
    "channel_weights": Unit("channel weights", "weights, each kernel counted once", count=True),
    "grad_norm": Unit("gradient norm", "gradient norm"),
    "jacob_cov": Unit("Jacobian cov.", "Jacobian covariance", decimals=3),
    "macs_score": Unit("MACs, a score", "MACs, taken for a score", count=True),
    "naswot": Unit("NASWOT", "NASWOT", decimals=2),
    "params_score": Unit("params, a score", "parameters, taken for a score", count=True),
    "snip": Unit("SNIP", "SNIP"),
    "synflow": Unit("SynFlow", "SynFlow, log10", decimals=2),
    "zico": Unit("ZiCo", "ZiCo", decimals=1),
    "scaled_loss": Unit("scaled loss", "training loss, scaled by size"),
}


def unit(name: str) -> Unit:
    """The unit of a metric; a metric that is not listed is a plain number under its own name."""
    return UNITS.get(name, Unit(name, name))


def pretty(name: str, value: Any) -> str:
    """A metric as it stands in a table; what was not measured is a dash.

    >>> pretty("macs", 1_832_711_680), pretty("top1", 0.712), pretty("naswot", 183.0812), pretty("latency_ms", None)
    ('1.83 G', '71.2 %', '183.08', '-')
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "-"
    if unit(name).count:
        symbol, size = _prefix(value)
    else:
        symbol, size = unit(name).symbol, unit(name).size
    decimals = unit(name).decimals
    number = three_digits(value / size) if decimals is None else f"{value / size:.{decimals}f}"
    return f"{number} {symbol}".rstrip()


def with_error(name: str, metrics: Mapping[str, Any]) -> str:
    """A metric, with the standard error of its mean where it was measured several times.

    >>> with_error("top1", {"top1": 0.8571, "top1_sem": 0.0039})
    '85.7 ± 0.39 %'
    """
    said, error = pretty(name, metrics.get(name)), metrics.get(f"{name}_sem")
    if error is None or said == "-":
        return said
    value, _, symbol = said.partition(" ")
    return f"{value} ± {float(f'{error / unit(name).size:.2g}'):g} {symbol}".rstrip()


def scale(name: str, values: Iterable[float]) -> tuple[str, float]:
    """An axis label and what to divide by, e.g. `("parameters (M)", 1e6)`."""
    found = unit(name)
    symbol, size = _prefix(max(map(abs, values), default=0)) if found.count else (found.symbol, found.size)
    return (f"{found.words} ({symbol})" if symbol else found.words), size


def three_digits(value: float) -> str:
    """Three significant digits, never an exponent: 0.0123, 1.25, 71.2, 332, 2549."""
    return _digits(value, 3)


def volume(share: float) -> str:
    """A hypervolume: four decimals, or four digits where the ideal is so far off that a front reaches next to nothing.

    >>> volume(0.24501), volume(0.00005538104)
    ('0.2450', '0.00005538')
    """
    return f"{share:.4f}" if share == 0 or share >= 0.01 else _digits(share, 4)


def _digits(value: float, count: int) -> str:
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(float(f"{value:.{count - 1}e}"))))
    return f"{value:.{max(0, count - 1 - magnitude)}f}"


def short_name(name: str) -> str:
    """A published name as short as a label beside a point must be.

    >>> short_name("mobilevitv3_xxs_l2"), short_name("mobilevitv2_0.5"), short_name("ablation_2_conv1x1")
    ('v3-XXS-L2', 'v2-0.5', 'abl. 2')
    """
    if row := re.match(r"ablation_(\d+)", name):
        return f"abl. {row[1]}"
    version, *rest = name.removeprefix("mobilevit").split("_")
    return "-".join([version, *(part.upper() if re.fullmatch(r"x*s|l\d", part) else part for part in rest)])


def _prefix(value: float) -> tuple[str, float]:
    rounded = abs(float(f"{value:.2e}"))  # 999.9 M is 1.00 G
    return next(((symbol, size) for symbol, size in _PREFIXES if rounded >= size), ("", 1.0))
