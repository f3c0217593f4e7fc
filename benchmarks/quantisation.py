"""int8 files in onnxruntime beside the float32 file: time, size and largest difference, by what is quantised.

All files of a network run in one process on one thread, interleaved; the time is that of the processor, and ratios are
taken within a round. Weights and images are random: they hardly affect the time. The report of an export has accuracy.

    python benchmarks/quantisation.py mobilevitv3_xxs@64 benchmarks/mobilevitv3_xxs_relu_bn.yaml@224
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import onnx
from rich.console import Console
from rich.table import Table

from mvsearch.export.formats import _onnx_int8, load_format
from mvsearch.export.formats._onnx_quantiser import OnnxQuantiser
from mvsearch.export.int8 import SCHEMES as INT8_SCHEMES
from mvsearch.export.model import ExportModel
from mvsearch.export.runtime import Runner, suppress_output
from mvsearch.study.resolve import find_architecture

NETWORKS = (
    "mobilevitv3_xxs@64",
    "mobilevitv3_xxs@224",
    "mobilevitv2_0.5@64",
    "mobilevitv2_0.5@224",
    "mobilevitv3_s@224",
)
Write = Callable[[Path, Path, np.ndarray], None]


class _Images:
    """What reads the images for the quantiser, eight at a time."""

    def __init__(self, images: np.ndarray) -> None:
        self.batches = iter(np.array_split(images, -(-len(images) // 8)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch as the input of a session; None after the last."""
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


def everything_in_int8(float32: Path, path: Path, images: np.ndarray) -> None:
    """Every operator that the quantiser knows, with signed activations: the form before."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared, types = (
        path.with_suffix(".prepared"),
        {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8},
    )
    quant_pre_process(float32, prepared, skip_symbolic_shape=True)
    calibration = _Images(images)
    quantize_static(prepared, path, calibration, quant_format=QuantFormat.QDQ, per_channel=True, **types)


def dynamic(float32: Path, path: Path, _images: np.ndarray) -> None:
    """Matrix products, with ranges that the runtime takes from each batch."""
    from onnxruntime.quantization import quantize_dynamic

    names = [node.name for node in onnx.load(float32).graph.node if node.op_type in ("MatMul", "Gemm")]
    names += [f"{name}_MatMul" for name in names]  # the quantiser turns Gemm into MatMul
    quantize_dynamic(float32, path, nodes_to_quantize=names, per_channel=True)


def channel(float32: Path, path: Path, images: np.ndarray) -> None:
    """Every operator that the quantiser knows, with unsigned activations: the scheme `channel`."""
    with TemporaryDirectory() as folder:
        OnnxQuantiser(float32, Path(folder), images).write(path, INT8_SCHEMES["channel"])


def with_thresholds(matrix_macs: float, matrix_weights: float, convolution_macs: float) -> Write:
    """The form of exports, with other thresholds."""

    def write(float32: Path, path: Path, images: np.ndarray) -> None:
        limits = _onnx_int8.Limits(matrix_macs, matrix_weights, convolution_macs)
        _onnx_int8.quantise(float32, path, images, limits)

    return write


NEVER = float("inf")
SCHEMES: dict[str, Write] = {
    "all operators, int8 activations": everything_in_int8,
    "all operators (channel)": channel,
    "matrix products, dynamic": dynamic,
    "matrix products, static": with_thresholds(0, 0, NEVER),
    "matrix products and convolutions": with_thresholds(0, 0, 0),
    "weights only": with_thresholds(NEVER, NEVER, NEVER),
    "large ones (exported)": _onnx_int8.quantise,
}


def write_files(network: str, folder: Path, only: str) -> Iterator[tuple[str, Path]]:
    """The files of the schemes whose name contains `only`, float32 first."""
    name, size = network.rsplit("@", 1)
    float32 = folder / "float32.onnx"
    load_format("onnx").export(ExportModel.of(find_architecture(name), image_size=int(size)), float32)
    yield "float32", float32
    images = np.random.default_rng(0).standard_normal((8, 3, int(size), int(size)), dtype=np.float32)
    for i, (scheme, write) in enumerate(SCHEMES.items()):
        path = folder / f"{i}.onnx"
        if only not in scheme:
            continue
        with suppress_output():
            write(float32, path, images)
        yield scheme, path


def measure(runners: dict[str, Runner], image: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of the processor in each round, by scheme; each run follows an untimed one of the same file."""
    times_ms: dict[str, list[float]] = {name: [] for name in runners}
    order, shuffle = list(runners), random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            runners[name](image)
            begin = time.process_time()
            runners[name](image)
            times_ms[name].append((time.process_time() - begin) * 1e3)
    return times_ms


@click.command(help=__doc__)
@click.argument("networks", nargs=-1)
@click.option("--only", default="", help="Time only schemes whose name contains this, beside float32.")
@click.option("--rounds", type=click.IntRange(5), default=60, show_default=True)
def main(networks: tuple[str, ...], only: str, rounds: int) -> None:
    """Measure and print."""
    table = Table("network", "what is int8", "ms", "of float32", "10 to 90 %", "MB", "largest difference")
    for network in networks or NETWORKS:
        Console(stderr=True).print(f"{network} ...")
        with TemporaryDirectory() as folder:
            paths = dict(write_files(network, Path(folder), only))
            runners = {name: load_format("onnx").runtime.load_runtime(path) for name, path in paths.items()}
            side = int(network.rsplit("@", 1)[1])
            image = np.random.default_rng(1).standard_normal((1, 3, side, side), dtype=np.float32)
            times_ms = measure(runners, image, rounds)
            expected = runners["float32"](image)[0]
            table.add_section()
            for name, path in paths.items():
                ratios = np.divide(times_ms[name], times_ms["float32"])
                low, middle, high = np.percentile(ratios, [10, 50, 90])
                difference = np.abs(runners[name](image)[0] - expected).max() / expected.std()
                cells = (f"{statistics.median(times_ms[name]):.2f}", f"{middle:.2f}", f"{low:.2f} to {high:.2f}")
                table.add_row(network, name, *cells, f"{path.stat().st_size / 1e6:.2f}", f"{difference:.2f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
