"""What `nn/x.py` declares about its torch module, so that building, fusing and weight transfer need no other edit."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from torch import Tensor, nn

from mvsearch.utils import plugins

Axis = Sequence[Hashable]
"""What each index along a dimension stands for: equal marks in two networks stand for the same channel."""


def _no_norms(_block: Any) -> Sequence[nn.Module]:
    return ()


def bottleneck_norms(block: Any) -> Sequence[nn.Module]:
    """The last norm of an inverted bottleneck, where its input is added: for `BlockLayer.residual_norms`."""
    return (block.narrow.norm,) if block.residual else ()


@dataclass(frozen=True)
class Channels:
    """A range of consecutive channels along a dimension of a parameter.

    Channels of one `group` belong together wherever they occur in a network: another order of them in all these places
    is the same function. The groups `in` and `out` are those of the block's input and output. `name` is what the range
    is called in another network, by default the group. With `heads` it consists of as many equal parts, whose order is
    shared by all groups with the same text before the last dot. A group in which a range is `fixed` keeps its order.
    """

    group: str
    size: int
    name: str = ""
    heads: int = 1
    fixed: bool = False

    @property
    def axis(self) -> Axis:
        """The mark of each channel: its name, its head and its position there."""
        return list(product([self.name or self.group], range(self.heads), range(self.size // self.heads)))


Dimension = tuple[Channels, ...]
"""The ranges along one dimension, one after the other; empty where equal positions are all that is known."""

ChannelTable = Mapping[str, tuple[Dimension, Dimension]]
"""For each child module by its name: the channels that it returns, and those that it reads."""


def _no_channels(_block: Any) -> ChannelTable:
    return {}


def dimensions(table: ChannelTable, name: str, tensor: Tensor) -> dict[int, Dimension]:
    """The channels along each dimension of a parameter or statistic, where they are known."""
    module = next((module for module in table if name.startswith(f"{module}.")), None)
    if module is None or tensor.ndim == 0:
        return {}
    return {
        i: channels
        for i, channels in enumerate(table[module][: tensor.ndim])
        if channels and sum(each.size for each in channels) == tensor.shape[i]  # a depthwise kernel reads one channel
    }


@dataclass(frozen=True, kw_only=True)
class BlockLayer:
    """The module of a block, as `LAYER` in its file. All but `module` has a default that is right for plain modules.

    Fusing. `fuse` builds a faster module from one of this class, or from an exported copy of the class, which has the
    same name and the child modules `parts`. Without it the child modules are fused one by one. `merge` makes the state
    of a deployed block (see `Block.deploy`) from that of a block with the parts that only training uses, which reports
    call `merged_parts`.

    Weight transfer. `residual_norms` are the norms at the ends of the branches that are added to the block's input:
    with zero weights the block returns its input. `keeps_channels` tells whether its output has the order of channels
    of its input; by default it does where a branch is added. `branch_ends` are the endings of parameters that finish an
    inner residual branch: they start at zero in a layer that the source does not have. `channels` tells what the
    indices of a parameter's dimensions stand for, and which of them belong together. `regrouped` names convolutions
    that may be depthwise in one network and dense in the other. `stack` is the child module that has layers of one kind
    one after the other, of which another network may have fewer.
    """

    module: type[nn.Module]
    fuse: Callable[[Any], nn.Module] | None = None
    parts: frozenset[str] = frozenset()
    residual_norms: Callable[[Any], Sequence[nn.Module]] = _no_norms
    branch_ends: tuple[str, ...] = ()
    channels: Callable[[Any], ChannelTable] = _no_channels
    regrouped: frozenset[str] = frozenset()
    stack: str = ""
    keeps_channels: Callable[[Any], bool] | None = None
    merge: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None
    merged_parts: str = "branches"

    def has_order_of_input(self, block: nn.Module) -> bool:
        """Whether the channels of the block's output have the order of those of its input."""
        return bool(self.residual_norms(block)) if self.keeps_channels is None else self.keeps_channels(block)


@dataclass(frozen=True, kw_only=True)
class HeadLayer:
    """The module of a head, as `HEAD` in its file.

    `count_classes` is the number of classes of a head with the given parameters, None if they are of another head.
    Its weights are transferred to a head of the same class whose shapes are equal; with `any_width`, to one of
    another width with as many classes. With `initialises_itself`, the module has a method `initialise_weights`, which
    is called after the initialisation that all networks have. `channels` is that of a block; None if the head's input
    has to keep its order.
    """

    module: type[nn.Module]
    count_classes: Callable[[Mapping[str, Tensor]], int | None]
    any_width: bool = False
    initialises_itself: bool = False
    channels: Callable[[Any], ChannelTable] | None = None

    def fits(self, target: nn.Module, source: nn.Module) -> bool:
        """Whether the source's weights can be transferred."""
        own, given = ({name: tensor.shape for name, tensor in m.state_dict().items()} for m in (target, source))
        if type(target) is not type(source) or own.keys() != given.keys():
            return False
        classes = [self.count_classes(dict(module.named_parameters())) for module in (target, source)]
        return classes[0] == classes[1] if self.any_width else own == given


def count_rows(name: str) -> Callable[[Mapping[str, Tensor]], int | None]:
    """For `count_classes`: the number of rows of a parameter."""
    return lambda parameters: len(parameters[name]) if name in parameters and parameters[name].ndim else None


def load_layer(block: str) -> BlockLayer:
    """What `nn/x.py` declares for a block."""
    layer: BlockLayer = plugins.load("layer", block).LAYER
    return layer


def load_head(kind: str) -> HeadLayer:
    """What `nn/x.py` declares for a head."""
    head: HeadLayer = plugins.load("layer", kind).HEAD
    return head


@cache
def layers() -> dict[type[nn.Module], BlockLayer]:
    """The layers of all blocks, by their modules."""
    return {layer.module: layer for layer in map(load_layer, plugins.names("block"))}


@cache
def heads() -> dict[type[nn.Module], HeadLayer]:
    """The layers of all heads, by their modules."""
    return {head.module: head for head in map(load_head, plugins.names("head"))}
