"""The whole file: findings, the script that draws them, and plotly, rendered into one template."""

import json
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mvsearch.arch.schema import field_text
from mvsearch.metrics.formatting import pretty, volume, with_error
from mvsearch.metrics.registry import metric
from mvsearch.report.figures.interactive import CONFIG
from mvsearch.report.figures.palette import DARK, LIGHT, Theme
from mvsearch.report.findings import Findings
from mvsearch.report.importance import Importance
from mvsearch.report.page import charts, sections
from mvsearch.report.page.content import Report


def page(findings: Findings, importances: Sequence[Importance]) -> bytes:
    """The file's content; the same findings give the same bytes."""
    report = Report(findings, tuple(importances))
    html = (
        _environment()
        .get_template("page.html")
        .render(
            findings=findings,
            summary=sections.summary(findings),
            sections=sections.render(report),
            style=Markup(_colour_variables()),
            data=Markup(_data(report)) if report.figures else None,
            plotly=Markup(_plotly()) if report.figures else None,
        )
    )
    return html.encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mvsearch.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"head": lambda name: metric(name).label, "volume": volume, "field": field_text}
    environment.globals |= {"pretty": pretty, "with_error": with_error}
    return environment


def _colour_variables() -> str:
    """The palette as CSS variables; print is always light."""
    light, dark = (f":root {{ {_variables(theme)} }}" for theme in (LIGHT, DARK))
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{ {dark} }}\n"


def _variables(theme: Theme) -> str:
    return " ".join(f"--{f.name}: {getattr(theme, f.name)};" for f in fields(Theme) if f.name != "hues")


def _data(report: Report) -> str:
    """The figures as JSON. `<` is escaped because it could end the script that holds them."""
    data = {"darkColours": charts.dark_colours(), "figures": report.figures, "config": CONFIG}
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def _plotly() -> str:
    return files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
