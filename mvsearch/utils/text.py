"""Text of names on disk, which are bytes: Python's text of them depends on the locale, and cannot always be written.

And text in lines.
"""

import os
import unicodedata
from collections.abc import Iterable
from contextlib import suppress

_UNPRINTABLE = ("Cs", "Cc")  # bytes that are not UTF-8, and control characters


def printable(name: str | os.PathLike[str]) -> str:
    """The text of a name on disk, which is UTF-8 in every locale, as one line that can be printed and written as UTF-8.

    >>> printable("caf\\udce9.png"), printable("caf\\udcc3\\udca9.png")
    ('caf\\\\udce9.png', 'caf\u00e9.png')
    """
    text = os.fspath(name)
    with suppress(UnicodeEncodeError):  # of a lone surrogate that stands for no byte
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in _UNPRINTABLE else c for c in text)


def comparable_name(name: str | os.PathLike[str]) -> str:
    """The text of a name on disk with composed characters, to compare it with names in files."""
    return unicodedata.normalize("NFC", printable(name))


def names_on_disk(text: str) -> tuple[str, ...]:
    """The names that a text in a file may mean: itself, or in UTF-8 on disk, composed or (of macOS) decomposed."""
    forms = (unicodedata.normalize(form, text).encode("utf-8", "surrogatepass") for form in ("NFC", "NFD"))
    return tuple(dict.fromkeys((text, *map(os.fsdecode, forms))))


def two_lines(text: str) -> str:
    """The text in two lines that are as equally long as its words allow."""
    words = text.split(" ")
    halves = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    return "\n".join(min(halves, key=lambda both: max(map(len, both)))) if halves else text


def plural(count: int, noun: str) -> str:
    """The number with its noun.

    >>> plural(1, "seed"), plural(2, "seed")
    ('1 seed', '2 seeds')
    """
    return f"{count} {noun}{'s' * (count != 1)}"


def join_words(words: Iterable[str], conjunction: str = "and") -> str:
    """The words as in a sentence.

    >>> join_words(["params", "macs", "top1"])
    'params, macs and top1'
    """
    *most, last = words
    return f"{', '.join(most)} {conjunction} {last}" if most else last
