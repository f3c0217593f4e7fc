"""The wording of the most important error messages, in fixtures/messages.txt. Everywhere else tests check values.

MVSEARCH_UPDATE_MESSAGES=1 pytest tests/cli/test_messages.py     writes the file anew; read the difference
"""

import os
import sqlite3
from pathlib import Path

from command import Finished

from mvsearch.study.plan import Plan
from mvsearch.study.study import Study

MESSAGES = Path(__file__).parents[1] / "fixtures" / "messages.txt"
FILES = {
    "block.yaml": ("block: mobilevit,", "block: mobilevitt,"),
    "field.yaml": ("ffn: ratio*dim, dropout: drop}   #", "fnn: ratio*dim}   #"),
    "heads.yaml": ("dim: out, depth: 2", "dim: out + 2, depth: 2"),
    "step.yaml": ("[48, 80, 16]", "[48, 80, 0]"),
    "contains.yaml": ("- mobilevitv3_xxs_l2", "- mobilevitv3_xs"),
    "setting.yaml": ("trials: 12", "trails: 12"),
    "proxy.yaml": ("name: train,", "name: trian,"),
    "choices.yaml": ("[48, 80, 16]", "[64, 80, 16]"),
}
COMMANDS = (
    ("space", "block.yaml"),
    ("space", "field.yaml"),
    ("space", "heads.yaml"),
    ("space", "step.yaml"),
    ("space", "contains.yaml"),
    ("space", "setting.yaml"),
    ("space", "proxy.yaml"),
    ("space", "nowhere.yaml"),
    ("space", "quick.yaml", "--front", "--objective", "top1"),
    ("run", "quick.yaml", "--objective", "parms"),
    ("run", "quick.yaml", "--limit", "params <= 1k"),
    ("run", "quick.yaml", "--limit", "small"),
    ("run", "choices.yaml", "--objective", "params", "--objective", "macs"),
    ("run", "quick.yaml", "--storage", "sqlight:///x.db"),
    ("run", "quick.yaml", "--gpus-per-trial", "1"),
    ("front", "nowhere"),
    ("front", "quick", "--plot", "quick.yaml"),
    ("front", "quick", "--plot", "old.png"),
    ("profile", "mobilevitv3_xxss"),
    ("profile", "quick:²"),
    ("profile", "quick:77"),
    ("export", "mobilevitv3_xxs", "--to", "tensorflow"),
    ("scale", "mobilevitv3_xxs", "--to", "params=much"),
    ("front", "newer"),
)


def test_the_most_important_messages_are_worded_as_in_the_file(mvsearch):
    def message(*args: str) -> str:
        done: Finished = mvsearch(*args)
        assert done.code == 1, done
        return f"$ mvsearch {' '.join(args)}\n{done.err}"

    quick = Path("quick.yaml").read_text(encoding="utf-8")
    for name, (old, new) in FILES.items():
        assert old in quick
        Path(name).write_text(quick.replace(old, new, 1), encoding="utf-8")
    Path("old.png").touch()
    Study.join(Plan.load("quick.yaml", objectives=("params", "macs"))).run(lambda arch: arch.metrics(), trials=1)
    Study.join(Plan.load("quick.yaml", name="newer", objectives=("params", "macs")))
    with sqlite3.connect("studies/newer/study.db") as connection:
        connection.execute("INSERT INTO mvsearch_schema VALUES (99, '9.9', 0)")
    connection.close()
    text = "\n".join(message(*args) for args in COMMANDS)
    if os.environ.get("MVSEARCH_UPDATE_MESSAGES"):
        MESSAGES.write_text(text)

    assert text == MESSAGES.read_text()
