"""Transfer of weights between networks of a family: to a wider or narrower, deeper or shallower one, or other kernels.

Rows are paired by their names, or by position where names are unknown to the other network, and must be of one block.
What both networks have is copied, each kind of channel from its own range: queries, keys and values head by head, the
two maps that a fusion reads, kernels from their centres. A transferred output does not read new inputs, and a new
residual branch starts at zero. So a network that only grew deeper, or wider anywhere except along a layer norm and its
attention, returns the outputs of its source until it is trained.

What is particular to a block is declared in its file: see `nn/_layer.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import all_names, published
from mvsearch.data import Preparation
from mvsearch.errors import CheckpointError
from mvsearch.nn._layer import Axis, BlockLayer, dimensions, heads, layers
from mvsearch.nn._merging import join_classifiers
from mvsearch.nn.checkpoints import STATISTICS, load_checkpoint
from mvsearch.nn.network import instantiate
from mvsearch.nn.weights_io import checksum

_CLASSIFIERS = (
    *("head.linear.weight", "classifier.fc.weight", "classifier.1.weight"),  # ours, the authors'
    *("head.fc.weight", "classifier.weight", "head.l.weight"),  # timm's
)
_STARNET = "head.weight"


@dataclass(frozen=True)
class RowTransfer:
    """A row of the target: its parameters, how many are transferred, and from which row (None: all are new)."""

    name: str
    params: int
    transferred: int
    source: str | None


@dataclass(frozen=True)
class WeightTransfer:
    """Which weights a network started with: the source, its checksum, and how much of each row was transferred.

    `channels` says which channels of a wider source were taken. `facts` is what a report says about the file that they
    come from, `preparation` how images are prepared for it, and `notes` are sentences about what does not fit.
    """

    source: str
    checksum: str
    rows: tuple[RowTransfer, ...]
    channels: str = "first"
    facts: Mapping[str, Any] = field(default_factory=dict)
    preparation: Preparation | None = None
    notes: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The share of the target's parameters that come from the source."""
        return self.transferred / self.params

    @property
    def params(self) -> int:
        """The parameters of the target."""
        return sum(row.params for row in self.rows)

    @property
    def transferred(self) -> int:
        """The parameters that come from the source."""
        return sum(row.transferred for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a log or a checkpoint."""
        return {
            "source": self.source,
            "checksum": self.checksum,
            "params": self.params,
            "inherited": self.transferred,
            "share": self.share,
            "channels": self.channels,
            "rows": [
                {"name": row.name, "params": row.params, "inherited": row.transferred, "source": row.source}
                for row in self.rows
            ],
            **self.facts,
        }


@torch.no_grad()
def transfer_weights(target: nn.Sequential, source: nn.Sequential, *, name: str) -> WeightTransfer:
    """Copy the weights of the source that fit into the target, in place; `build` returned both networks.

    The classifier is transferred if both have as many classes, another head if all its shapes are equal. `name` is the
    source's name in the report. Raises CheckpointError if the networks have no row in common.
    """
    pairs = _pair_rows([name for name, _ in target.named_children()], [name for name, _ in source.named_children()])
    rows = []
    for row_name, row in target.named_children():
        source_name = pairs.get(row_name)
        transfer = _transfer_head if row_name == "head" else _transfer_row
        transferred = transfer(row, source.get_submodule(source_name) if source_name else None)
        params = sum(p.numel() for p in row.parameters())
        rows.append(RowTransfer(row_name, params, transferred, source_name if transferred else None))
    if not any(row.transferred for row in rows):
        raise CheckpointError(f"{name}: no row has the block of the same row here; use a network of the same family.")
    return WeightTransfer(name, checksum(source.state_dict()), tuple(rows))


def identify_architecture(state_dict: dict[str, Tensor], *candidates: Architecture) -> Architecture:
    """The architecture that weights belong to, with their number of classes: a candidate, or else a published one.

    If several have equal layers, as at other image sizes, it is the first. Raises CheckpointError if none fits.
    """
    classifier = [tensor for name, tensor in state_dict.items() if name.endswith(_CLASSIFIERS) or name == _STARNET]
    weights = {name: tensor.to("meta") for name, tensor in join_classifiers(state_dict).items()}
    total = sum(tensor.numel() for name, tensor in weights.items() if not name.endswith(STATISTICS))
    for candidate in chain(candidates, map(published, all_names())) if classifier else ():
        arch = candidate.at(num_classes=len(classifier[0]))
        needed, trained = _parameter_counts(arch)
        if total < needed or (arch.task == "classification" and total not in (needed, trained)):
            continue  # without building it
        try:
            load_checkpoint(_build_on_meta(arch), weights)
        except CheckpointError:
            continue
        return arch
    raise CheckpointError(
        "these weights fit no published classifier; put the architecture.yaml that they belong to beside them."
    )


def _parameter_counts(arch: Architecture) -> tuple[int, int]:
    """The parameters at inference, and with what only training uses."""
    params = arch.cost().params
    return params, params + arch.training_cost().params


def _build_on_meta(arch: Architecture) -> nn.Sequential:
    with torch.device("meta"):
        return instantiate(arch)


def _pair_rows(targets: list[str], sources: list[str]) -> dict[str, str]:
    """Rows of the target to rows of the source: of the same name, else in the same position if both are unpaired."""
    pairs = {name: name for name in targets if name in sources}
    for target, source in zip(targets[:-1], sources[:-1], strict=False):
        if target not in sources and source not in targets:
            pairs[target] = source
    return pairs


def _blocks(row: nn.Module | None) -> list[nn.Module]:
    return list(row) if type(row) is nn.Sequential else [row] if row is not None else []


def _transfer_row(row: nn.Module, source: nn.Module | None) -> int:
    """Transfer a row, block by block; a block without a source starts as the identity if it has a residual.

    Returns the number of transferred parameters.
    """
    blocks, sources = _blocks(row), _blocks(source)
    transferred = 0
    chosen = [sources[i] for i in _spread(len(blocks), len(sources))]
    for i, block in enumerate(blocks):
        if i < len(chosen) and type(block) is type(chosen[i]):
            transferred += _transfer_block(block, chosen[i], layers()[type(block)])
        else:
            _zero_init_residual(block)
    return transferred


def _zero_init_residual(block: nn.Module) -> None:
    """Let a block return its input, if it adds a branch to it."""
    norms: Any = layers()[type(block)].residual_norms(block)
    for norm in norms:
        nn.init.zeros_(norm.weight)


def _transfer_head(head: nn.Module, source: nn.Module | None) -> int:
    layer = heads()[type(head)]
    if source is None or not layer.fits(head, source):
        return 0
    return _transfer_block(head, source, BlockLayer(module=layer.module))


def _transfer_block(target: nn.Module, source: nn.Module, layer: BlockLayer) -> int:
    source_state = _matching_layers(source.state_dict(), layer, target, source)
    params, own = dict(target.named_parameters()), target.state_dict()
    transferred = 0
    for name, tensor in own.items():
        if name in source_state and _has_statistics(name, own) == _has_statistics(name, source_state):
            source_tensor = source_state[name].to(tensor.device)
            regrouped = name in layer.regrouped and (tensor.shape[1] == 1) != (source_tensor.shape[1] == 1)
            copy = _copy_across_groups if regrouped else _copy
            axes = _axes(layer, target, name, tensor), _axes(layer, source, name, source_tensor)
            count = copy(tensor, source_tensor, *axes)
            transferred += count if name in params else 0
        elif name.endswith(layer.branch_ends):
            tensor.zero_()  # the end of a residual branch that the source does not have
    return transferred


def _has_statistics(name: str, state: Mapping[str, Tensor]) -> bool:
    """Whether a parameter is that of a batch norm: the scale of a layer norm means something else."""
    return f"{name.rpartition('.')[0]}.running_mean" in state


def _matching_layers(
    state: dict[str, Tensor], layer: BlockLayer, target: nn.Module, source: nn.Module
) -> dict[str, Tensor]:
    """The tensors of a source under the names that they have in the target, which may have fewer layers in a stack."""
    if not layer.stack:
        return state
    counts = [len(list(block.get_submodule(layer.stack).children())) for block in (target, source)]
    chosen = {name: tensor for name, tensor in state.items() if not name.startswith(f"{layer.stack}.")}
    for i, j in enumerate(_spread(*counts)):
        prefix = f"{layer.stack}.{j}."
        inside = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        chosen |= {f"{layer.stack}.{i}.{name}": tensor for name, tensor in inside.items()}
    return chosen


def _spread(count: int, available: int) -> list[int]:
    """Positions of so many of the available layers, evenly spread from the first on; all of them if there are fewer.

    >>> _spread(2, 4), _spread(3, 4), _spread(5, 2)
    ([0, 2], [0, 1, 2], [0, 1])
    """
    return [i * available // count for i in range(count)] if count < available else list(range(available))


def _axes(layer: BlockLayer, block: nn.Module, name: str, tensor: Tensor) -> list[Axis]:
    """What the indices along every dimension of a tensor stand for; kernels are counted from their centres."""
    axes: list[Axis] = [range(n) for n in tensor.shape]
    if tensor.ndim == 4:
        axes[2:] = [range(-(n // 2), n - n // 2) for n in tensor.shape[2:]]
    for i, channels in dimensions(layer.channels(block), name, tensor).items():
        axes[i] = [mark for each in channels for mark in each.axis]
    return axes


def _copy(tensor: Tensor, source: Tensor, axes: list[Axis], source_axes: list[Axis]) -> int:
    """Copy what both have; inputs that the source does not have get zero weights. Returns how many were copied."""
    if tensor.ndim == 0:
        tensor.copy_(source)  # a counter of batches
        return 1
    shared = [_shared_indices(ours, theirs) for ours, theirs in zip(axes, source_axes, strict=True)]
    indices, source_indices = zip(*shared, strict=True)
    if tensor.ndim > 1:
        tensor[indices[0]] = 0
    values = source[_grid(source_indices)]
    tensor[_grid(indices)] = values
    return values.numel()


def _copy_across_groups(tensor: Tensor, source: Tensor, axes: list[Axis], source_axes: list[Axis]) -> int:
    """Copy between a depthwise and a dense convolution of as many channels: the dense one's diagonal is the other."""
    if source.shape[1] > 1:
        source = source.diagonal().permute(2, 0, 1)[:, None]
        return _copy(tensor, source, axes, [source_axes[0], axes[1], *source_axes[2:]])
    tensor[: source.shape[0]] = 0
    diagonal = tensor.diagonal().permute(2, 0, 1)[:, None]  # a view: writing to it writes to the tensor
    return _copy(diagonal, source, [axes[0], source_axes[1], *axes[2:]], source_axes)


def _shared_indices(ours: Axis, theirs: Axis) -> tuple[list[int], list[int]]:
    positions = {mark: i for i, mark in enumerate(theirs)}
    pairs = [(i, positions[mark]) for i, mark in enumerate(ours) if mark in positions]
    return [i for i, _ in pairs], [j for _, j in pairs]


def _grid(indices: Iterable[list[int]]) -> tuple[Tensor, ...]:
    return torch.meshgrid(*map(torch.tensor, indices), indexing="ij")
