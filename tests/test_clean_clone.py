"""The commands of the README leave a clone clean: git ignores all that they write, and keeps the results it has."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KEPT = [ROOT / "studies" / "README.md", *(ROOT / "studies" / "reference" / "v3").iterdir()]
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def untracked(tmp_path):
    """The files in the current folder that git would show, given the .gitignore of this tree."""
    shutil.copy(ROOT / ".gitignore", tmp_path)
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "--quiet"], check=True)

    def files() -> set[str]:
        command = [*git, "status", "--porcelain", "-z", "--untracked-files=all"]
        shown = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
        return {line[3:] for line in shown.split("\0") if line} - {".gitignore", "quick.yaml"}

    return files


def test_git_shows_nothing_of_what_a_search_writes(mvsearch, untracked):
    done = mvsearch("run", "v3", "--objective", "params", "--trials", "1", "--workers", "1")

    assert done.code == 0, done.err
    assert Path("studies/v3/study.db").is_file()
    shutil.copytree("studies/v3", "studies/reference")  # as if it were the study's name
    assert untracked() == set()


def test_git_shows_nothing_of_what_the_readme_writes(mvsearch, untracked):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    outputs = re.findall(r"(?: -o | --plot )(\S+)", text)
    assert {"front.html", "report.html", "trained", "net.onnx", "net.py"} <= {*outputs}
    for output in outputs:
        path = Path(output)
        if path.suffix:
            path.touch()
            for suffix in (f"{path.suffix}.report.json", ".safetensors") if path.stem == "net" else ():
                path.with_suffix(suffix).touch()
        else:
            path.mkdir()
            (path / "weights.safetensors").touch()
    assert untracked() == set()


def test_git_shows_the_results_that_it_keeps(untracked, tmp_path):
    names = {str(path.relative_to(ROOT)) for path in KEPT}
    assert "studies/reference/v3/study.jsonl" in names
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert untracked() == names
