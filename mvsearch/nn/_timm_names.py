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

_CONV_NORM: Rules = ((r"\.c\.weight$", ".conv.weight"), (r"\.bn\.(\w+)$", r".norm.\1"))


def _after_downsampling(match: re.Match[str]) -> str:
    """A block of a stage, whose rows begin with its downsampling, if it has one."""
    return f"<{int(match[1]) + 1}:{int(match[2]) + (match[1] != '0')}>"


_REPVIT: Rules = (
    (r"^stem\.conv1\.", "stem."),
    (r"^stem\.conv2\.", "stem2."),
    (r"^head\.head\.bn\.", "head.norm."),
    (r"^head\.(head\.)?l\.", "head.linear."),
    (r"^head\.bn\.", "head.norm."),
    (r"^stages[._](\d+)\.downsample\.", lambda match: f"<{int(match[1]) + 1}:0>"),
    (r"^stages[._](\d+)\.blocks\.(\d+)\.", _after_downsampling),
    (r">pre_block\.channel_mixer\.", ">before."),
    (r">pre_block\.", ">"),
    (r">token_mixer\.conv\.", ">mixer.wide."),
    (r">token_mixer\.conv1\.", ">mixer.point."),
    (r">token_mixer\.bn\.", ">mixer.norm."),
    (r">se\.fc1\.", ">se.reduce."),
    (r">se\.fc2\.", ">se.restore."),
    (r">spatial_downsample\.", ">down.0."),
    (r">channel_downsample\.", ">down.1."),
    (r">(ffn|channel_mixer)\.", ">channel."),
    (r"(>before|>channel)\.conv1\.", r"\1.widen."),
    (r"(>before|>channel)\.conv2\.", r"\1.narrow."),
    *_CONV_NORM,
)

_SHVIT: Rules = (
    (r"^patch_embed[._]0\.", "stem."),
    (r"^patch_embed[._]2\.", "stem2."),
    (r"^patch_embed[._]4\.", "stem3."),
    (r"^patch_embed[._]6\.", "stem4."),
    (r"^head\.bn\.", "head.norm."),
    (r"^head\.l\.", "head.linear."),
    (r"^stages[._](\d+)\.downsample\.0\.m\.", lambda match: f"<{int(match[1]) + 1}:0>before.0.0."),
    (r"^stages[._](\d+)\.downsample\.1\.m\.", lambda match: f"<{int(match[1]) + 1}:0>before.1.0."),
    (r"^stages[._](\d+)\.downsample\.2\.", lambda match: f"<{int(match[1]) + 1}:0>down."),
    (r"^stages[._](\d+)\.downsample\.3\.m\.", lambda match: f"<{int(match[1]) + 1}:0>local.0."),
    (r"^stages[._](\d+)\.downsample\.4\.m\.", lambda match: f"<{int(match[1]) + 1}:0>ffn.0."),
    (r"^stages[._](\d+)\.blocks\.(\d+)\.", _after_downsampling),
    (r">down\.conv1\.", ">down.0."),
    (r">down\.conv2\.", ">down.1."),
    (r">down\.se\.fc1\.", ">down.2.reduce."),
    (r">down\.se\.fc2\.", ">down.2.restore."),
    (r">down\.conv3\.", ">down.3."),
    (r">conv\.m\.", ">local.0."),
    (r">mixer\.m\.pre_norm\.", ">attention.0.norm."),
    (r">mixer\.m\.qkv\.", ">attention.0.qkv."),
    (r">mixer\.m\.proj\.1\.", ">attention.0.project."),
    (r">ffn\.m\.", ">ffn.0."),
    (r"\.pw1\.", ".widen."),
    (r"\.pw2\.", ".narrow."),
    *_CONV_NORM,
)

_STARNET: Rules = (
    (r"^stem[._]0\.", "stem."),
    (r"^norm\.", "head.norm."),
    (r"^head\.(weight|bias)$", r"head.linear.\1"),
    (r"^stages[._](\d+)\.(\d+)\.", _module),
    (r">dwconv\.", ">first."),
    (r">f1\.conv\.", ">gate."),
    (r">f2\.conv\.", ">value."),
    (r">g\.", ">narrow."),
    (r">dwconv2\.conv\.", ">last."),
    (r"^stem\.bn\.", "stem.norm."),
    (r"(\.|>)bn\.(\w+)$", r"\1norm.\2"),
)

_FAMILIES: tuple[tuple[str, Rules], ...] = (
    (r"^blocks\.\d+\.\d+\.pw_exp\.", _MOBILENETV4),
    (r"^stages[._]\d+\.blocks\.\d+\.token_mixer\.", _REPVIT),
    (r"^stages[._]\d+\.blocks\.\d+\.conv\.m\.", _SHVIT),
    (r"^stages[._]\d+\.\d+\.dwconv2\.", _STARNET),
    (r"^(stages[._]\d|stem\.bn\.|final_conv\.|head\.fc\.)", _MOBILEVIT),
)
"""What a name in the checkpoint looks like in each family; the first that fits."""


def timm_rules(names: Iterable[str]) -> Rules | None:
    """The rules of the family of timm that the names are of; None if they are of none."""
    names = list(names)
    return next((rules for marker, rules in _FAMILIES if any(re.match(marker, name) for name in names)), None)
