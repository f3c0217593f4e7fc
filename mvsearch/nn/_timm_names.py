"""The names of parameters in timm's networks, family by family, as rules that rewrite them to ours.

A rule is a pattern and what replaces it, as for `re.sub`. `<2:1>` stands for the second module of the rows `layer2...`.
"""

import re
from collections.abc import Callable, Iterable

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]


def _module(match: re.Match[str]) -> str:
    return f"<{int(match[1]) + 1}:{match[2]}>"


_MOBILEVIT: Rules = (
    (r"^stem\.bn\.", "stem.norm."),
    (r"^final_conv\.", "final."),
    (r"^head\.fc\.", "head.linear."),
    (r"^stages[._](\d+)\.(\d+)\.", _module),
    (r">conv1_1x1\.", ">widen."),
    (r">conv2_kxk\.", ">depthwise."),
    (r">conv3_1x1\.", ">narrow."),
    (r">conv_kxk\.", ">local."),
    (r">conv_1x1\.", ">reduce."),
    (r">transformer\.", ">layers."),
    (r"\.attn\.qkv(_proj)?\.", ".attention.qkv."),
    (r"\.attn\.(proj|out_proj)\.", ".attention.out."),
    (r"\.mlp\.fc1\.", ".ffn_in."),
    (r"\.mlp\.fc2\.", ".ffn_out."),
    (r">conv_proj\.", ">project."),
    (r">conv_fusion\.", ">fuse."),
    (r"\.bn\.(\w+)$", r".norm.\1"),
)

_MOBILENETV4: Rules = (
    (r"^conv_stem\.", "stem.conv."),
    (r"^bn1\.", "stem.norm."),
    (r"^conv_head\.", "head.hidden.conv."),
    (r"^norm_head\.", "head.hidden.norm."),
    (r"^classifier\.", "head.linear."),
    (r"^blocks\.4\.0\.conv\.", "final.conv."),
    (r"^blocks\.4\.0\.bn1\.", "final.norm."),
    (r"^blocks\.(\d+)\.0\.conv_pwl\.", lambda match: f"<{int(match[1]) + 1}:1>conv."),  # a row of its own here
    (r"^blocks\.(\d+)\.0\.bn2\.", lambda match: f"<{int(match[1]) + 1}:1>norm."),
    (r"^blocks\.(\d+)\.(\d+)\.", _module),
    (r">conv_exp\.", ">conv."),
    (r">bn1\.", ">norm."),
    (r">dw_start\.", ">start."),
    (r">pw_exp\.", ">widen."),
    (r">dw_mid\.", ">middle."),
    (r">pw_proj\.", ">narrow."),
    (r"\.bn\.(\w+)$", r".norm.\1"),
)

_FAMILIES: tuple[tuple[str, Rules], ...] = (
    (r"^blocks\.\d+\.\d+\.pw_exp\.", _MOBILENETV4),
    (r"^(stages[._]\d|stem\.bn\.|final_conv\.|head\.fc\.)", _MOBILEVIT),
)
"""What a name in the checkpoint looks like in each family; the first that fits."""


def timm_rules(names: Iterable[str]) -> Rules | None:
    """The rules of the family of timm that the names are of; None if they are of none."""
    names = list(names)
    return next((rules for marker, rules in _FAMILIES if any(re.match(marker, name) for name in names)), None)
