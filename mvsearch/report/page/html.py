"""Markup that cannot be broken by what is put into it."""

from collections.abc import Iterable
from html import escape


class Html(str):
    """Text that is markup already; any other text is escaped when it is put into some."""

    __slots__ = ()


def tag(name: str, *inside: object, **attributes: object) -> Html:
    """An element. `_` in an attribute's name is written `-`, one at its end is left out; None leaves out the attribute.

    >>> tag("td", "<b> & co", class_="name", data_value=3)
    '<td class="name" data-value="3">&lt;b&gt; &amp; co</td>'
    """
    said = (
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{''.join(said)}>{join(inside)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Html:
    """Parts one after the other; what is no markup is escaped."""
    return Html(between.join(part if isinstance(part, Html) else escape(str(part)) for part in parts))
