import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvsearch.errors import SpaceError
from mvsearch.space.expressions import MAX_NUMBER, Expression


def value_of(source: str, **names):
    return Expression.parse(source).evaluate(names.__getitem__)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("2*dim", 128),
        ("dim // 3 + dim % 3", 22),
        ("-dim + +1", -63),
        ("dim / 128", 0.5),
        ("min(4*dim, 200)", 200),
        ("max(dim, 1, 2*dim)", 128),
        ("dim if wide else 2*dim", 64),
        ("1 <= depth <= 3 < dim", True),
        ("not wide or depth == 2", True),
        ("wide and depth", True),
        ("2 and 1", True),
        ("not 5", False),
        ("(depth == 2) + (dim == 64)", 2),
        ("local == 'dense'", False),
        ("fusion == none", True),
        ("wide == true", True),
    ],
)
def test_arithmetic_comparisons_and_conditions_mean_what_they_say(source, value):
    names = {"dim": 64, "depth": 2, "wide": True, "local": "depthwise", "fusion": "none"}
    single = value_of(source, **names)
    column = value_of(source, **{name: np.array([value, value]) for name, value in names.items()})

    assert single == value
    assert type(single) is type(value)
    assert np.all(column == value)


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os').system('id')",
        "open('x')",
        "dim()",
        "min()",
        "min(dim, key=dim)",
        "min(*dim)",
        "layer.dim.real",
        "(1).real",
        "''.join",
        "lambda: 1",
        "[dim for dim in dim]",
        "{1: 2}",
        "[1, 2]",
        "(1, 2)",
        "dim[0]",
        "2**999999",
        "2 << 99",
        "1 | 2",
        "~1",
        "dim @ dim",
        "f'{dim}'",
        "b'x'",
        "1j",
        "None",
        "...",
        "(x := 1)",
        "a is b",
        "a in b",
        "await dim",
        "yield",
        "import os",
        "dim; dim",
        "dim = 2",
        "",
        "2 *",
        "a\x00b",
        "[" * 150 + "]" * 150,
        "-" * 300 + "1",
        "+".join(["1"] * 200),
        "1" * 401,
    ],
)
def test_anything_but_arithmetic_is_rejected_before_it_is_evaluated(source):
    with pytest.raises(ValueError, match=r".") as raised:
        Expression.parse(source)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("source", ["__class__", "x.__class__", "__builtins__"])
def test_a_dunder_is_an_ordinary_name_that_is_only_looked_up(source):
    expression = Expression.parse(source)

    assert expression.names == (source,)
    assert expression.evaluate({source: 3}.__getitem__) == 3


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("'%999999999d' % dim", "word"),
        ("'x' * 2000000000", "word"),
        ("word + 'x'", "word"),
        ("word < 3", "word"),
        ("not word", "word"),
        ("1 if word else 2", "word"),
        ("-mixed", "word"),
        ("dim // (dim - 64)", "zero"),
        ("dim / 0", "zero"),
        ("dim % 0", "zero"),
        ("*".join(["dim"] * 30), "2,147,483,648"),
        ("99999999999999 * dim", "2,147,483,648"),
        ("dim * 1e999", "2,147,483,648"),
    ],
)
def test_an_undefined_value_is_the_same_error_in_a_single_value_and_in_a_column(source, cause):
    singles = {"dim": 64, "word": "dense", "mixed": "none"}
    columns = {
        "dim": np.array([64, 64]),
        "word": np.array(["dense", "dense"]),
        "mixed": np.array(["none", 1], dtype=object),
    }

    for names in (singles, columns):
        with pytest.raises(SpaceError, match=cause):
            value_of(source, **names)


def test_a_column_of_words_and_numbers_keeps_both():
    chosen = value_of("1 if wide else none", wide=np.array([True, False]))

    assert chosen.tolist() == [1, "none"]


def test_an_expression_that_is_only_a_name_says_so():
    assert Expression.parse(" width ").alias == "width"
    assert Expression.parse("layer3.dim").alias == "layer3.dim"
    assert Expression.parse("2*width").alias is None
    assert Expression.parse("true").alias is None


def test_parsing_prints_no_syntax_warning(recwarn):
    Expression.parse("1if dim else 2")
    with pytest.raises(ValueError, match="dim is 2"):
        Expression.parse("dim is 2")

    assert not recwarn.list


def test_products_of_the_largest_numbers_fit_a_column():
    assert value_of("dim * dim", dim=np.array([MAX_NUMBER])).tolist() == [MAX_NUMBER**2]


# ---- scalar == column, over random expressions

NAMES = ("a", "b", "flag")
OPERATORS = ("+", "-", "*", "//", "%", "/", "<", "<=", "==", "!=", ">", "and", "or")


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(st.sampled_from(("min", "max")), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        st.tuples(st.sampled_from(("not ", "-")), inner).map(lambda p: f"({p[0]}{p[1]})"),
    )


leaves = st.one_of(st.sampled_from((*NAMES, "true", "false")), st.integers(-40, 400).map(lambda n: f"({n})"))
expressions = st.recursive(leaves, grown, max_leaves=8)


@settings(max_examples=400, deadline=None)
@given(
    expressions, st.lists(st.tuples(st.integers(-9, 300), st.integers(1, 99), st.booleans()), min_size=1, max_size=6)
)
def test_a_column_is_worked_out_as_each_of_its_values_would_be(source, rows):
    expression = Expression.parse(source)
    columns = dict(zip(NAMES, map(np.array, zip(*rows, strict=True)), strict=True))
    singles, failed = [], False
    for row in rows:
        try:
            singles.append(expression.evaluate(dict(zip(NAMES, row, strict=True)).__getitem__))
        except SpaceError:
            failed = True

    try:
        together = np.broadcast_to(expression.evaluate(columns.__getitem__), len(rows))
    except SpaceError:
        assert failed
        return
    assert not failed
    for one, other in zip(singles, together.tolist(), strict=True):
        assert one == pytest.approx(other, rel=1e-12)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text("()[]{}.:,'\"*+-/%<>=! abx01_lmifeorandt\n\\", max_size=60))
def test_any_text_is_parsed_or_refused_in_one_line(text):
    assert len(refusal(text).splitlines()) <= 1


def refusal(text: str) -> str:
    try:
        Expression.parse(text).evaluate(lambda _: 3)
    except (ValueError, SpaceError) as error:
        return str(error)
    return ""
