"""What a training said, line by line: metrics.jsonl always, and files for TensorBoard where it is installed."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mvsearch.utils.atomic_write import write_whole

_NO_CURVES = ("step", "epoch")


class Journal:
    """Appends to `folder/metrics.jsonl`. What stands there from beyond a step, or of judging more epochs, is dropped
    first, to be said again."""

    def __init__(self, folder: Path, step: int, epochs: int) -> None:
        self.path = folder / "metrics.jsonl"
        kept = [
            line
            for line in read(self.path)
            if line["step"] <= step and ("judged_loss" not in line or line["epoch"] <= epochs)
        ]
        write_whole(self.path, "".join(f"{json.dumps(line)}\n" for line in kept).encode())
        self.board: Any = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(folder / "tensorboard", purge_step=step + 1)

    def write(self, line: dict[str, Any]) -> None:
        """One line, whole at once."""
        with self.path.open("a") as file:
            file.write(f"{json.dumps(line)}\n")
        for name in line.keys() - set(_NO_CURVES) if self.board else ():
            self.board.add_scalar(name, line[name], line["step"])

    def close(self) -> None:
        """The last is on the disk."""
        if self.board:
            self.board.close()


def read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal; none if there is no file."""
    if not path.exists():
        return []
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
