"""The cost of a layer in closed form. The same arithmetic evaluates one network or a hundred thousand at once.

`Num` is an int or a NumPy array of ints; the code here and in `blocks/` works for both.
"""

from dataclasses import dataclass
from typing import Any

Num = Any

IMAGE_CHANNELS = 3


@dataclass(frozen=True)
class Shape:
    """Channels, height and width of a feature map."""

    channels: Num
    height: Num
    width: Num

    @property
    def pixels(self) -> Num:
        """Height times width."""
        return self.height * self.width

    def strided(self, stride: Num, channels: Num) -> "Shape":
        """After a convolution with an odd kernel and same padding."""
        return Shape(channels, (self.height - 1) // stride + 1, (self.width - 1) // stride + 1)

    def padded_to(self, patch: Num) -> "Shape":
        """The next larger size that is a multiple of the patch."""
        return Shape(self.channels, -(-self.height // patch) * patch, -(-self.width // patch) * patch)


@dataclass(frozen=True)
class Cost:
    """Parameters, multiply-accumulates and operators of one image.

    `macs` is exact: convolutions, linear layers and both attention products at their real sizes. `macs_paper` follows
    the authors' profiler, the source of every "FLOPs" figure of arXiv 2209.15159: it counts biases, and counts softmax
    attention as 2·N·C² for each position in a patch instead of 2·N²·C. Of blocks that the paper does not have it counts
    attention as it is.

    `operators` are the nodes of the ONNX file that `mvsearch export` writes: norms are part of convolutions, and an
    activation may be several. Heads of other tasks than classification do not count theirs.
    """

    params: Num = 0
    macs: Num = 0
    macs_paper: Num = 0
    operators: Num = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.params + other.params,
            self.macs + other.macs,
            self.macs_paper + other.macs_paper,
            self.operators + other.operators,
        )

    def times(self, n: Num) -> "Cost":
        """The cost of n copies."""
        return Cost(self.params * n, self.macs * n, self.macs_paper * n, self.operators * n)


def conv(
    channels: Num, out: Num, pixels: Num, *, kernel: Num = 1, groups: Num = 1, bias: bool = False, norm: bool = True
) -> Cost:
    """A convolution with `pixels` outputs per channel, and the affine norm after it."""
    weights = kernel * kernel * _divide(channels, groups) * out
    macs = weights * pixels
    if bias is False:  # a column of zeros takes as long as any other
        return Cost(weights + norm * 2 * out, macs, macs, 1)
    return Cost(weights + bias * out + norm * 2 * out, macs, macs + bias * out * pixels, 1)


def _divide(channels: Num, groups: Num) -> Num:
    """The input channels of a group; a division of columns is slow."""
    if groups is channels:
        return 1
    return channels if isinstance(groups, int) and groups == 1 else channels // groups


def linear(channels: Num, out: Num, rows: Num) -> Cost:
    """A linear layer with bias over `rows` vectors: a product and a sum."""
    macs = channels * out * rows
    return Cost(channels * out + out, macs, macs + out * rows, 2)


def operators(count: Num) -> Cost:
    """Operators without parameters and multiply-accumulates."""
    return Cost(operators=count)


def activation(act: Num) -> Cost:
    """The operators of an activation by its name: SiLU is a sigmoid and a product."""
    return Cost(operators=1 * (act != "none") + 1 * (act == "silu"))


def attention(channels: Num, tokens: Num, groups: Num) -> Cost:
    """Both products of softmax attention among `tokens`, in `groups` groups: no parameters."""
    return Cost(0, 2 * tokens * tokens * channels * groups, 2 * tokens * channels * channels * groups)


def squeeze_width(channels: Num) -> Num:
    """The channels inside squeeze-and-excitation: a quarter, to a multiple of 8."""
    near = (channels + 16) // 32 * 8
    return near + (8 - near) * (near < 8)


def squeeze_excite(channels: Num) -> Cost:
    """Squeeze-and-excitation: two 1x1 convolutions with bias on the means of a map; means, ReLU, sigmoid, product."""
    hidden = squeeze_width(channels)
    convolutions = conv(channels, hidden, 1, bias=True, norm=False) + conv(hidden, channels, 1, bias=True, norm=False)
    return convolutions + operators(4)


def norm(channels: Num) -> Cost:
    """An affine normalisation: two parameters per channel, no multiply-accumulates by convention."""
    return Cost(2 * channels)
