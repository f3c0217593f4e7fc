"""What others wrote, read: whatever stands there, the answer is a value or a sentence, and soon."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mvsearch.errors import MvsearchError, SpaceError
from mvsearch.space.expressions import Expression
from mvsearch.space.search_space import SearchSpace
from mvsearch.utils.yaml_document import parse

NAMES = {"a": 3, "b": 64, "layer3.out": 7, "kind": "dense", "on": True}
BRIEFLY = settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.too_slow])

TOKENS = (
    "a b layer3.out kind on 0 1 9 2147483647 1e308 0x7f 1j 'x' True None + - * / // % ** << >> & | ^ ~ == != < <= and "
    "or not in is if else lambda x: [ ] { } ( ) , . : := @ min max abs eval open __import__ __class__ f'{a}' ... \\ #"
)
EXPRESSIONS = st.lists(st.sampled_from([*TOKENS.split(), "\n"]), max_size=25).map(" ".join) | st.text(max_size=60)

PIECES = (
    "blocks:|vars:|where:|name: x|- |  |\n|{choose: [1, 2]}|{range: [1, 9, 2]}|&a |*a|<<: |!!binary |? |: |[|]|{|}|>|'"
    '|"|#|---\n|...\n|%YAML 1.1\n|\t|block: conv|out: 8|1e999|.inf|0o7|\x00|\u2028|é|yes|~|2*dim|9999999999999999999999'
    "|!!python/object/apply:os.system "
)
YAMLS = st.lists(st.sampled_from([*PIECES.split("|"), "|"]), max_size=40).map("".join) | st.text(max_size=200)

LETTERS = "abcdefghi"
ALIASES = "".join(f"{c}: &{c} [{', '.join([f'*{p}'] * 8)}]\n" for p, c in pairwise(LETTERS))


def space_of(text: str) -> SearchSpace | str:
    """The space, or the sentence."""
    try:
        return SearchSpace.parse(parse(text, "x.yaml"))
    except MvsearchError as error:
        return str(error)


@BRIEFLY
@given(EXPRESSIONS)
def test_an_expression_is_a_plain_value_or_is_refused(text):
    try:
        value = Expression.parse(text).evaluate(NAMES.__getitem__)
    except (ValueError, SpaceError, KeyError):
        return
    assert isinstance(value, int | float | str | bool)


@BRIEFLY
@given(YAMLS)
def test_a_file_is_a_space_or_is_refused(text):
    result = space_of(text)
    assert isinstance(result, SearchSpace) or "x.yaml" in result


@pytest.mark.parametrize(
    "text",
    ["9**9**9", "9" * 390 + "+1", "(" * 200 + ")" * 200, "-" * 399 + "1", "1" + "*2147483647" * 30, "[].__class__"],
)
def test_what_would_hang_or_escape_is_refused_at_once(text):
    with pytest.raises((ValueError, SpaceError)):
        Expression.parse(text).evaluate(NAMES.__getitem__)


@pytest.mark.parametrize(
    "text",
    [
        f"a: &a [x, x]\n{ALIASES}",
        "blocks: " + "[" * 5000,
        "blocks: " + "{a: " * 5000,
        "&a blocks: *a",
        "x: !!python/object/apply:os.system ['echo no']",
    ],
    ids=["aliases of aliases", "deep lists", "deep mappings", "itself", "a tag"],
)
def test_a_file_that_would_explode_is_refused(text):
    assert "x.yaml" in str(space_of(text))


@pytest.mark.parametrize("text", ["x: " + "[" * 100_000, "x: " + "{[" * 50_000, "a: 1\n" * 300_000])
def test_a_long_file_is_refused_before_it_is_read(text, monkeypatch):
    monkeypatch.setattr("mvsearch.utils.yaml_document._Reader", None)  # nobody comes as far as this
    assert "x.yaml" in str(space_of(text))
