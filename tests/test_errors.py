"""Errors carry the place of the mistake, also from one process to another."""

import pickle
from pathlib import Path

from mvsearch.errors import DataError, Location, PlanError
from mvsearch.utils.yaml_document import parse


def test_an_error_at_a_place_of_a_file_opens_with_it_and_keeps_its_parts():
    document = parse("blocks:\n  - {name: stem, out: 0}\n", "net.yaml")
    error = PlanError("found 0; use 1 or more.", at=document.where("blocks", 0, "out"))

    assert str(error) == "net.yaml:2: blocks.stem.out: found 0; use 1 or more."
    assert (error.file, error.line, error.key) == ("net.yaml", 2, "blocks.stem.out")


def test_an_error_of_a_file_alone_has_no_line_and_no_key(tmp_path):
    error = DataError("holds no images.", at=tmp_path)

    assert str(error) == f"{tmp_path}: holds no images."
    assert (error.file, error.line, error.key) == (str(tmp_path), None, None)


def test_an_error_without_a_place_is_its_message_alone():
    assert str(PlanError("use one.", at=Location())) == str(PlanError("use one.")) == "use one."


def test_an_error_crosses_to_another_process_whole():
    error = pickle.loads(pickle.dumps(PlanError("use one.", at=Location("a.yaml", 3, "search"))))

    assert (str(error), error.line) == ("a.yaml:3: search: use one.", 3)


def test_an_error_is_one_printable_line_whatever_names_it_quotes():
    error = DataError("found 'a\x1eb\nc'", at=Path("caf\udce9.jpg"))

    assert str(error) == r"caf\udce9.jpg: found 'a\x1eb\nc'"
