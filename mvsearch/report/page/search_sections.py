"""The sections on the search: the choices and their importance, the progress, and the reliability of the proxy."""

from mvsearch.metrics.formatting import pretty
from mvsearch.metrics.registry import metric
from mvsearch.report import proxy_reliability
from mvsearch.report.importance import ENOUGH, RESAMPLES, Importance
from mvsearch.report.page import charts
from mvsearch.report.page.content import Cell, Report, Table, Values


def choices(report: Report) -> Values:
    """How many trials the figure of the choices shows."""
    findings = report.findings
    return {
        "lines": len(charts.sample_by_score(findings)) if findings.front else 0,
        "score": metric(findings.score.name).label,
    }


def importance(report: Report) -> Values:
    """The importance of each choice for each objective."""
    computed = [result for result in report.importances if result.shares]
    missing = [result for result in report.importances if result.missing]
    choices = report.findings.space.choices
    ranked = sorted(choices, key=lambda choice: -computed[0].shares[choice.name].share) if computed else []
    heads = ["choice", *(metric(result.objective).label for result in computed)]
    rows = [
        [Cell(choice.name, choice.name), *(_share(result, choice.name) for result in computed)] for choice in ranked
    ]
    return {
        "computed": computed,
        "missing": missing,
        "table": Table(heads, rows, len(heads)),
        "resamples": RESAMPLES,
        "enough": ENOUGH * len(choices),
    }


def _share(result: Importance, choice: str) -> Cell:
    share = result.shares[choice]
    value, low, high = (f"{100 * number:.0f}" for number in (share.share, share.low, share.high))
    spread = f" ({low} to {high})" if low != high else ""
    return Cell(f"{value} %{spread}", share.share, bar=100 * share.share)


def progress(report: Report) -> Values:
    """The minutes of all trials."""
    return {"minutes": sum(record.seconds for record in report.findings.records) / 60}


def proxy(report: Report) -> Values:
    """The published models that the proxy scored."""
    reliability = report.findings.reliability
    if reliability.score is None:
        return {"table": None, "fewest": proxy_reliability.FEWEST, "families": ""}
    heads = [
        "published model",
        metric(reliability.score).description,
        metric("params").label,
        "ImageNet top-1 as printed",
    ]
    rows = [
        (
            Cell(name, name),
            Cell(pretty(reliability.score, score), score),
            Cell(pretty("params", params), params),
            Cell(f"{top1:g} %", top1),
        )
        for name, score, top1, params in sorted(reliability.models, key=lambda row: -row[2])
    ]
    evidence = report.findings.family_evidence
    return {
        "table": Table(heads, rows) if rows else None,
        "fewest": proxy_reliability.FEWEST,
        "families": proxy_reliability.families_line(evidence) if evidence else "",
    }
