"""Networks timed under protocols: as the paper does (Table 8 of arXiv 2209.15159), and as they run fastest here.

paper   as built, eager, fp32; latency of one image, throughput at a batch of 100
own     fused (`mvsearch.nn.fuse`), channels last; on a GPU in half precision, one image as a CUDA graph
even    as built, eager, fp32, channels last: no network of any family is fused
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from torch import nn

from mvsearch.arch.published import model_names, published
from mvsearch.baselines import baseline
from mvsearch.baselines.build import build as build_baseline
from mvsearch.nn import build
from mvsearch.profiling.benchmark import BenchmarkResult, Case, backend_case, run_benchmark
from mvsearch.profiling.latency import TimingOptions, load_backend
from mvsearch.utils.progress import Progress, no_progress

WARM_CALLS = 10


@dataclass(frozen=True)
class TimingProtocol:
    """Options of the backends `torch_cpu` and `torch_cuda`. CUDA graphs are used for one image at a time only."""

    name: str
    cpu: TimingOptions
    cuda: TimingOptions

    def options(self, device: str, batch: int, threads: int) -> TimingOptions:
        """The options for a device, `cpu` or `cuda`."""
        options = self.cpu if device == "cpu" else self.cuda
        return replace(options, batch=batch, threads=threads, graph=options.graph and batch == 1)


PAPER = TimingProtocol("paper", cpu=TimingOptions(channels_last=False), cuda=TimingOptions())
OWN = TimingProtocol("own", cpu=TimingOptions(fused=True), cuda=TimingOptions(fused=True, precision="fp16", graph=True))
EVEN = TimingProtocol("even", cpu=TimingOptions(), cuda=TimingOptions())


@dataclass(frozen=True)
class Rounds:
    """The number of rounds, and the seconds that a case may take on average; three rounds at least."""

    repeats: int
    throughput_repeats: int
    limit_s: float


FULL = Rounds(repeats=10_000, throughput_repeats=1_000, limit_s=float("inf"))
QUICK = Rounds(repeats=100, throughput_repeats=10, limit_s=10.0)


@dataclass(frozen=True)
class NamedNetwork:
    """A torch network with a name and its image size: (B, 3, H, W) in."""

    name: str
    model: nn.Module
    image_size: int


def load_network(name: str) -> NamedNetwork:
    """A published network or a baseline by name, with fresh weights, at its own image size.

    Raises ArchitectureError for an unknown name, EnvironmentFault where a baseline needs timm and it is missing.
    """
    if name in model_names():
        arch = published(name)
        return NamedNetwork(name, build(arch.deploy(), seed=0), arch.image_size)
    network = baseline(name)
    return NamedNetwork(name, build_baseline(network), network.image_size)


def time_networks(
    networks: Sequence[NamedNetwork],
    protocols: Sequence[TimingProtocol] = (PAPER, OWN),
    *,
    device: str = "cpu",
    batch: int = 1,
    threads: int = 1,
    repeats: int = QUICK.repeats,
    limit_s: float = QUICK.limit_s,
    progress: Progress = no_progress,
) -> BenchmarkResult:
    """Time one batch of every network under every protocol, interleaved; `device` is `cpu` or `cuda`.

    Raises PlanError for what cannot be measured, EnvironmentFault for a missing GPU.
    """
    backend = load_backend(f"torch_{device}")

    def case(network: NamedNetwork, protocol: TimingProtocol) -> Case:
        options = protocol.options(device, batch, threads)
        return backend_case(network.name, network.model, network.image_size, backend, options, variant=protocol.name)

    cases = [case(network, protocol) for network, protocol in product(networks, protocols)]
    return run_benchmark(
        cases,
        repeats=repeats,
        limit_s=limit_s,
        warm_calls=WARM_CALLS,
        progress=progress,
    )
