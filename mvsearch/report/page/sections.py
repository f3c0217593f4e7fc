"""The parts of a report, from top to bottom: each is findings in, markup out."""

import shlex
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mvsearch.arch.architecture import Architecture
from mvsearch.metrics.pareto import Objective, comparable
from mvsearch.metrics.record import Record
from mvsearch.report import importance
from mvsearch.report import proxy_reliability as trust
from mvsearch.report.figures import architecture_diff
from mvsearch.report.importance import Importance, Share
from mvsearch.report.page import charts
from mvsearch.report.page.findings import Findings
from mvsearch.report.page.html import Html, join, tag
from mvsearch.report.table import metric_columns, tally
from mvsearch.space.variables import Choice
from mvsearch.utils import yaml_document
from mvsearch.utils.units import pretty, unit, volume, with_error

Figures = Mapping[str, charts.Figure]
"""The plots of a page by name."""


def figures(findings: Findings) -> dict[str, charts.Figure]:
    """Every plot of the page; none where there is nothing to draw."""
    if not findings.front:
        return {}
    drawn = {f"front{i}": figure for i, figure in enumerate(charts.fronts(findings))}
    return drawn | {"choices": charts.choices(findings), "progress": charts.progress(findings)}


def body(findings: Findings) -> Html:
    """Everything below the head."""
    parts = [(name, heading, make(findings)) for name, (heading, make) in SECTIONS.items()]
    links = (tag("a", heading, href=f"#{name}") for name, heading, _ in parts)
    sections = (tag("section", tag("h2", heading), inside, id=name) for name, heading, inside in parts)
    return join([tag("header", _opening(findings)), tag("nav", *links), tag("main", *sections)])


def _opening(findings: Findings) -> Html:
    unfinished = f"The study is not at its end: {findings.progress}. This page shows it as it stood then."
    return join(
        [
            tag("h1", findings.name),
            tag("p", _summary(findings), class_="lead"),
            tag("p", unfinished, class_="note") if findings.progress else "",
        ]
    )


def _summary(findings: Findings) -> str:
    said = f"A search over {findings.space.name} for {_listed(_sought(o) for o in findings.objectives)}"
    if not findings.front:
        return f"{said}. It has no front yet."
    few = len(findings.front)
    found = f"{few} of {len(findings.records)} candidates {'is' if few == 1 else 'are'} on the front"
    score = findings.score
    best = min(comparable(findings.kept, [score]), key=lambda record: score.cost(record.metrics[score.name]))
    return f"{said}: {found}; the best {unit(score.name).head} is {with_error(score.name, best.metrics)}."


def _sought(objective: Objective) -> str:
    return f"{'more' if objective.maximise else 'less'} {unit(objective.name).head}"


def _listed(words: Any) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else str(last)


def _plot(name: str, words: str) -> Html:
    """Where the page's script draws; `words` say what is seen to those who do not see it."""
    return tag("div", class_="plot", data_figure=name, role="img", aria_label=words)


def _scrolled(inside: Html, width: str | None = None) -> Html:
    style = f"min-width: {width}" if width else None
    return tag("div", tag("div", inside, style=style), class_="scrolled")


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[tuple[Any, object]]], *, words_first: int = 1, caption: str = ""
) -> Html:
    """A table that is sorted by a click on a head; a cell is what it sorts by, and what is seen."""
    buttons = (
        tag("th", tag("button", head, type="button"), scope="col", class_=None if i < words_first else "number")
        for i, head in enumerate(heads)
    )
    lines = (
        tag("tr", *(_cell(value, seen, i < words_first) for i, (value, seen) in enumerate(row)), data_place=place)
        for place, row in enumerate(rows)
    )
    inside = [tag("caption", caption)] if caption else []
    return _scrolled(tag("table", *inside, tag("thead", tag("tr", *buttons)), tag("tbody", *lines), class_="sortable"))


def _cell(value: Any, seen: object, words: bool) -> Html:
    return tag("td", seen, data_value="" if value is None else value, class_=None if words else "number")


def _list(facts: Mapping[str, object]) -> Html:
    return tag("dl", *(join([tag("dt", key), tag("dd", value)]) for key, value in facts.items()))


def _more(summary: object, *inside: object, **attributes: object) -> Html:
    return tag("details", tag("summary", summary), *inside, **attributes)


# ---- the front


def _front(findings: Findings) -> Html:
    if not findings.front:
        return tag("p", _sentence(findings.silence), class_="note")
    names = [name for name in figures(findings) if name.startswith("front")]
    words = (
        "Circles are what the search found, diamonds the published models; filled ones are on the front. Point at one, "
        "or touch it, to see its architecture; drag to enlarge, double-click to go back."
    )
    point = ", ".join(f"{unit(name).head} {pretty(name, value)}" for name, value in findings.reference.items())
    reached = f"Hypervolume {volume(findings.hypervolumes[-1])} of the box from the ideal to {point}."
    return join(
        [
            tag("p", words),
            *(
                _plot(name, "Scatter plot of all candidates; the front's members are in the table below.")
                for name in names
            ),
            tag("p", reached, class_="faint"),
        ]
    )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _members(findings: Findings) -> Html:
    if not findings.front:
        return tag("p", "There is nobody on the front.")
    columns = metric_columns(findings.front, findings.objectives)
    rows = [_member_row(record, columns) for record in findings.front]
    table = _table(
        ["trial", "architecture", *(unit(name).head for name in columns), "evaluated in"],
        rows,
        words_first=2,
        caption=tally(findings.kept, findings.front),
    )
    hint = tag("p", "A click on a head sorts. ★ marks published models. Each member's stages are below the table.")
    return join([hint, table, *(_member(findings, record) for record in findings.front)])


def _member_row(record: Record, columns: Sequence[str]) -> list[tuple[Any, object]]:
    name = f"★ {record.published}" if record.published else record.key
    link = tag("a", str(record.number), href=f"#trial-{record.number}")
    numbers = [(record.metrics.get(column), with_error(column, record.metrics)) for column in columns]
    taken = "known before" if record.cached else _seconds(record.seconds)
    return [(record.number, link), (name, name), *numbers, (record.seconds, taken)]


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


def _member(findings: Findings, record: Record) -> Html:
    numbers = ", ".join(f"{unit(o.name).head} {with_error(o.name, record.metrics)}" for o in findings.objectives)
    heading = join([tag("b", f"Trial {record.number}"), f" {record.published or record.key}: {numbers}"])
    command = f"mvsearch export {findings.called[record.number]} --to torch -o net.py"
    chosen = ", ".join(f"{name} {architecture_diff.shown(value)}" for name, value in record.choices.items())
    return _more(
        heading,
        _stages(Architecture.from_dict(record.architecture)),
        _list({"choices": chosen, "measured": _measured(record), "take it along": tag("code", command)}),
        id=f"trial-{record.number}",
        class_="member",
    )


def _stages(arch: Architecture) -> Html:
    whole = arch.cost()
    lines: list[list[tuple[Any, object]]] = [
        [
            (place, part.name),
            (part.block, part.block),
            (
                None,
                ", ".join(
                    f"{name} {architecture_diff.shown(value)}"
                    for name, value in part.fields.items()
                    if name not in _SAID
                ),
            ),
            (part.out.channels, part.size),
            (part.cost.params, pretty("params", part.cost.params)),
            (part.cost.macs, pretty("macs", part.cost.macs)),
            (part.cost.macs, f"{100 * part.cost.macs / whole.macs:.1f} %"),
        ]
        for place, part in enumerate(architecture_diff.parts(arch)[1:])
    ]
    return _table(["stage", "block", "settings", "output", "params", "MACs", "share"], lines, words_first=3)


_SAID = ("name", "block", "out", "num_classes")
"""Fields of a stage that have a column of their own."""


def _measured(record: Record) -> str:
    plain = {name: value for name, value in record.metrics.items() if not isinstance(value, dict | list)}
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {_short(value)}" for name, value in plain.items()
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# ---- choices


def _choices(findings: Findings) -> Html:
    if not findings.front:
        return tag("p", "No candidate was measured, so there are no choices to compare.")
    shown, score = len(charts.shown(findings)), unit(findings.score.name).head
    drawn = (
        f"{shown} of {len(findings.kept)} trials, evenly over their scores"
        if shown < len(findings.kept)
        else "Every trial"
    )
    words = (
        f"{drawn}, a line each: the better its {score}, the stronger its colour. A click on a colour below takes it "
        "away, a double-click leaves it alone."
    )
    width = f"{max(20, 3 * len(findings.space.choices))}rem"
    return join(
        [tag("p", words), _scrolled(_plot("choices", "Parallel coordinates of the choices of all trials."), width)]
    )


def _importance(findings: Findings) -> Html:
    known = [found for found in findings.importances if found.shares]
    missing = [
        tag("p", f"{unit(f.objective).head}: {f.missing}", class_="note") for f in findings.importances if f.missing
    ]
    if not known:
        return join(missing)
    heads = ["choice", *(unit(found.objective).head for found in known)]
    ranked = sorted(findings.space.choices, key=lambda choice: -known[0].shares[choice.name].share)
    rows = [[(choice.name, choice.name), *(_bar(f.shares[choice.name]) for f in known)] for choice in ranked]
    says = tag("p", _method(known), class_="lead-in")
    told = (tag("p", _believed(found, len(findings.space.choices)), class_="faint") for found in known)
    return join([says, _table(heads, rows, words_first=len(heads)), *told, *missing])


def _bar(share: Share) -> tuple[float, Html]:
    said, low, high = (f"{100 * value:.0f}" for value in (share.share, share.low, share.high))
    spread = f" ({low} to {high})" if low != high else ""
    bar = tag("span", class_="bar", style=f"--share: {100 * share.share:.1f}%")
    return share.share, join([bar, f"{said} %{spread}"])


def _method(known: Sequence[Importance]) -> str:
    if known[0].method == "fANOVA":
        return (
            "How much of the variance of each objective a choice explains by itself (functional ANOVA). The rest up to "
            "100 % is what choices do together and, of a score, noise."
        )
    return (
        "How much a choice tells the best tenth of the candidates from the others (PED-ANOVA; scikit-learn, which "
        "functional ANOVA needs, is not installed)."
    )


def _believed(found: Importance, choices: int) -> str:
    head = unit(found.objective).head
    if found.priced:
        return f"{head}: over {found.points} points drawn evenly from the space, priced in closed form."
    points = f"{found.points} of {found.known}" if found.points < found.known else f"{found.points}"
    told = (
        f"{head}: over {points} trials, which the search did not draw evenly; in brackets the least and the "
        f"greatest of {importance.RESAMPLES} resamples."
    )
    few = found.points < importance.ENOUGH * choices
    return f"{told} {found.points} trials for {choices} choices are few: a hint, no finding." if few else told


# ---- progress and trust


def _progress(findings: Findings) -> Html:
    if not findings.front:
        return tag("p", f"{len(findings.records)} trials have finished.")
    seconds = sum(record.seconds for record in findings.records)
    words = (
        "The share of the box between the ideal and the reference point that is reached, after each of "
        f"{len(findings.kept)} evaluations, which took {seconds / 60:.1f} minutes added up over all workers. Diamonds "
        "are published models, which come first."
    )
    return join([tag("p", words), _plot("progress", "Hypervolume against evaluations.")])


def _trust(findings: Findings) -> Html:
    found = findings.trust
    if found.score is None:
        return tag("p", "No score was sought: costs in closed form are exact, and need no trust.")
    rows = sorted(found.models, key=lambda row: -row[2])
    cells = [
        [(name, name), (score, pretty(found.score, score)), (params, pretty("params", params)), (top1, f"{top1:g} %")]
        for name, score, top1, params in rows
    ]
    heads = ["published model", unit(found.score).words, unit("params").head, "ImageNet top-1 as printed"]
    return join(
        [tag("p", _tau(found), class_="note" if found.tau is None else None), _table(heads, cells) if rows else ""]
    )


def _tau(found: trust.Trust) -> str:
    n = len(found.models)
    if found.tau is None or found.low is None or found.high is None:
        why = f"{n} published models with a printed ImageNet Top-1 {'was' if n == 1 else 'were'} evaluated here"
        return f"Not measured: {why}; a rank correlation needs {trust.FEWEST}, and scores that differ."
    said = f"Kendall's tau between the proxy's score and the printed ImageNet Top-1 is {found.tau:.2f} over {n} models"
    return f"{said}{_doubt(found.low, found.high, n)}{_size(found)}"


def _doubt(low: float, high: float, n: int) -> str:
    if low < high:
        return f" (95 % of resamples from {low:.2f} to {high:.2f}). 1 is the same order, 0 is none."
    agree = "agree" if low > 0 else "are the wrong way round"
    return f". All pairs {agree}, so that resampling cannot show a doubt; {n} are few all the same."


def _size(found: trust.Trust) -> str:
    """What the proxy has to be better than, to be worth its time."""
    if found.baseline is None or found.tau is None:
        return ""
    said = f" The number of parameters alone, which costs no training, has {found.baseline:.2f} on the same models"
    return f"{said}: on them the proxy tells no more than size does." if found.tau <= found.baseline else f"{said}."


# ---- what was asked


def _space(findings: Findings) -> Html:
    space = findings.space
    about, pixels = "" if space.size_is_exact else "about ", space.document.data.get("image_size", 256)
    rows = [[(c.name, c.name), (None, _values(c)), (len(c.values), len(c.values))] for c in space.choices]
    where = space.document.data.get("where", [])
    conditions = [where] if isinstance(where, str) else where
    facts = {
        "size": f"{about}{space.size:,} architectures at {pixels} px",
        "conditions": tag("ul", *(tag("li", tag("code", text)) for text in conditions)) if conditions else "none",
        "contains": ", ".join(space.contains) or "no published model",
    }
    return join([_list(facts), _table(["open value", "may be", "values"], rows, words_first=2)])


def _values(choice: Choice) -> str:
    if choice.step is not None:
        return f"{choice.values[0]} to {choice.values[-1]} in steps of {choice.step}"
    return ", ".join(map(architecture_diff.shown, choice.values))


def _asked(findings: Findings) -> Html:
    facts, search = findings.facts, findings.facts["search"]
    asked = {
        "objectives": _listed(_sought(o) for o in findings.objectives),
        "limits": ", ".join(limit.text for limit in findings.limits) or "none",
        "sampler": f"{search['sampler']}, seed {search['seed']}",
        "trials": f"{len(findings.records)} of {search['trials']}",
        "confirmed": "the front was measured again with further seeds" if search.get("confirm") else "no",
        "images": facts.get("data", "none were needed"),
        "device": facts.get("device", "nothing was timed"),
    }
    named = {name: _pairs(part) for name, part in facts["settings"].items() if isinstance(part, dict)}
    return _list(asked | named)


def _pairs(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in settings.items() if value is not None)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else architecture_diff.shown(value)


def _machines(findings: Findings) -> Html:
    if not findings.machines:
        return tag("p", "Nothing was measured yet, on no machine.")
    return join(
        _list({key.removesuffix("_bytes"): _machine_fact(key, value) for key, value in one.items() if value})
        for one in findings.machines
    )


def _machine_fact(key: str, value: Any) -> str:
    if key == "memory_bytes":
        return f"{value / 2**30:.1f} GiB"
    return _pairs(value) if isinstance(value, dict) else _text(value)


def _again(findings: Findings) -> Html:
    text = plan_yaml(findings)
    file = f"{findings.name}.yaml"
    link = f"data:text/yaml;base64,{b64encode(text.encode()).decode()}"
    words = ["Keep the plan as ", tag("a", file, href=link, download=file), " (below in full), and run"]
    version = (
        ", ".join(dict.fromkeys(str(m.get("versions", {}).get("mvsearch")) for m in findings.machines)) or "unknown"
    )
    notes = (
        f"With mvsearch {version}, as here, and one worker, the same seed proposes the same candidates; scores differ "
        "between machines by the noise of training."
    )
    return join(
        [
            tag("p", *words),
            tag("pre", tag("code", f"mvsearch run {shlex.quote(file)} --name {shlex.quote(findings.name)}")),
            tag("p", notes),
            _more("The plan", tag("pre", tag("code", text))),
        ]
    )


def plan_yaml(findings: Findings) -> str:
    """The study's space file, with what its last run was told on the command line."""
    search = {key: value for key, value in findings.facts["search"].items() if key != "workers"}
    return yaml_document.dump_block(findings.facts["document"] | {"search": search})


SECTIONS: dict[str, tuple[str, Callable[[Findings], Html]]] = {
    "front": ("Front", _front),
    "members": ("Members", _members),
    "choices": ("Choices", _choices),
    "importance": ("What decides", _importance),
    "progress": ("Progress", _progress),
    "trust": ("Trust in the proxy", _trust),
    "space": ("Space", _space),
    "settings": ("Settings", _asked),
    "machine": ("Machine", _machines),
    "again": ("Run it again", _again),
}
"""In the order of the page: what is linked to, its heading, and who writes it."""
