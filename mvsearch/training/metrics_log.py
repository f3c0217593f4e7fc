"""The log of a training, line by line: metrics.jsonl always, and files for TensorBoard where it is installed."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mvsearch.utils.atomic_write import write_whole

METRICS = "metrics.jsonl"

_NO_CURVES = ("step", "epoch")


class MetricsLog:
    """Appends to `folder/metrics.jsonl`.

    Lines from beyond a step, and evaluations beyond so many epochs, are dropped first: a resumed training writes them
    again.
    """

    def __init__(self, folder: Path, step: int, epochs: int) -> None:
        self.path = folder / METRICS
        lines = [
            line
            for line in read(self.path)
            if line["step"] <= step and ("judged_loss" not in line or line["epoch"] <= epochs)
        ]
        write_whole(self.path, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
        self._tensorboard: Any = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._tensorboard = SummaryWriter(folder / "tensorboard", purge_step=step + 1)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line, whole."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")
        for name in line.keys() - set(_NO_CURVES) if self._tensorboard else ():
            self._tensorboard.add_scalar(name, line[name], line["step"])

    def close(self) -> None:
        """Flush everything to the disk."""
        if self._tensorboard:
            self._tensorboard.close()


def read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log; none if there is no file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
