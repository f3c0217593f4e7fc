"""What of a network is computed in int8, and from which ranges: the schemes, in a form that every format reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from mvsearch.errors import PlanError
from mvsearch.utils import plugins

Ranges = Literal["minmax", "percentile", "entropy"]
"""How the range of an activation follows from the calibration images: all of it, all but the few largest values, or the
range whose int8 distribution is closest to the one of float32."""


@dataclass(frozen=True, kw_only=True)
class Int8Scheme:
    """How a network is quantised, known by its name; `words` describe it.

    With `everything`, all operators that the quantiser of a format knows are computed in int8, as integer hardware
    does; otherwise what is faster on a CPU. Weights have a scale per channel, or one per tensor. The rows of
    `float_stages` stay in float32.
    """

    name: str
    words: str
    everything: bool = True
    per_channel: bool = True
    ranges: Ranges = "minmax"
    float_stages: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name with the stages that stay in float32: `channel, float: layer5`."""
        return f"{self.name}, float: {' '.join(self.float_stages)}" if self.float_stages else self.name

    def note(self, macs_share: float | None) -> str | None:
        """A sentence where the share of multiply-accumulates in int8 is 0 because all products are too small."""
        if self.everything or macs_share != 0:
            return None
        return (
            f"nothing of this network is computed in int8: scheme {self.name} found no product that is large enough "
            "for int8 to be faster; --scheme channel computes products of any size in int8."
        )

    def with_float(self, stages: Sequence[str], known: Sequence[str]) -> "Int8Scheme":
        """The scheme with these stages in float32; raises PlanError for a stage that is not among the known."""
        for stage in stages:
            if stage not in known:
                raise PlanError(f"unknown stage {stage!r}; {plugins.suggest(stage, tuple(known))}")
        if known and {*stages} >= {*known}:
            raise PlanError("all stages stay in float32, so nothing is in int8; leave one out.")
        return replace(self, float_stages=tuple(name for name in known if name in stages))


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Int8Scheme(name="fast", words="what onnxruntime computes faster in int8 than in float32", everything=False),
        Int8Scheme(name="channel", words="all operators, weights per channel"),
        Int8Scheme(name="tensor", words="all operators, weights per tensor", per_channel=False),
        Int8Scheme(
            name="percentile",
            words="all operators, weights per channel, ranges without the 0.01 % most extreme values",
            ranges="percentile",
        ),
        Int8Scheme(
            name="entropy",
            words="all operators, weights per channel, ranges of least divergence from float32",
            ranges="entropy",
        ),
    )
}
"""All schemes by name."""


class Quantiser(Protocol):
    """Writes files of one network by several schemes; what they share is computed once.

    `stages` are the names of the stages that can stay in float32.
    """

    @property
    def stages(self) -> tuple[str, ...]:
        """The names."""
        ...

    def write_float32(self, path: Path) -> None:
        """Write the file in float32."""

    def write(self, path: Path, scheme: Int8Scheme) -> None:
        """Write the int8 file of a scheme."""


FORMAT_SCHEMES: Mapping[str, tuple[str, ...]] = {"onnx": tuple(SCHEMES), "executorch": ("channel", "tensor")}
"""The schemes of the formats that have int8, the default one of an export first; read without loading a format."""


def find_scheme(name: str, format_name: str) -> Int8Scheme:
    """The scheme of a name; raises PlanError for one that does not exist or that the format does not have."""
    plugins.check("export_format", format_name, error=PlanError)
    supported = FORMAT_SCHEMES.get(format_name, ())
    if not supported:
        raise PlanError(f"{format_name} supports float32 only; use {' or '.join(FORMAT_SCHEMES)}.")
    if name not in SCHEMES:
        raise PlanError(f"unknown int8 scheme {name!r}; {plugins.suggest(name, supported)}")
    if name not in supported:
        raise PlanError(f"{format_name} has no int8 scheme {name!r}; it has {', '.join(supported)}.")
    return SCHEMES[name]
