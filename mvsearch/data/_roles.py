"""Which part of a data set a folder or a shard is, by its name.

A name has a role if one of its words is `train`, `test`, `val` or another usual word for them: `Training`,
`seg_train`, `train2017`, `validation-images`, `TestSet`. A name without other words than these and fillers, such as
`set` or `images`, is certain; others, such as `bullet_train`, have a role only together with a partner.
"""

import re
from dataclasses import dataclass

_WORDS = {
    "train": ("train", "training", "trn", "trainval"),
    "test": ("test", "testing", "tst", "holdout", "heldout"),
    "val": ("val", "valid", "validation", "validate", "dev", "eval", "evaluation", "evaluate"),
    "unlabelled": ("unlabeled", "unlabelled", "extra", "pred", "predict", "prediction", "predictions", "submission"),
}
_ROLES = {word: role for role, words in _WORDS.items() for word in words}
_FILLERS = ("set", "data", "dataset", "images", "image", "imgs", "img", "photos", "pictures", "pics", "split", "part")


@dataclass(frozen=True)
class Role:
    """The part that a name stands for, `train`, `test`, `val` or `unlabelled`, and the name's other words."""

    part: str
    affix: tuple[str, ...]


def role_of(name: str) -> Role | None:
    """The role of a name, if it has one.

    >>> role_of("seg_train")
    Role(part='train', affix=('seg',))
    >>> role_of("TestImages2017")
    Role(part='test', affix=())
    """
    words = [_strip_filler(word) for word in re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))]
    parts = {_ROLES[word] for word in words if word in _ROLES}
    if parts == {"train", "val"}:  # as VOC's trainval
        parts = {"train"}
    if len(parts) != 1:
        return None
    return Role(parts.pop(), tuple(word for word in words if word not in _ROLES and word not in _FILLERS))


def _strip_filler(word: str) -> str:
    """The word in lower case; `trainset` becomes `train`."""
    word = word.lower()
    for filler in _FILLERS:
        if word.endswith(filler) and word.removesuffix(filler) in _ROLES:
            return word.removesuffix(filler)
    return word
