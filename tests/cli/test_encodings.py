"""Commands in other encodings than UTF-8: files are UTF-8 everywhere, names on disk too, and printing never fails.

One process for each encoding runs its commands. There, a file that mvsearch opens without an encoding is an error.
ASCII, in which more fails than in a code page, has those that train and build networks too.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from command import QUICK, assert_refused
from PIL import Image

ROOT = Path(__file__).parents[2]

ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
CODE_PAGE = {"PYTHONIOENCODING": "cp1252", "MVSEARCH_TEST_ENCODING": "cp1252"}
"""As Windows has it: names on disk are Unicode, and text files and streams are of the code page by default."""

SCRIPT = """
import builtins, io, json, os, pathlib, sys, traceback, warnings
warnings.filterwarnings("error", category=EncodingWarning, module=r"mvsearch($|\\.)")
if page := os.environ.get("MVSEARCH_TEST_ENCODING"):
    def open_(file, mode="r", buffering=-1, encoding=None, *args, **kwargs):
        encoding = page if "b" not in mode and encoding in (None, "locale") else encoding
        return real(file, mode, buffering, encoding, *args, **kwargs)
    real = io.open
    io.open = builtins.open = open_
from mvsearch.cli.main import main
codes = {}
for line in pathlib.Path("commands").read_text(encoding="utf-8").splitlines():
    sys.argv = ["mvsearch", *(os.fsdecode(word.encode()) for word in line.split())]
    try:
        main()
        codes[line] = 0
    except SystemExit as end:
        codes[line] = end.code or 0
    except BaseException:
        codes[line] = traceback.format_exc()
    sys.stdout.flush()
pathlib.Path("codes").write_text(json.dumps(codes), encoding="utf-8")
"""

COMMANDS = """\
models
data check folder --path bilder --json
data check coco --path coco --json
data check voc --path voc --json
space räume.yaml
{study}
front raum --plot bild_ü.html
report raum -o bericht_ü.html
show raum:0
studies export raum -o raum_ü.jsonl
"""
SEARCH = """\
run räume.yaml --objective params --objective macs --trials 2 --workers 1
export raum:0 --to torch -o netz_ü.py --no-verify
export raum:0 --to yaml -o netz_ü.yaml"""
IMPORT = "studies import gesandt_ü.jsonl"
XML = """<annotation><size><width>40</width><height>40</height></size><object><name>猫</name><bndbox>
<xmin>5</xmin><ymin>5</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object></annotation>"""


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 40, 3), np.uint8)).save(path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Sets of images whose files and classes have names that neither ASCII nor code page 1252 can write."""
    folder = tmp_path_factory.mktemp("encodings")
    for i in range(6):
        for name in ("кот", "犬 é"):
            picture(folder / "bilder" / name / f"{i}ü{name}.png", i)
        picture(folder / "voc" / "JPEGImages" / f"猫{i}.jpg", i)
        (folder / "voc" / "Annotations").mkdir(exist_ok=True)
        (folder / "voc" / "Annotations" / f"猫{i}.xml").write_text(XML, encoding="utf-8")
        Image.fromarray(np.eye(40, dtype=np.uint8)).save(_made(folder / "voc" / "SegmentationClass" / f"猫{i}.png"))
    for kind in ("Main", "Segmentation"):
        for part, ids in (("train", range(4)), ("val", range(4, 6))):
            lines = "".join(f"猫{i}\n" for i in ids)
            _made(folder / "voc" / "ImageSets" / kind / f"{part}.txt").write_text(lines, encoding="utf-8")
    (folder / "voc" / "classes.txt").write_text("猫\n", encoding="utf-8")
    for part, ids in (("train", range(4)), ("val", range(4, 6))):
        _write_coco(folder / "coco", part, ids)
    (folder / "räume.yaml").write_text(QUICK.replace("name: quick ", "name: raum  # „Räume“ 空间"), encoding="utf-8")
    return folder


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_coco(folder: Path, part: str, ids: range) -> None:
    """One name is written decomposed on disk and composed in the file, as happens to archives made on macOS."""
    names = {i: f"café {i} кот.png" for i in ids}
    for i, name in names.items():
        picture(folder / part / normalize("NFD" if i % 2 else "NFC", name), i)
    images = [{"id": i, "file_name": name, "width": 40, "height": 40} for i, name in names.items()]
    box = {"bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0, "segmentation": [[5, 5, 25, 5, 25, 25, 5, 25]]}
    boxes = [{"id": i + 1, "image_id": i, "category_id": 1 + i % 2, **box} for i in ids]
    about = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "кот"}, {"id": 2, "name": "犬"}]}
    file = _made(folder / "annotations" / f"instances_{part}.json")
    file.write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")


def run_commands(inputs: Path, folder: Path, study: str, variables: dict[str, str]) -> bytes:
    """Run all commands, of which `study` is where the study comes from; returns what they print."""
    for path in inputs.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "commands").write_text(COMMANDS.format(study=study), encoding="utf-8")
    environment = {**os.environ, "MVSEARCH_CACHE": str(folder / "cache"), **variables}
    command = [sys.executable, "-X", "warn_default_encoding", "-c", SCRIPT]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    codes = json.loads((folder / "codes").read_text(encoding="utf-8"))
    assert {line: code for line, code in codes.items() if code} == {}, done.stderr.decode()
    assert list(codes) == COMMANDS.format(study=study).splitlines()
    return done.stdout


def assert_names_are_right(shown: str, folder: Path) -> None:
    for classes in (["кот", "犬 é"], ["кот", "犬"], ["猫"]):
        assert all(json.dumps(name) in shown for name in classes)
    assert {"bild_ü.html", "bericht_ü.html", "raum_ü.jsonl"} <= {path.name for path in folder.iterdir()}
    assert "↑" in (folder / "bericht_ü.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def in_ascii(inputs, tmp_path_factory) -> tuple[str, Path]:
    """What the commands print in ASCII, and their folder."""
    folder = tmp_path_factory.mktemp("ascii")
    return run_commands(inputs, folder, SEARCH, ASCII).decode("ascii"), folder


def test_commands_work_and_read_names_right_in_ascii(in_ascii):
    shown, folder = in_ascii
    assert_names_are_right(shown, folder)
    assert {"netz_ü.py", "netz_ü.yaml"} <= {path.name for path in folder.iterdir()}


def test_commands_work_and_read_names_right_in_a_code_page(inputs, in_ascii, tmp_path):
    sent = in_ascii[1] / "raum_ü.jsonl"
    (tmp_path / "gesandt_ü.jsonl").symlink_to(sent)
    assert_names_are_right(run_commands(inputs, tmp_path, IMPORT, CODE_PAGE).decode("cp1252"), tmp_path)
    assert (tmp_path / "raum_ü.jsonl").read_bytes() == sent.read_bytes()


def test_a_name_that_cannot_be_written_is_one_sentence(mvsearch, monkeypatch):
    def fail(_task: str) -> None:
        "caf\udce9.png".encode()

    monkeypatch.setattr("mvsearch.arch.published.model_names", fail)
    assert r"'caf\udce9.png' cannot be written as utf-8" in assert_refused(mvsearch, "models")


def text_without_encoding(tree: ast.Module) -> list[int]:
    """The lines of calls that open a text file, or the output of a program as text, without an encoding."""
    lines = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        modes = [given.get("mode"), *call.args[:2]] if name in ("open", "fdopen") else []
        texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
        opens = any(set(text) <= set("rwxa+t") for text in texts) and "tarfile" not in ast.unparse(call.func)
        opens |= len(call.args) < {"read_text": 1, "write_text": 2}.get(name, 0)
        if (opens or {"text", "universal_newlines"} & {*given}) and "encoding" not in given:
            lines.append(call.lineno)
    return lines


@pytest.mark.parametrize(
    "code", ["p.read_text()", "open(p, 'w')", "p.open('a')", "run(c, text=True)", "fdopen(1, 'w')"]
)
def test_a_call_without_an_encoding_is_found(code):
    assert text_without_encoding(ast.parse(code)) == [1]


def test_every_text_is_read_and_written_with_an_encoding():
    """Ruff's rule PLW1514 sees only the paths whose type it knows."""
    files = [path for folder in ("mvsearch", "benchmarks", "scripts") for path in (ROOT / folder).rglob("*")]
    python = [path for path in files if path.suffix == ".py" or path.name == "function_lengths"]
    found = {str(path): text_without_encoding(ast.parse(path.read_text(encoding="utf-8"))) for path in python}
    assert {path: lines for path, lines in found.items() if lines} == {}
