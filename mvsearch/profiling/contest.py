"""The family and its rivals timed side by side: all take turns, one way for all."""

from collections.abc import Callable, Sequence

from mvsearch.arch import published as models
from mvsearch.baselines import rival
from mvsearch.baselines.build import build as build_rival
from mvsearch.nn import build
from mvsearch.profiling.protocols import Network, Protocol, Session, timed

EVEN = Protocol("even", cpu={"fused": False}, cuda={"fused": False, "precision": "fp32"})
"""As built, fp32, channels last: our own protocol would fuse our blocks and leave a rival's as they are."""


def contest(
    names: Sequence[str],
    *,
    device: str = "cpu",
    threads: int = 1,
    repeats: int = 30,
    limit_s: float = 30.0,
    say: Callable[[str], None],
    progress: Callable[[int, int], object] = lambda _done, _of: None,
) -> Session:
    """Time one image of published networks and rivals by name, each at its own size; on `cpu` or `cuda`.

    A network may take `limit_s` on average. Raises ArchitectureError for a name that neither side has, EnvironmentFault
    where timm is needed and cannot help.
    """
    say(f"building {len(names)} networks")
    networks = [entrant(name) for name in names]
    return timed(
        networks,
        [EVEN],
        device=device,
        threads=threads,
        repeats=repeats,
        limit_s=limit_s,
        say=say,
        progress=progress,
    )


def entrant(name: str) -> Network:
    """A published network or a rival by name, with fresh weights, at its own image size."""
    if name in models.model_names():
        arch = models.published(name)
        return Network(name, build(arch, seed=0), arch.image_size)
    found = rival(name)
    return Network(name, build_rival(found), found.image_size)
