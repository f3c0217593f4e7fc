"""Checkpoints with the authors' names, timm's or our own. Names are rewritten; shapes must be equal."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mvsearch.errors import CheckpointError
from mvsearch.nn._merging import JOINED, join_classifiers, merge_blocks
from mvsearch.nn._timm_names import Rules, timm_rules

_AUTHORS: Rules = (
    (r"^encoder\.", ""),
    (r"^seg_head\.aspp\.aspp_layer\.convs\.4\.aspp_pool\.conv_1x1\.block\.", "head.mean."),
    (r"^seg_head\.(aspp\.aspp_layer\.convs\.(\d)|psp_layer\.psp_branches\.(\d)\.1)\.block\.", r"head.branches.\2\3."),
    (r"^seg_head\.(aspp\.aspp_layer\.project|psp_layer\.fusion\.0)\.block\.", "head.project."),
    (r"^seg_head\.classifier\.(classifier\.)?block\.conv\.", "head.classifier."),
    (r"^seg_head\.aux_head\.0\.block\.", "head.auxiliary.conv."),
    (r"^seg_head\.aux_head\.2\.block\.conv\.", "head.auxiliary.classifier."),
    (r"^extra_layers\.os_(\d+)\.", lambda match: f"head.shrink.{int(match[1]).bit_length() - 7}."),  # 64 is the first
    (r"^extra_layers\.os_-1\.1\.block\.", "head.shrink.3."),
    (r"^ssd_heads\.(\d)\.proj_layer\.block\.", r"head.predict.\1.widen."),
    (r"^ssd_heads\.(\d)\.loc_cls_layer\.dw_conv\.block\.", r"head.predict.\1.depthwise."),
    (r"^ssd_heads\.(\d)\.loc_cls_layer\.(pw_conv\.)?block\.conv\.", r"head.predict.\1.pointwise."),
    (r"^(head\.shrink\.\d)\.dw_conv\.block\.", r"\1.depthwise."),
    (r"^(head\.shrink\.\d)\.pw_conv\.block\.", r"\1.pointwise."),
    (r"^conv_1\.block\.", "stem."),
    (r"^conv_1x1_exp\.block\.", "final."),
    (r"^classifier\.(fc|1)\.", "head.linear."),
    (r"^layer_(\d+)\.(\d+)\.", r"<\1:\2>"),
    (r">block\.exp_1x1\.block\.", ">widen."),
    (r">block\.conv_3x3\.block\.", ">depthwise."),
    (r">block\.red_1x1\.block\.", ">narrow."),
    (r">local_rep\.(conv_3x3|0)\.block\.", ">local."),
    (r">local_rep\.(conv_1x1|1)\.block\.conv\.", ">reduce."),
    (r">global_rep\.(\d+)\.(weight|bias)$", r">norm.\2"),
    (r">global_rep\.(\d+)\.", r">layers.\1."),
    (r"\.pre_norm_(mha|attn)\.0\.", ".norm1."),
    (r"\.pre_norm_(mha|attn)\.1\.qkv_proj\.(block\.conv\.)?", ".attention.qkv."),
    (r"\.pre_norm_(mha|attn)\.1\.out_proj\.(block\.conv\.)?", ".attention.out."),
    (r"\.pre_norm_ffn\.0\.", ".norm2."),
    (r"\.pre_norm_ffn\.1\.(block\.conv\.)?", ".ffn_in."),
    (r"\.pre_norm_ffn\.[34]\.(block\.conv\.)?", ".ffn_out."),
    (r">conv_proj\.block\.", ">project."),
    (r">fusion\.block\.", ">fuse."),
)

AUXILIARY = "head.auxiliary."
"""Parameters that only training needs begin with this."""

COUNTER = "num_batches_tracked"
"""Counters of batch norms end with this; they change no output."""

STATISTICS = ("running_mean", "running_var", COUNTER)
"""What batch norms store beside their parameters ends with one of these."""


def load_checkpoint(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Load weights with the authors' names, timm's or ours into a network that `build` returned.

    An auxiliary classifier, which only training needs, is skipped if the network has none; branches are merged if it
    has none, and two classifiers of timm become their mean. Counters of batches that are
    missing become 0. Raises CheckpointError, and changes nothing, if another name is missing or unknown or if a shape
    differs.
    """
    state_dict, _ = merge_for(model, state_dict)
    own, renamed = model.state_dict(), rename_parameters(model, state_dict)
    if not any(ours.startswith(AUXILIARY) for ours in own):
        renamed = {ours: name for ours, name in renamed.items() if not ours.startswith(AUXILIARY)}
    counters = {ours: torch.zeros_like(own[ours]) for ours in own if ours.endswith(COUNTER) and ours not in renamed}
    for ours in own:
        if ours not in renamed and ours not in counters:
            raise CheckpointError(f"the checkpoint has no weights for {ours!r}; it is of another architecture.")
    for ours, name in renamed.items():
        if ours not in own:
            raise CheckpointError(
                f"this network has no parameter for {name!r}; the checkpoint belongs to another architecture."
            )
        if own[ours].shape != state_dict[name].shape:
            raise CheckpointError(
                f"{name!r} has shape {tuple(state_dict[name].shape)}, the network's {ours!r} has "
                f"{tuple(own[ours].shape)}; build the architecture that the checkpoint belongs to."
            )
    model.load_state_dict(counters | {ours: state_dict[name] for ours, name in renamed.items()})


def merge_for(model: nn.Module, state_dict: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """Weights without the parts for training that the network does not have; and in words what was merged."""
    joined = join_classifiers(state_dict)
    notes = () if joined is state_dict else (JOINED,)
    names = rename_parameters(model, joined)
    merged, parts = merge_blocks(model, {ours: joined[name] for ours, name in names.items()})
    return (merged, (*notes, *parts)) if parts else (joined, notes)


def rename_parameters(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """From our names of parameters to those of a checkpoint; raises CheckpointError if two have the same one."""
    rows, names = _row_names(model.state_dict()), list(names)
    rules = timm_rules(names) or _AUTHORS
    renamed: dict[str, str] = {}
    for name in names:
        first = renamed.setdefault(_translate(name, rules, rows), name)
        if first != name:
            raise CheckpointError(
                f"{name!r} and {first!r} name one parameter; the checkpoint is of another architecture."
            )
    return renamed


def _row_names(own: Iterable[str]) -> dict[tuple[int, int], str]:
    """From (stage, position) to the module's name: rows `layer3_down` and `layer3` are (3, 0) and (3, 1)."""
    modules: dict[int, dict[str, None]] = {}
    for key in own:
        if match := re.match(r"(layer(\d+)\w*(?:\.\d+(?=\.))?)\.", key):
            modules.setdefault(int(match[2]), {})[match[1]] = None
    return {(stage, i): name for stage, names in modules.items() for i, name in enumerate(names)}


def _translate(name: str, rules: Rules, rows: dict[tuple[int, int], str]) -> str:
    for pattern, ours in rules:
        name = re.sub(pattern, ours, name)
    match = re.match(r"<(\d+):(\d+)>", name)
    if match is None:
        return name
    row = rows.get((int(match[1]), int(match[2])), f"layer{match[1]}[{match[2]}]")
    return f"{row}.{name[match.end() :]}"
