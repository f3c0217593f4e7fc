"""How metrics are written for people, each in its declared unit."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mvsearch.metrics.record import Record
from mvsearch.metrics.registry import metric
from mvsearch.utils.text import join_words
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
    """A metric, with the standard error of its mean where it was measured several times, and `~` where predicted.

    >>> with_error("top1", {"top1": 0.8571, "top1_sem": 0.0039})
    '85.7 ± 0.39 %'
    """
    text, error = pretty(name, metrics.get(name)), metrics.get(f"{name}_sem")
    if metrics.get(f"{metric(name).prefix}predicted"):
        return f"~{text}"
    if error is None or text == "-":
        return text
    value, _, symbol = text.partition(" ")
    return f"{value} ± {float(f'{error / metric(name).unit.size:.2g}'):g} {symbol}".rstrip()


def image_sizes(names: Iterable[str], records: Sequence[Record]) -> dict[str, str]:
    """The image size that each of these costs belongs to, e.g. `{"macs": "256 px", "latency_ms": "224 px"}`.

    MACs are those of the architecture, measurements may be of other images. Empty where all are of one size.
    """
    found = {name: {size for record in records if (size := _image_size(name, record))} for name in names}
    if len({size for sizes in found.values() for size in sizes}) < 2:
        return {}
    return {name: f"{join_words(map(str, sorted(sizes)), 'or')} px" for name, sizes in found.items() if sizes}


def own_sizes(records: Sequence[Record]) -> list[int]:
    """The image size of each architecture; empty where all are of one."""
    sizes = [record.architecture.get("image_size", 0) for record in records]
    return sizes if len(set(sizes)) > 1 else []


def _image_size(name: str, record: Record) -> int | None:
    """None for a metric that does not depend on it, and where it is not known."""
    if name in ("macs", "macs_paper"):
        return record.architecture.get("image_size")
    prefix = metric(name).prefix
    return record.metrics.get(f"{prefix}image_size") if prefix and name in record.metrics else None


def labels(names: Sequence[str], records: Sequence[Record], *, sizes_apart: bool = False) -> list[str]:
    """The heads of columns, with the image size of each cost where these differ, e.g. `latency (224 px)`.

    With `sizes_apart`, the sizes of the records themselves (`own_sizes`) are not in the heads.
    """
    several = sizes_apart and own_sizes(records)
    sizes = {name: size for name, size in image_sizes(names, records).items() if not several or " or " not in size}
    return [f"{metric(name).label} ({sizes[name]})" if name in sizes else metric(name).label for name in names]


def scale(name: str, values: Iterable[float], image_size: str = "") -> tuple[str, float]:
    """An axis label, and the divisor of the values along it, e.g. `("parameters (M)", 1e6)`.

    `image_size` is added to the label, e.g. `MACs at 256 px (M)`.
    """
    description = metric(name).description + (f" at {image_size}" if image_size else "")
    symbol, size = metric(name).unit.scale(max(map(abs, values), default=0))
    return (f"{description} ({symbol})" if symbol else description), size


def volume(share: float) -> str:
    """A hypervolume: four decimals, or four significant digits below 0.01.

    >>> volume(0.24501), volume(0.00005538104)
    ('0.2450', '0.00005538')
    """
    return f"{share:.4f}" if share == 0 or share >= 0.01 else significant(share, 4)
