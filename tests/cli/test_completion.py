"""What the shell completes, asked as bash asks: with the words of the line, which it splits at colons."""

from pathlib import Path

import pytest
from toy import arithmetic, toy_plan

from mvsearch.cli import _completion
from mvsearch.cli.main import cli
from mvsearch.study.study import Study

PATHS = {"file", "dir"}


@pytest.fixture
def completed(monkeypatch):
    """The plain values that complete the last word."""

    def values(*words: str) -> list[str]:
        line = ["mvsearch", *words]
        monkeypatch.setenv("COMP_WORDS", "\n".join(line))
        monkeypatch.setenv("COMP_CWORD", str(len(line) - 1))
        answer = _completion._Bash(cli, {}, "mvsearch", "_MVSEARCH_COMPLETE").complete()
        items = [line.split(",", 1) for line in answer.splitlines()]
        return [value for kind, value in items if kind not in PATHS]

    return values


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("sho",), ["show"]),
        (("show", "mobilevitv3_xxs_l"), ["mobilevitv3_xxs_l2"]),
        (("show", "mobilevitv3_xxs", "--diff", "mobilevitv3_xxs_l"), ["mobilevitv3_xxs_l2"]),
        (("profile", "mobilevitv3_xxs+s"), ["mobilevitv3_xxs+ssdlite"]),
        (("export", "x", "--to", "onn"), ["onnx"]),
        (("train", "x", "--recipe", "finetune3"), ["finetune384"]),
        (("train", "x", "--data", "cifar100"), ["cifar100"]),
        (("run", "--sampler", "nsga"), ["nsga2", "nsga3"]),
        (("run", "qui"), ["quick"]),
        (("bench", "x", "--backend", "torch_cpu,onnx"), ["torch_cpu,onnxruntime"]),
        (("front", "nothing"), []),
        (("show", "nothing", ":", "1"), []),
    ],
    ids=" ".join,
)
def test_values_are_completed(completed, words, expected):
    assert completed(*words) == expected


def test_studies_and_their_trials_are_completed(completed, tmp_path, monkeypatch):
    plan = toy_plan(tmp_path / "studies", trials=3)
    Study.join(plan).run(arithmetic)
    monkeypatch.chdir(tmp_path)
    name = plan.name

    assert completed("front", name[:2]) == [name]
    assert completed("show", name[:2]) == [f"{name}:{number}" for number in range(3)]
    assert completed("show", name, ":") == ["0", "1", "2"]
    assert completed("show", name, ":", "1") == ["1"]
    Path("studies/damaged").mkdir()
    Path("studies/damaged/study.db").write_text("no database", "utf-8")
    assert completed("show", "damaged", ":") == []
