"""Neural architecture search and scaling for MobileViT and other small vision networks.

Importing this loads no torch; a name loads its module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mvsearch._version import __version__

if TYPE_CHECKING:
    from mvsearch.arch.architecture import Architecture
    from mvsearch.arch.published import published
    from mvsearch.metrics.pareto import front
    from mvsearch.space.search_space import SearchSpace
    from mvsearch.study.plan import Plan
    from mvsearch.study.study import Study

__all__ = ["Architecture", "Plan", "SearchSpace", "Study", "__version__", "front", "published"]

_HOMES = {
    "Architecture": "mvsearch.arch.architecture",
    "Plan": "mvsearch.study.plan",
    "SearchSpace": "mvsearch.space.search_space",
    "Study": "mvsearch.study.study",
    "front": "mvsearch.metrics.pareto",
    "published": "mvsearch.arch.published",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mvsearch' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
