"""Names on disk as text, whatever the locale; and lines of text."""

import pathlib
from unicodedata import normalize

import pytest

from mvsearch.utils.text import comparable_name, names_on_disk, printable, two_lines


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("café.png", "café.png"),
        (b"caf\xc3\xa9.png".decode("ascii", "surrogateescape"), "café.png"),  # as an ASCII locale reads it
        (b"caf\xe9.png".decode("utf-8", "surrogateescape"), r"caf\udce9.png"),
        ("caf\ud800.png", r"caf\ud800.png"),
        ("a\nb\x1b.png", r"a\nb\x1b.png"),
    ],
)
def test_a_name_is_one_line_of_utf_8(name, text):
    assert printable(name) == text
    assert text.encode().decode() == text


def test_names_of_macos_equal_those_of_other_systems():
    assert comparable_name(normalize("NFD", "é犬.png")) == comparable_name("é犬.png") == "é犬.png"


def test_a_text_leads_to_the_file_whatever_the_form_of_its_name(tmp_path):
    for form in ("NFC", "NFD"):
        (tmp_path / normalize(form, "é.png")).touch()
        found = [name for name in names_on_disk("é.png") if (tmp_path / name).is_file()]
        assert found
        for name in found:
            pathlib.Path(tmp_path / name).unlink()


def test_a_text_that_is_no_valid_name_is_tried_and_not_found(tmp_path):
    assert not any((tmp_path / name).exists() for name in names_on_disk("\ud800.png")[1:])


@pytest.mark.parametrize(
    ("text", "lines"),
    [("", ""), ("alone", "alone"), ("a b", "a\nb"), ("one of two, and three", "one of two,\nand three")],
)
def test_two_lines_are_about_equally_long(text, lines):
    assert two_lines(text) == lines
