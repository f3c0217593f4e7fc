"""The process that `rss` measures: builds a network, answers one batch, prints its resident memory in MiB."""

import json
import sys
from pathlib import Path

import torch

from mvsearch.arch.architecture import Architecture
from mvsearch.nn import build

STATUS = Path("/proc/self/status")


def resident_mib(field: str) -> float:
    """A field of the process's status: VmRSS is resident memory, VmHWM its peak since the program was started.

    `getrusage` is not used: its peak includes that of the parent process.
    """
    line = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Reads the request from stdin, and writes the resident memory before the network and the peak to stdout."""
    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    before = resident_mib("VmRSS")
    model = build(Architecture.from_dict(request["architecture"]).deploy(), seed=0).eval()
    size = request["image_size"]
    with torch.inference_mode():
        model(torch.zeros(request["batch"], 3, size, size))
    json.dump([before, resident_mib("VmHWM")], sys.stdout)


if __name__ == "__main__":
    main()
