"""Time a file on this machine: onnxruntime for .onnx, executorch for .pte, ai-edge-litert for .tflite.

python time_file.py FILE THREADS REPEATS     prints one line of JSON, as `latency: {backend: command}` reads it
Needs no mvsearch, so that it can run on a board.
"""

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

WARM_CALLS = 5


def load_onnx(file: str, threads: int) -> tuple[Callable[[], Any], str]:
    """A call that runs one image of zeros, and the package."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    shape = [1 if not isinstance(size, int) else size for size in image.shape]
    feed = {image.name: np.zeros(shape, np.float32)}
    return lambda: session.run(None, feed), "onnxruntime"


def load_executorch(file: str, threads: int) -> tuple[Callable[[], Any], str]:
    """A call that runs one image of zeros, and the package."""
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    _unsafe_reset_threadpool(threads)
    method = Runtime.get().load_program(Path(file)).load_method("forward")
    image = torch.zeros(tuple(method.metadata.input_tensor_meta(0).sizes()))
    return lambda: method.execute([image]), "executorch"


def load_litert(file: str, threads: int) -> tuple[Callable[[], Any], str]:
    """A call that runs one image of zeros, and the package."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=file, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter.invoke, "ai-edge-litert"


LOADERS = {".onnx": load_onnx, ".pte": load_executorch, ".tflite": load_litert}


def milliseconds(call: Callable[[], Any], repeats: int) -> list[float]:
    """The time of each of so many calls, after some that warm up."""
    times = []
    for _ in range(WARM_CALLS + repeats):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times[WARM_CALLS:])


def processor() -> str:
    """The name of the processor, or of the board."""
    for path, key in (("/proc/device-tree/model", ""), ("/proc/cpuinfo", "model name")):
        try:
            lines = Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n").split("\n")
        except OSError:
            continue
        for line in lines:
            if line.startswith(key):
                return line.partition(":")[2].strip() if key else line
    return platform.machine()


def main() -> None:
    """Time the file and print the line."""
    file, threads, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    call, package = LOADERS[Path(file).suffix](file, threads)
    times = milliseconds(call, repeats)
    print(
        json.dumps(
            {
                "latency_ms": statistics.median(times),
                "latency_p10_ms": times[len(times) // 10],
                "latency_p90_ms": times[len(times) * 9 // 10],
                "device": f"{platform.node()} ({processor()})",
                "runtime": package,
                "version": version(package),
                "threads": threads,
            }
        )
    )


if __name__ == "__main__":
    main()
