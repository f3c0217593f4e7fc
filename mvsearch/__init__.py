"""Neural architecture scaling and search over the MobileViT family.

Importing this loads no torch; every name comes in with its room when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mvsearch.architecture import Architecture
    from mvsearch.models import published
    from mvsearch.pareto import front
    from mvsearch.plan import Plan
    from mvsearch.space import SearchSpace
    from mvsearch.study import Study

__version__ = "0.1.0"
__all__ = ["Architecture", "Plan", "SearchSpace", "Study", "front", "published"]

_HOMES = {
    "Architecture": "mvsearch.architecture",
    "Plan": "mvsearch.plan",
    "SearchSpace": "mvsearch.space",
    "Study": "mvsearch.study",
    "front": "mvsearch.pareto",
    "published": "mvsearch.models",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mvsearch' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
