"""Writes docs/benchmarks/search.md and search.png from the results."""

import statistics
import textwrap
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nasbench201
from _board import OTHERS, OURS, STOCK, Board, share_curves
from _kept import STEPS, Kept
from _landscape import TASKS, Reference, Task
from _picture import STROKES, picture
from _searchers import SEARCHERS, Searcher

from mvsearch.utils.machine import describe

_FIGURES = {"search.png": TASKS[:-1], "search_mixed.png": TASKS[-1:]}
_REACH = 3 + len(STEPS)  # the column "to ours at 100"

_HEAD = """\
# How many trainings a sampler needs

The default sampler of mvsearch (`surrogate`; "ours") compared with those of Optuna and pymoo, by hypervolume after a
number of evaluations (higher is better). The score here is synthetic. It shows how samplers compare where two of three
objectives are exact and free, and the third is an expensive function of some twenty choices (smooth, noisy or rugged),
or of 44 in a space with several kinds of blocks. It does not show what ImageNet or any real training would give: we
chose its shape, and our sampler's features (logarithms of widths) suit it. The rugged task limits this bias, but does
not remove it. Real trainings: [NAS-Bench-201](#nas-bench-201-trained-networks-and-a-measured-latency) below, and
[Fashion-MNIST](real_search.md).

![Hypervolume against evaluations](search.png)

![Hypervolume against evaluations, in a space with several kinds of blocks](search_mixed.png)

Lines are medians over seeds, bands reach from the worst seed to the best. Dashed lines are Optuna's samplers as
mvsearch runs them: inside `samplers/_constrained.py`, started with the published models ("seeded"). NSGA-III and pymoo
are in the tables. The dotted line is the share of ours at 100.
"""

_METHOD = """\
## What is counted

* **Share**: hypervolume of the *true* scores evaluated so far, in the box that each table names, over that of the best
  front known. The sampler sees the noisy score.
* **Evaluation**: a training. A proposal that violates the space's conditions (`where:`) cannot be built: it fails and
  costs nothing. This favours the stock samplers, which would otherwise pay for {unbuildable} on the first task.
* **Stock** samplers run as in plain Optuna or pymoo: without anything of mvsearch, without published models, with the
  default population (pymoo's is set to Optuna's 50). The limits (the box) are passed as the library's own constraints
  after the evaluation, as Optuna documents it, so a candidate that violates them costs an evaluation (column "beyond").
  TPE is multivariate: the univariate default repeats itself.
* **Seeded** samplers are those of `mvsearch run`: every proposal is moved inside conditions and limits, no candidate is
  proposed twice, the published models come first. Seeded pymoo has them in its first population.
* **To ours at 100**: evaluations until a sampler's median reaches ours at 100.
* **Choices without effect** (fields of a kind that a row is not) have their first value before a network is evaluated,
  counted or seen again; stock samplers are told what they proposed.
* Optuna's GP takes seconds a proposal, and three of four proposals of the stock one cannot be built: two seeds, few
  evaluations, the first task alone.
* **CPU ms**: median of a run's last 20 proposals, then of runs; on a machine that others used too.
"""


def write(folder: Path, results: Mapping[Any, dict[str, Any]], references: Mapping[str, Reference]) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "search.md"
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    curves = {
        task.name: share_curves(task, results, references[task.name]) for task in TASKS if task.name in references
    }
    board = Board({task.name: {} for task in TASKS} | curves, results, Kept.of(before, TASKS))
    text = nasbench201.replace_section(page(board, references), nasbench201.read_section(before))
    file.write_text(text, encoding="utf-8")
    for name, tasks in _FIGURES.items():
        if not (folder / name).exists() or all(_is_drawn(board, task) for task in tasks):
            (folder / name).write_bytes(picture(board, tasks))


def _is_drawn(board: Board, task: Task) -> bool:
    """Whether all curves of a panel are at hand."""
    drawn = [s for s in SEARCHERS if s.name in STROKES and task.name in s.tasks]
    return all(searcher.name in board.curves[task.name] for searcher in drawn)


# ---- the page


def page(board: Board, references: Mapping[str, Reference]) -> str:
    """The text of search.md."""
    first = [a["unbuildable"] / (a["unbuildable"] + a["evaluations"]) for a in board.accounts(TASKS[0].name, "random")]
    wasted = f"{statistics.median(first):.0%} of random proposals" if first else "three of four random proposals"
    parts = [
        _HEAD + _earlier(board),
        _targets(board),
        *filter(None, (_section(board, task, references) for task in TASKS)),
        _METHOD.format(unbuildable=wasted),
        _score(),
        _origin(),
    ]
    return "\n".join(parts)


@dataclass(frozen=True)
class Target:
    """A target and the figure measured; `met` is None if runs that would decide it are missing."""

    promise: str
    measured: str
    met: bool | None


def _targets(board: Board) -> str:
    words = {True: "met", False: "**not met**", None: "open"}
    rows = [
        board.kept.targets.get(t.promise, "") * (t.met is None) or f"| {t.promise} | {t.measured} | {words[t.met]} |"
        for t in targets(board)
    ]
    return "\n".join(("## Targets", "", "| target (medians over seeds) | measured | |", "|---|---|---|", *rows, ""))


def targets(board: Board) -> list[Target]:
    """All targets with their figures."""
    bounds = [("smooth", 50, 0.90), ("smooth", 100, 0.965), ("smooth", 200, 0.985), ("noise05", 100, 0.94)]
    results = [_share_target(board, *bound) for bound in bounds]
    results.append(_rugged_target(board))
    for words, others in (("stock", STOCK), ("seeded", [o for o in OTHERS if o not in STOCK])):
        results.append(_ratio_target(board, words, others))
    results += _random_targets(board)
    for words, others in (("stock", STOCK), ("seeded", [o for o in OTHERS if o not in STOCK])):
        results.append(_lead_target(board, words, others))
    results.append(_mixed_target(board))
    results += _duplicates_targets(board)
    return results


def _share_target(board: Board, task: str, step: int, bound: float) -> Target:
    share = board.at(task, OURS.name, step)
    promise = f"{_title(task)}: ≥ {_share(bound)} at {step}"
    return Target(promise, "-" if share is None else _share(share), None if share is None else share >= bound)


def _rugged_target(board: Board) -> Target:
    ours, theirs = board.at("rugged", OURS.name, 100), board.at("rugged", "nsga2", 1000)
    promise = "rugged: ours at 100 ≥ NSGA-II at 1000"
    if ours is None or theirs is None:
        return Target(promise, "-", None)
    return Target(promise, f"{_share(ours)} against {_share(theirs)}", ours >= theirs)


def _ratio_target(board: Board, words: str, others: Sequence[Searcher]) -> Target:
    """Not met if one reaches ours before 1000; open as long as one was not followed to 1000."""
    promise = f"smooth: every {words} sampler but GP needs ≥ 10 times the evaluations to reach ours at 100"
    share = board.at("smooth", OURS.name, 100)
    if share is None:
        return Target(promise, "-", None)
    went = {o.title: board.reaches("smooth", o.name, share) for o in others if not o.name.startswith("gp")}
    early = [f"{title} reaches it at {n}" for title, (n, there) in went.items() if there and n < 1000]
    short = [f"{title} followed to {n} only" for title, (n, there) in went.items() if not there and n < 1000]
    far = [title for title, (n, there) in went.items() if n >= 1000]
    parts = [*early, *short, f"not before 1000: {', '.join(far) or 'none'}"]
    return Target(promise, "; ".join(parts), False if early else None if short else True)


def _mixed_target(board: Board) -> Target:
    promise = "mixed: ours at 50 ≥ every other sampler at 200"
    ours = board.at("mixed", OURS.name, 50)
    others = {o.title: share for o in OTHERS if (share := board.at("mixed", o.name, 200)) is not None}
    if ours is None or not others:
        return Target(promise, "-", None)
    best = max(others, key=lambda title: others[title])
    return Target(promise, f"{_share(ours)} against {_share(others[best])} of {best}", ours >= others[best])


def _random_targets(board: Board) -> list[Target]:
    promise = "below random, stock or seeded, at no point of any curve"
    gaps, titles = [], set()
    for task in TASKS:
        for other in ("random", "random+"):
            ours, theirs = board.median(task.name, OURS.name), board.median(task.name, other)
            n = min(len(ours), len(theirs))
            gaps += [(float(gap), i + 1, task.title) for i, gap in enumerate(ours[:n] - theirs[:n])]
            titles |= {task.title} if n else set()
    below = [i for gap, i, _ in gaps if gap < 0]
    words = "never below"
    if below:
        least, where, title = min(gaps)
        words = f"{least:+.3f} at {where} on {title}; below at {len(below)} points, at none after {max(below)}"
    return _by_tasks(promise, words, not below, titles)


def _by_tasks(promise: str, measured: str, met: bool, titles: Set[str]) -> list[Target]:
    """The target over all tasks; where only some are at hand, that over these, and the one over all as open."""
    everything, some = Target(promise, "-", None), "; ".join(task.title for task in TASKS if task.title in titles)
    if len(titles) == len(TASKS):
        return [Target(promise, measured, met)]
    return [everything, Target(f"{promise} ({some})", measured, met)] if titles else [everything]


def _lead_target(board: Board, words: str, others: Sequence[Searcher]) -> Target:
    promise = f"limited: at 100 at least as far ahead of the best {words} sampler as on the smooth task"
    limited, smooth = board.lead("limited", others), board.lead("smooth", others)
    if limited is None or smooth is None:
        return Target(promise, "-", None)
    return Target(promise, f"ahead by {_share(limited)} against {_share(smooth)}", limited >= smooth)


def _duplicates_targets(board: Board) -> list[Target]:
    counts = {task.title: [a["duplicates"] for a in board.accounts(task.name, OURS.name)] for task in TASKS}
    flat = [count for each in counts.values() for count in each]
    titles = {title for title, each in counts.items() if each}
    return _by_tasks("ours: no architecture twice", f"{sum(flat)} in {len(flat)} runs", not any(flat), titles)


def _earlier(board: Board) -> str:
    """What the page keeps of earlier runs."""
    ours = [task.title for task in TASKS if (task.name, OURS.name) in board.kept.rows and not board.curves[task.name]]
    rows = {task for task, sampler in board.kept.rows if sampler not in board.curves[task]}
    kept = [task.title for task in TASKS if task.name in rows and board.curves[task.name]]
    words = []
    if ours:
        words.append(f"The row of mvsearch is of an earlier version of the sampler in: {'; '.join(ours)}.")
    if kept:
        words.append(f"Rows of the table are newer than the figure in: {'; '.join(kept)}.")
    return "".join(f"\n{textwrap.fill(each, 120)}\n" for each in words)


def _section(board: Board, task: Task, references: Mapping[str, Reference]) -> str:
    """The table of a task, with rows of an earlier page where there are no runs; empty without either."""
    if board.curves[task.name]:
        return _table(board, task, references[task.name])
    return board.kept.sections.get(task.name, "").rstrip() + "\n" if task.name in board.kept.sections else ""


def _table(board: Board, task: Task, reference: Reference) -> str:
    box = f"score > {task.worst:g}, params < {task.params / 1e6:g} M, MACs < {task.macs / 1e9:g} G"
    alone = [volume / reference.volume for volume in reference.alone]
    columns = ("", "seeds", *map(str, STEPS), "at 100, min-max", "to ours at 100", "twice", "beyond", "CPU ms")
    lines = [
        f"## {task.title[0].upper()}{task.title[1:]}",
        "",
        f"`{task.file}`, {task.plan.space.size:.1e} points; box: {box}.",
        f"Best front known: {reference.points:,} points; of it each evolution reaches {min(alone):.4f} or more.",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *filter(None, (_row(board, task, searcher) for searcher in SEARCHERS)),
        "",
        *([task.note, ""] if task.note else []),
    ]
    return "\n".join(lines)


def _row(board: Board, task: Task, searcher: Searcher) -> str:
    """A row, of an earlier page where there are no runs; empty without either."""
    if searcher.name not in board.curves[task.name]:
        cells = list(board.kept.rows.get((task.name, searcher.name), ()))
        if cells and OURS.name in board.curves[task.name]:
            cells[_REACH] = _reach(board, task, searcher)
        return "| " + " | ".join(cells) + " |" if cells else ""
    runs, accounts = board.curves[task.name][searcher.name], board.accounts(task.name, searcher.name)
    shares = [board.at(task.name, searcher.name, step) for step in STEPS]
    cells = ["" if share is None else _share(share) for share in shares]
    spread = f"{_share(runs[:, 99].min())}-{_share(runs[:, 99].max())}" if runs.shape[1] >= 100 else ""
    counts = [statistics.median_high(a[name] for a in accounts) for name in ("duplicates", "over")]
    title = f"**{searcher.title}**" if searcher is OURS else searcher.title
    slow = statistics.median(a["proposal_ms"] for a in accounts)
    reach = _reach(board, task, searcher)
    tail = [spread, reach, *map(str, counts), f"{slow:.2g}" if slow < 100 else f"{slow:.0f}"]
    return "| " + " | ".join((title, str(len(runs)), *cells, *tail)) + " |"


def _reach(board: Board, task: Task, searcher: Searcher) -> str:
    share = board.at(task.name, OURS.name, 100)
    if searcher is OURS or share is None:
        return ""
    evaluations, there = board.reaches(task.name, searcher.name, share)
    if not there:
        return f"> {evaluations} (> {evaluations / 100:g}x)"
    most = "" if searcher.name in board.curves[task.name] else "≤ "  # a column of an earlier page
    return f"{most}{evaluations} ({most}{evaluations / 100:.1f}x)"


def _score() -> str:
    misfits = TASKS[0].landscape.misfits()
    rows = [f"| {name} | {top1:.2f} | {score:.2f} | {score - top1:+.2f} |" for name, (top1, score) in misfits.items()]
    lines = [
        "## The score",
        "",
        "83 - exp(a - b·g), where g adds logarithms of widths, saturating depths and fusion choices, less imbalances",
        "squared: `Landscape` in `benchmarks/_landscape.py`. The rugged one adds a random table for each of 40 pairs",
        "of choices, 0.7 points of standard deviation in all. Published Top-1 and smooth score, in the v3 space:",
        "",
        "| | published | synthetic | |",
        "|---|---|---|---|",
        *rows,
        "",
        "In the mixed space: `benchmarks/_mixed_score.py`. There the best kind of block differs by stage, rows may be",
        "left out, and the image size is open; the published models come out within 1.4 points of their Top-1, by",
        "weights that were moved for it.",
        "",
        "The best front known is not proven optimal: three long evolutions on the true score (900,000 candidates each)",
        "are joined, then every change of a single choice is tried until none adds a point.",
        "",
    ]
    return "\n".join(lines)


def _origin() -> str:
    machine = describe()
    names = ("optuna", "pymoo", "moocore", "numpy", "scipy", "scikit-learn")
    versions = ", ".join(f"{name} {version(name)}" for name in ("mvsearch-nas", *names))
    lines = [
        "## Run it",
        "",
        "    OMP_NUM_THREADS=1 python benchmarks/search.py all --seeds 5 --report",
        "",
        "A finished run is a line of `build/search.jsonl`; only ours is run again, after a change of its source:",
        "",
        "    OMP_NUM_THREADS=1 python benchmarks/search.py surrogate --report",
        "",
        f"Machine of the latest runs: {machine['cpu']}, {machine['cores']} cores, one thread a run.",
        f"Python {machine['python']}, {versions}.",
        "",
    ]
    return "\n".join(lines)


def _title(task: str) -> str:
    return next(t.title for t in TASKS if t.name == task)


def _share(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
