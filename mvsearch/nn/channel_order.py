"""The most important channels first: a network is reordered, without a change of its outputs, before it is cut.

Weight transfer cuts a network to the first of its channels (`weight_transfer`). Channels that belong together, because
one module returns them and others read them or because they are added, form a group with one order: each block's file
declares them (`nn/_layer.py`), residuals and the sequence of rows join them along the network. Heads of attention are
moved as wholes; inside a head queries and keys have one order, and values another one.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mvsearch.nn._layer import Channels, ChannelTable, dimensions, heads, layers
from mvsearch.nn.conv import Conv

_IMAGES = "images"


@dataclass(frozen=True)
class Use:
    """A range of channels along a dimension of a tensor, from `start` on.

    `normalised` are weights and statistics whose scale a batch norm removes, so that it says nothing.
    """

    tensor: Tensor
    dimension: int
    start: int
    channels: Channels
    normalised: bool = False

    @property
    def values(self) -> Tensor:
        """The tensor's part, one row for each channel."""
        return self.tensor.narrow(self.dimension, self.start, self.channels.size).transpose(0, self.dimension)

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Let the channel at `order[i]` be the one at i."""
        part = self.tensor.narrow(self.dimension, self.start, self.channels.size)
        part.copy_(part.index_select(self.dimension, order.to(part.device)))


Importance = Callable[[list[Use]], Tensor]
"""The places of a group of channels → how important each channel is."""


def weight_importance(uses: list[Use]) -> Tensor:
    """How strongly a network returns a channel: the Euclidean norm of the scales and shifts of its norms, or of its
    weights where no batch norm follows, over all places. A channel that is returned and read by nothing has 0.

    Of five ways that were tried on two networks it kept most accuracy after the cut:
    docs/benchmarks/weight_transfer.md.
    """
    returned, read = ([_square_norms(use) for use in uses if use.dimension == i and not use.normalised] for i in (0, 1))
    total = sum(returned, torch.zeros(uses[0].channels.size))
    return total.sqrt() if not read else total.sqrt() * (sum(read, torch.zeros(())) > 0)


def sort_channels(model: nn.Sequential, importance: Importance = weight_importance) -> nn.Sequential:
    """A copy of a network of `build` with the same outputs: the most important channels of each group come first.

    The maps that a head reads keep their order if the head's channels are not declared.
    """
    model = copy.deepcopy(model)
    groups = _groups(model)
    joint: dict[str, list[str]] = defaultdict(list)
    for group, uses in groups.items():
        joint[group.rpartition(".")[0] if uses[0].channels.heads > 1 else group].append(group)
    for members in joint.values():
        scores = {group: importance(groups[group]) for group in members}
        number = groups[members[0]][0].channels.heads
        best = _descending(
            sum((each.square().view(number, -1).sum(1) for each in scores.values()), torch.zeros(number))
        )
        for group, score in scores.items():
            inside = score.view(number, -1).argsort(dim=1, descending=True, stable=True)
            order = (inside + inside.shape[1] * torch.arange(number)[:, None])[best].flatten()
            for use in groups[group]:
                use.reorder(order)
    return model


def _descending(scores: Tensor) -> Tensor:
    return scores.argsort(descending=True, stable=True)


def _square_norms(use: Use) -> Tensor:
    return use.values.float().square().reshape(use.channels.size, -1).sum(1).cpu()


def _groups(model: nn.Sequential) -> dict[str, list[Use]]:
    """The places of every group of channels whose order is free, under the group's name in the network."""
    groups: dict[str, list[Use]] = defaultdict(list)
    kept, read, reached = {_IMAGES}, _IMAGES, dict[str, str]()
    for row, block, name in _blocks(model):
        layer: Any = layers()[type(block)]
        out = read if layer.has_order_of_input(block) else f"{name}.out"
        _collect(groups, block, layer.channels(block), {"in": read, "out": out}, name)
        read = reached[row] = out
    head = model.get_submodule("head")
    if (declared := heads()[type(head)].channels) is not None:
        _collect(groups, head, declared(head), {"in": read}, "head")
    else:
        names: tuple[str, ...] = getattr(model, "read", (next(reversed(reached)),))
        kept |= {reached[row] for row in names}
    fixed = {group for group, uses in groups.items() if any(use.channels.fixed for use in uses)}
    return {group: uses for group, uses in groups.items() if group not in kept | fixed}


def _blocks(model: nn.Sequential) -> Iterator[tuple[str, nn.Module, str]]:
    """Each block with the name of its row and its own."""
    for row_name, row in list(model.named_children())[:-1]:
        if type(row) is nn.Sequential:
            yield from ((row_name, block, f"{row_name}.{i}") for i, block in enumerate(row))
        else:
            yield row_name, row, row_name


def _collect(
    groups: dict[str, list[Use]], block: nn.Module, table: ChannelTable, ends: dict[str, str], name: str
) -> None:
    before_norm = {
        f"{each}.conv.{part}".lstrip(".")
        for each, module in block.named_modules()
        if isinstance(module, Conv)
        for part in ("weight", "bias")
    }
    for tensor_name, tensor in block.state_dict(keep_vars=False).items():
        for i, ranges in dimensions(table, tensor_name, tensor).items():
            statistic = tensor_name.endswith(("running_mean", "running_var"))
            normalised = i == 0 and (statistic or tensor_name in before_norm)
            start = 0
            for each in ranges:
                group = ends.get(each.group, f"{name}.{each.group}")
                groups[group].append(Use(tensor, i, start, each, normalised))
                start += each.size
