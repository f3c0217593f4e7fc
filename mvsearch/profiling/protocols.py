"""Networks timed as the paper times them, and as we would: Table 8 of arXiv 2209.15159, on whatever is at hand.

    paper   as built, eager, fp32; latency of one image, throughput at a batch of 100
    own     fused (`mvsearch.nn.fuse`), channels last; on a GPU in half precision, one image as a CUDA graph

All networks under all protocols take turns, round after round in a new order, so that what else the machine does, and
how warm it is, meets all alike. So ratios between networks can be taken within a round, and carry over to other
machines of the kind where times do not.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import product
from statistics import fmean
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from torch import nn

from mvsearch.metrics.record import Latency
from mvsearch.profiling.latency import torch_cpu, torch_cuda
from mvsearch.profiling.timing import check, interleaved, summarise
from mvsearch.utils import machine_lock

WARM_CALLS = 10
THROUGHPUT_BATCH = 100
BUSY = 0.05
"""Of the time, how much a processor may be away with others before it is said."""


@dataclass(frozen=True)
class Protocol:
    """A way to time: options of the backends `torch_cpu` and `torch_cuda`; `graph` is for one image a call."""

    name: str
    cpu: Mapping[str, Any]
    cuda: Mapping[str, Any]
    graph: bool = False

    def options(self, device: str, batch: int) -> dict[str, Any]:
        """What the device's backend is asked for."""
        return dict(self.cpu) if device == "cpu" else {**self.cuda, "graph": self.graph and batch == 1}

    def label(self, device: str, batch: int, threads: int) -> str:
        """The hardware, the software and the way that a number depends on."""
        options = self.options(device, batch)
        if device == "cuda":
            return torch_cuda.device(graph=options["graph"], fused=options["fused"])
        layout = ", channels first" if options.get("layout") == torch.contiguous_format else ""
        return torch_cpu.device(threads=threads, fused=options["fused"]) + layout


PAPER = Protocol(
    "paper",
    cpu={"fused": False, "layout": torch.contiguous_format},
    cuda={"fused": False, "precision": "fp32"},
)
OWN = Protocol("own", cpu={"fused": True}, cuda={"fused": True, "precision": "fp16"}, graph=True)


@dataclass(frozen=True)
class Length:
    """How often is timed, and for how long at most a network and protocol on average; three rounds at least."""

    repeats: int
    throughput_repeats: int
    limit_s: float


FULL = Length(repeats=10_000, throughput_repeats=1_000, limit_s=float("inf"))
QUICK = Length(repeats=100, throughput_repeats=10, limit_s=10.0)


@dataclass(frozen=True)
class Network:
    """Any torch network, by a name, and the pixels of a side that it takes: (B, 3, H, W) in."""

    name: str
    model: nn.Module
    image_size: int


@dataclass(frozen=True)
class Timed:
    """A network under a protocol: the summary, and the time of each round."""

    network: str
    protocol: str
    latency: Latency
    times_ms: list[float] = field(repr=False)

    @property
    def mean_ms(self) -> float:
        """The mean over the rounds, which is what the paper prints."""
        return fmean(self.times_ms)

    def ratio_to(self, other: "Timed") -> tuple[float, float, float]:
        """This time over the other's within a round: the median, and the 10th and 90th percentile."""
        ratios = np.divide(self.times_ms, other.times_ms)
        low, middle, high = (float(value) for value in np.percentile(ratios, [10, 50, 90]))
        return middle, low, high


@dataclass(frozen=True)
class Session:
    """What one row of rounds gave.

    `away` is the part of the time in which the processor was not with us, where that can be told (one CPU thread);
    `interrupted`, that it was ended by Ctrl-C before it was whole.
    """

    timed: list[Timed]
    away: float | None
    interrupted: bool

    @property
    def busy(self) -> bool:
        """Whether others used the processor for more than can be passed over."""
        return self.away is not None and self.away > BUSY


def timed(
    networks: Sequence[Network],
    protocols: Sequence[Protocol] = (PAPER, OWN),
    *,
    device: str = "cpu",
    batch: int = 1,
    threads: int = 1,
    repeats: int = QUICK.repeats,
    limit_s: float = QUICK.limit_s,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[int, int], object] = lambda _done, _of: None,
) -> Session:
    """Time one batch of each network under each protocol, in turns, alone on the machine; `device` is cpu or cuda.

    A pair of network and protocol may take `limit_s` on average. Ctrl-C after the first round keeps what there is.
    Raises PlanError for what cannot be measured, EnvironmentFault without a GPU where one is asked for.
    """
    for network in networks:
        check(image_size=network.image_size, batch=batch, repeats=repeats, threads=threads)
    pairs = {str(i): pair for i, pair in enumerate(product(networks, protocols))}
    labels = {protocol.name: protocol.label(device, batch, threads) for protocol in protocols}
    planned = 0

    def heard(done: int, of: int) -> None:
        nonlocal planned
        planned = of
        progress(done, of)

    with ExitStack() as stack:
        calls = {}
        for key, (network, protocol) in pairs.items():
            say(f"batch {batch}: making {network.name} ready for the {protocol.name} protocol")
            calls[key] = stack.enter_context(_ready(network, protocol, device, batch, threads))
        say(f"batch {batch}: waiting until nothing is trained or timed on this machine")
        stack.enter_context(machine_lock.exclusive())
        say(f"batch {batch}: warming up")
        begin = perf_counter(), process_time()
        times_ms = interleaved(
            calls,
            repeats=repeats,
            limit_s=limit_s * len(calls),
            settle=device == "cpu" and threads > 1,
            warm_calls=WARM_CALLS,
            keep=True,
            progress=heard,
        )
        wall_s, cpu_s = perf_counter() - begin[0], process_time() - begin[1]

    def latency(key: str, network: Network, protocol: Protocol) -> Latency:
        return summarise(
            times_ms[key],
            batch=batch,
            image_size=network.image_size,
            threads=threads,
            precision=protocol.options(device, batch).get("precision", "fp32"),
            backend=f"torch_{device}",
            device=labels[protocol.name],
        )

    found = [Timed(pair[0].name, pair[1].name, latency(key, *pair), times_ms[key]) for key, pair in pairs.items()]
    away = max(0.0, 1 - cpu_s / wall_s) if device == "cpu" and threads == 1 else None
    return Session(found, away, interrupted=len(found[0].times_ms) < planned)


def _ready(
    network: Network, protocol: Protocol, device: str, batch: int, threads: int
) -> AbstractContextManager[Callable[[], object]]:
    backend = torch_cpu.ready if device == "cpu" else torch_cuda.launched
    return backend(network.model, network.image_size, batch=batch, threads=threads, **protocol.options(device, batch))
