"""The documentation: links lead to files, the index is complete, and commands in it have the options it uses."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest
import write_reference

from mvsearch.cli.main import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "studies").glob("*.md")]
)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#]+)(?:#[^)]*)?\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_to_a_file(page):
    links = LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_anchor_is_that_of_a_heading(page):
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    assert [f"{path}#{anchor}" for path, anchor in links if anchor not in anchors(page.parent / path, page)] == []


def anchors(path: Path, page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page, by default this one."""
    text = re.sub(r"```.*?```", "", (path if path.is_file() else page).read_text(encoding="utf-8"), flags=re.S)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.M)
    }


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]  # --quiet hides faults
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # an advertisement of the theme on stderr
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (built.returncode, "WARNING" in built.stderr) == (0, False), built.stderr
    assert (tmp_path / "reference" / "space" / "index.html").exists()
    assert (tmp_path / "search" / "search_index.json").exists()


def test_the_index_links_to_every_page():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    assert [name(page) for page in PAGES if page.is_relative_to(index.parent) and page not in {*linked, index}] == []


@pytest.mark.parametrize("page", write_reference.PAGES)
def test_a_reference_equals_the_code(page):
    stored = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    assert stored == write_reference.content(page), "run `python scripts/write_reference.py`"


@cache
def options(command: str) -> set[str]:
    """The options of a command and of its subcommands."""
    context = click.Context(cli)
    found = cli.get_command(context, command)
    assert found is not None, f"there is no command {command}"
    commands = [found, *(found.commands.values() if isinstance(found, click.Group) else ())]
    return {
        "--help",
        *(flag for each in commands for param in each.params for flag in (*param.opts, *param.secondary_opts)),
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_the_docs_have_the_options_that_are_used(page):
    uses = re.findall(r"mvsearch ((?!data/)[a-z-]+)((?: [^`\n]*)?)", page.read_text())
    commands = set(cli.list_commands(click.Context(cli)))
    unknown = [
        f"mvsearch {command} {flag}"
        for command, rest in uses
        if command in commands
        for flag in re.findall(r"(?<=\s)(--?[a-z][a-z0-9-]*)", re.split(r"#|&&|\|", rest)[0])
        if flag not in options(command)
    ]
    assert unknown == []
