"""Weights of one network for another of the family: wider or narrower, deeper or shallower, of other kernels.

Rows are paired by their names, or by their positions where names are foreign, and must be of one block. What both
networks have is copied, each kind of channel from its own range: queries, keys and values head by head, the two halves
of what a fusion reads, kernels from their centres. An output that is inherited reads nothing from inputs that are not,
and a layer that is new adds nothing where it is added to what came in: so a network that only grew deeper, or wider
anywhere but along a layer norm and its attention, gives the answers of its source until it learns.
"""

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import torch
from torch import Tensor, nn

from mvsearch.arch.architecture import Architecture
from mvsearch.arch.published import all_names, published
from mvsearch.errors import CheckpointError
from mvsearch.nn.checkpoints import load_checkpoint
from mvsearch.nn.mobilevit import MobileViT, SelfAttention
from mvsearch.nn.mobilevitv2 import MobileViTv2, SeparableAttention
from mvsearch.nn.mv2 import MV2
from mvsearch.nn.network import assembled

_CLASSIFIERS = ("head.linear.weight", "head.fc.weight", "classifier.fc.weight", "classifier.1.weight")

Axis = Sequence[Hashable]
"""What each index along a dimension stands for: equal marks in two networks stand for the same."""


@dataclass(frozen=True)
class Row:
    """What became of a row: its parameters, how many are inherited, and from which row (None: it starts afresh)."""

    name: str
    params: int
    inherited: int
    source: str | None


@dataclass(frozen=True)
class Inheritance:
    """Which weights a network began with: of which source, by which checksum, and how much of it."""

    source: str
    checksum: str
    rows: tuple[Row, ...]

    @property
    def params(self) -> int:
        """Parameters of the new network."""
        return sum(row.params for row in self.rows)

    @property
    def inherited(self) -> int:
        """Those of them that are the source's."""
        return sum(row.inherited for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a log or a checkpoint."""
        return {
            "source": self.source,
            "checksum": self.checksum,
            "params": self.params,
            "inherited": self.inherited,
            "share": self.inherited / self.params,
            "rows": [vars(row) for row in self.rows],
        }


@torch.no_grad()
def inherit(model: nn.Sequential, source: nn.Sequential, *, name: str) -> Inheritance:
    """Put what fits of a network's weights into another's, in place; both as `build` makes them.

    The classifier is inherited where both have as many classes, another head where all its shapes are equal. Raises
    CheckpointError if the networks have no row in common. `name` is what the source is called in the report.
    """
    pairs = _paired([name for name, _ in model.named_children()], [name for name, _ in source.named_children()])
    rows = []
    for ours, row in model.named_children():
        theirs = pairs.get(ours)
        inherited = (_head if ours == "head" else _row)(row, source.get_submodule(theirs) if theirs else None)
        params = sum(p.numel() for p in row.parameters())
        rows.append(Row(ours, params, inherited, theirs if inherited else None))
    if not any(row.inherited for row in rows):
        raise CheckpointError(f"{name}: no row of it has the block of ours; inherit from a network of the same family.")
    return Inheritance(name, checksum(source), tuple(rows))


def checksum(model: nn.Module) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of all tensors, by name, shape and bytes."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()[:32]


def recognise(state_dict: dict[str, Tensor], *first: Architecture) -> Architecture:
    """The network that weights are of, for as many classes as they have; CheckpointError if of none that is known.

    Known are `first` and then the published ones. Of several with equal layers, as at other image sizes, the first.
    """
    last = [tensor for name, tensor in state_dict.items() if name.endswith(_CLASSIFIERS)]
    for known in chain(first, map(published, all_names())) if last else ():
        arch = known.at(num_classes=len(last[0]))
        try:
            load_checkpoint(_hollow(arch), {key: tensor.to("meta") for key, tensor in state_dict.items()})
        except CheckpointError:
            continue
        return arch
    raise CheckpointError(
        "these weights fit no published classifier; put the architecture.yaml that they are of beside them."
    )


def _hollow(arch: Architecture) -> nn.Sequential:
    with torch.device("meta"):
        return assembled(arch)


def _paired(ours: list[str], theirs: list[str]) -> dict[str, str]:
    """Our rows to theirs: of the same name, else in the same position if the names there are foreign to both."""
    pairs = {name: name for name in ours if name in theirs}
    for mine, other in zip(ours[:-1], theirs[:-1], strict=False):
        if mine not in theirs and other not in ours:
            pairs[mine] = other
    return pairs


def _copies(row: nn.Module | None) -> list[nn.Module]:
    return list(row) if type(row) is nn.Sequential else [row] if row is not None else []


def _row(row: nn.Module, source: nn.Module | None) -> int:
    """Inherit a row, copy by copy; what has no source is silent where it can be. Gives the parameters inherited."""
    copies, theirs = _copies(row), _copies(source)
    inherited = 0
    for i, copy in enumerate(copies):
        if i < len(theirs) and type(copy) is type(theirs[i]):
            inherited += _layer(copy, theirs[i])
        else:
            _silence(copy)
    return inherited


def _silence(copy: nn.Module) -> None:
    """Have a block add nothing to what came in, if that is how it gives its answer."""
    last = None
    if isinstance(copy, MV2) and copy.residual:
        last = copy.narrow
    elif isinstance(copy, MobileViT) and copy.add_input:
        last = copy.fuse or copy.project
    elif isinstance(copy, MobileViTv2) and copy.add_input:
        last = copy.project
    if last is not None:
        nn.init.zeros_(last.norm.weight)


def _layer(ours: nn.Module, theirs: nn.Module) -> int:
    source = theirs.state_dict()
    params = dict(ours.named_parameters())
    inherited = 0
    for name, tensor in ours.state_dict().items():
        if name in source:
            copy = _across_groups if _only_one_is_dense(name, tensor, source[name]) else _copy
            given = source[name].to(tensor.device)
            count = copy(tensor, given, _axes(ours, name, tensor), _axes(theirs, name, given))
            inherited += count if name in params else 0
        elif name.endswith(("attention.out.weight", "attention.out.bias", "ffn_out.weight", "ffn_out.bias")):
            tensor.zero_()  # of a layer that the source has not: it adds nothing
    return inherited


def _axes(copy: nn.Module, name: str, tensor: Tensor) -> list[Axis]:
    path = name.rpartition(".")[0]
    owner, parent = copy.get_submodule(path), copy.get_submodule(path.rpartition(".")[0])
    axes: list[Axis] = [range(n) for n in tensor.shape]
    if isinstance(parent, SelfAttention):
        of_heads = (range(parent.heads), range(parent.out.in_features // parent.heads))
        if owner is parent.qkv:
            axes[0] = list(product(range(3), *of_heads))
        elif tensor.ndim == 2:
            axes[1] = list(product(*of_heads))
    elif isinstance(parent, SeparableAttention) and owner is parent.qkv:
        axes[0] = _ranges(query=1, key=parent.dim, value=parent.dim)
    elif isinstance(copy, MobileViT) and name == "fuse.conv.weight":
        projected = copy.project.conv.out_channels
        axes[1] = _ranges(**{copy.concat: tensor.shape[1] - int(projected)}, projected=int(projected))
    elif isinstance(copy, MobileViTv2) and name == "project.conv.weight":
        dim = tensor.shape[1] // (2 if copy.fusion else 1)
        axes[1] = _ranges(attended=dim, local=tensor.shape[1] - dim)
    if tensor.ndim == 4:
        axes[2:] = [range(-(n // 2), n - n // 2) for n in tensor.shape[2:]]
    return axes


def _ranges(**sizes: int) -> Axis:
    return [(name, i) for name, size in sizes.items() for i in range(size)]


def _copy(tensor: Tensor, source: Tensor, to: list[Axis], from_: list[Axis]) -> int:
    """Copy what both have; inputs that the source has not are not read at first. Gives how many were copied."""
    if tensor.ndim == 0:
        tensor.copy_(source)  # a counter of batches
        return 1
    here, there = zip(*(_shared(ours, theirs) for ours, theirs in zip(to, from_, strict=True)), strict=True)
    if tensor.ndim > 1:
        tensor[here[0]] = 0
    values = source[_grid(there)]
    tensor[_grid(here)] = values
    return values.numel()


def _only_one_is_dense(name: str, tensor: Tensor, source: Tensor) -> bool:
    return name == "local.conv.weight" and (tensor.shape[1] == 1) != (source.shape[1] == 1)


def _across_groups(tensor: Tensor, source: Tensor, to: list[Axis], from_: list[Axis]) -> int:
    """Between a depthwise convolution and a dense one as wide as it is deep: the latter's diagonal is the former."""
    if source.shape[1] > 1:
        source = source.diagonal().permute(2, 0, 1)[:, None]
        return _copy(tensor, source, to, [from_[0], to[1], *from_[2:]])
    tensor[: source.shape[0]] = 0
    diagonal = tensor.diagonal().permute(2, 0, 1)[:, None]  # a view: what is written there is in the tensor
    return _copy(diagonal, source, [to[0], from_[1], *to[2:]], from_)


def _shared(ours: Axis, theirs: Axis) -> tuple[list[int], list[int]]:
    places = {mark: i for i, mark in enumerate(theirs)}
    pairs = [(i, places[mark]) for i, mark in enumerate(ours) if mark in places]
    return [i for i, _ in pairs], [j for _, j in pairs]


def _grid(indices: Iterable[list[int]]) -> tuple[Tensor, ...]:
    return torch.meshgrid(*map(torch.tensor, indices), indexing="ij")


def _head(head: nn.Module, source: nn.Module | None) -> int:
    if source is None or type(head) is not type(source):
        return 0
    ours, theirs = getattr(head, "linear", None), getattr(source, "linear", None)
    if isinstance(ours, nn.Linear) and isinstance(theirs, nn.Linear):
        fits = ours.out_features == theirs.out_features
    else:
        mine, other = head.state_dict(), source.state_dict()
        fits = {name: mine[name].shape for name in mine} == {name: other[name].shape for name in other}
    return _layer(head, source) if fits else 0
