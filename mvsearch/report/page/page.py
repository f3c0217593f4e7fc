"""The whole file: findings, the script that draws them, and plotly, all in one."""

import json
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from mvsearch.report.figures._plotly import CONFIG
from mvsearch.report.figures.palette import DARK, LIGHT, Theme
from mvsearch.report.page import charts, sections
from mvsearch.report.page.findings import Findings
from mvsearch.report.page.html import Html, tag

_HERE = Path(__file__).parent
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""The browser itself refuses whatever would ask the network."""


def page(findings: Findings) -> bytes:
    """The file's content; the same findings give the same bytes."""
    figures = sections.figures(findings)
    head = (
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        tag("title", f"{findings.name}: report"),
        tag("style", Html(_colours() + (_HERE / "page.css").read_text())),
    )
    scripts = [tag("noscript", "Plots and sorting need JavaScript; all numbers are in the tables.")]
    if figures:
        data = {"inks": charts.inks(), "figures": figures, "config": CONFIG}
        scripts += [
            tag("script", Html(_json(data)), type="application/json", id="data"),
            tag("script", Html(_plotly())),
        ]
    scripts += [tag("script", Html((_HERE / "page.js").read_text()))]
    whole = tag("html", tag("head", *head), tag("body", sections.body(findings), *scripts), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n".encode()


def _colours() -> str:
    """The palette as variables; paper that is printed on is light."""
    light, dark = (f":root {{ {_variables(theme)} }}" for theme in (LIGHT, DARK))
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{ {dark} }}\n"


def _variables(theme: Theme) -> str:
    return " ".join(f"--{f.name}: {getattr(theme, f.name)};" for f in fields(Theme) if f.name != "hues")


def _json(data: Any) -> str:
    """Within a script, `<` could end it."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def _plotly() -> str:
    return files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
