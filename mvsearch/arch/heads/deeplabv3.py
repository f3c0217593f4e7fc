"""`deeplabv3`: a class for every pixel, by parallel convolutions of several dilations (arXiv 1706.05587).

            ┌─ 1x1 ────────────────┐
    last ───┼─ 3x3, dilated: three ┼─ 1x1 ─ dropout ─ 1x1 to classes ─ resized to the image
    map     └─ mean of the map ────┘

MobileViTv1 and v3-XXS, XS, S have `out: 256, dropout: 0.1, align_corners: false`; the v2 family `out: 512, aux: true`,
on ADE20K with `output_stride: 8` (arXiv 2209.15159, section 4.3).
"""

from dataclasses import dataclass

from mvsearch.arch import cost
from mvsearch.arch.cost import Cost, Shape
from mvsearch.arch.heads._dense import Dense
from mvsearch.arch.schema import fraction, integer


@dataclass(frozen=True, kw_only=True)
class Head(Dense):
    """Parallel convolutions of three dilations."""

    rate: int = integer(default=None)
    """The smallest of the three dilations, by default 96 / output_stride; the others are 2 and 3 times it."""
    dropout: float = fraction(default=0.0)
    """Dropout of the context, while training."""

    def __post_init__(self) -> None:
        if self.rate is None:
            object.__setattr__(self, "rate", 96 // self.output_stride)

    def summary(self) -> str:
        """Also the dilations."""
        return f"{super().summary()}, dilations {', '.join(str(times * self.rate) for times in (1, 2, 3))}"

    def context(self, x: Shape) -> tuple[str, Cost]:
        """Five branches and the convolution that joins them."""
        branches = (
            cost.conv(x.channels, self.out, x.pixels)
            + cost.conv(x.channels, self.out, x.pixels, kernel=3).times(3)
            + cost.conv(x.channels, self.out, 1)
        )
        return "aspp", branches + cost.conv(5 * self.out, self.out, x.pixels)
