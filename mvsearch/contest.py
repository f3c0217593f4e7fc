"""Networks of the family and their rivals timed side by side: all take turns, in the harness that times ours."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from torch import nn

from mvsearch import machine, models
from mvsearch.latency import torch_cpu
from mvsearch.latency._timing import check, interleaved, summarise
from mvsearch.nn import build
from mvsearch.record import Latency
from mvsearch.rivals import rival
from mvsearch.rivals.build import build as build_rival


def contest(
    names: Sequence[str],
    *,
    batch: int = 1,
    threads: int = 1,
    repeats: int = 50,
    limit_s: float = 30.0,
    say: Callable[[str], None],
    progress: Callable[[int, int], object] = lambda _done, _of: None,
) -> dict[str, Latency]:
    """Time published networks and rivals by name, each at its own image size: eager torch on the CPU, fp32.

    A network may take `limit_s` on average. `say` hears what is being done, `progress` of every round before it begins.
    Raises ArchitectureError for a name that neither side has, EnvironmentFault where timm is needed and cannot help.
    """
    networks = {}
    for name in names:
        say(f"building {name}")
        networks[name] = entrant(name)
    for _, image_size in networks.values():
        check(image_size=image_size, batch=batch, repeats=repeats, threads=threads)
    with ExitStack() as stack:
        calls = {
            name: stack.enter_context(torch_cpu.ready(network, image_size, batch=batch, threads=threads))
            for name, (network, image_size) in networks.items()
        }
        say("warming up")
        stack.enter_context(machine.alone())
        times_ms = interleaved(
            calls, repeats=repeats, limit_s=limit_s * len(calls), settle=threads > 1, progress=progress
        )
    return {
        name: summarise(
            times_ms[name],
            batch=batch,
            image_size=image_size,
            threads=threads,
            precision="fp32",
            backend="torch_cpu",
            device=torch_cpu.device(threads=threads),
        )
        for name, (_, image_size) in networks.items()
    }


def entrant(name: str) -> tuple[nn.Module, int]:
    """A published network or a rival by name, with fresh weights, and its image size."""
    if name in models.model_names():
        arch = models.published(name)
        return build(arch, seed=0), arch.image_size
    found = rival(name)
    return build_rival(found), found.image_size
