"""How fast an exported file is: beside eager PyTorch, and an int8 file also beside the float32 file of its runtime."""

from dataclasses import dataclass
from typing import Any

from mvsearch.metrics.record import Latency
from mvsearch.utils.units import three_digits

NOISE = 0.03
"""The times of two files with the same operators differ by as much, by where in memory they are loaded."""

EQUAL = 0.1
"""Two files count as equally fast if their ratio is within this of 1; with a wider interval it is uncertain."""

_LEADS = {
    "slower": "slower than float32",
    "faster": "faster than float32",
    "equal": "as fast as float32",
    "uncertain": "neither clearly slower nor clearly faster than float32",
}


@dataclass(frozen=True)
class Ratio:
    """The time of an int8 file over that of the float32 file in the same rounds, with its interval of 95 %."""

    low: float
    middle: float
    high: float

    @property
    def verdict(self) -> str:
        """`slower` or `faster` beyond interval and noise; else `equal`, or `uncertain` where the interval is wide."""
        if self.low > 1 and self.middle > 1 + NOISE:
            return "slower"
        if self.high < 1 and self.middle < 1 - NOISE:
            return "faster"
        return "equal" if self.low >= 1 - EQUAL and self.high <= 1 + EQUAL else "uncertain"


@dataclass(frozen=True)
class Speed:
    """The latencies of one image in the file and in eager PyTorch; of an int8 file also that of the float32 file."""

    file: Latency
    eager: Latency
    float32: Latency | None = None
    ratio: Ratio | None = None

    def to_dict(self, *, file_bytes: int | None, float32_bytes: int | None) -> dict[str, Any]:
        """As a report has it: the file's latency at the top level, the others under `eager` and `float32`."""
        values = self.file.metrics() | {"eager": self.eager.metrics()}
        if self.float32 is None or self.ratio is None:
            return values
        ratio = {"ratio": self.ratio.middle, "ratio_low": self.ratio.low, "ratio_high": self.ratio.high}
        values |= {"float32": {**self.float32.metrics(), "file_bytes": float32_bytes}}
        values |= {"int8_to_float32": {"verdict": self.ratio.verdict, **ratio}}
        return values | {"headline": describe_int8(self.file, self.float32, self.ratio, file_bytes, float32_bytes)}


def describe_int8(int8: Latency, float32: Latency, ratio: Ratio, int8_bytes: int | None, bytes_: int | None) -> str:
    """What int8 changed, in a sentence: first the speed, then the size."""
    times = f"{three_digits(int8.median_ms)} ms against {three_digits(float32.median_ms)} ms"
    factor = f"ratio {ratio.middle:.2f}, between {ratio.low:.2f} and {ratio.high:.2f}"
    return f"{_LEADS[ratio.verdict]}: {times} ({factor}){_describe_size(ratio, int8_bytes, bytes_)}"


def _describe_size(ratio: Ratio, int8_bytes: int | None, bytes_: int | None) -> str:
    if int8_bytes is None or bytes_ is None:
        return ""
    sizes = f"{three_digits(int8_bytes / 1e6)} MB instead of {three_digits(bytes_ / 1e6)} MB"
    if int8_bytes >= bytes_:
        return f"; the file is not smaller: {sizes}"
    return f"; {'smaller' if ratio.verdict in ('faster', 'uncertain') else 'the only gain is the size'}: {sizes}"
