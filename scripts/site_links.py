"""A hook of MkDocs: every link of a page holds on the site too.

A link from docs/ to another file of the repository leads to a copy of it under `repository/`: a page as it is, a text
as a page that shows it, a picture as a file, a folder as a page that lists its files.
"""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).resolve().parents[1]
_DOCS = _ROOT / "docs"
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
_PICTURES = {".png", ".svg", ".jpg", ".gif"}
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".jsonl": "json", ".toml": "toml"}
_sources: dict[str, Path] = {}
"""The file of the repository that a page of the site is made from, by its place on the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to, and what these link to."""
    _sources.clear()
    _sources.update({file.src_uri: _DOCS / file.src_uri for file in files})
    waiting = [file.src_uri for file in files.documentation_pages()]
    while waiting:
        source = _sources[waiting.pop()]
        targets = _links(source) if source.suffix == ".md" else _entries(source) if source.is_dir() else []
        for target in targets:
            place = _place(target)
            if place not in _sources and target.exists():
                _sources[place] = target
                files.append(_file(place, target, config))
                waiting.append(place)
    return files


def on_page_markdown(markdown: str, /, *, page: Page, **_: Any) -> str:
    """Lead each link to the place of its target on the site."""
    source = _sources[page.file.src_uri]
    if source.suffix != ".md":
        return markdown

    def lead(match: re.Match[str]) -> str:
        target = (source.parent / match[1]).resolve()
        return os.path.relpath(_place(target), Path(page.file.src_uri).parent) if target.exists() else match[1]

    return _LINK.sub(lead, markdown)


def _links(page: Path) -> list[Path]:
    return [(page.parent / link).resolve() for link in _LINK.findall(page.read_text(encoding="utf-8"))]


def _place(target: Path) -> str:
    """The place of a file or folder of the repository in the site's sources."""
    inside = target.is_relative_to(_DOCS)
    path = target.relative_to(_DOCS) if inside else Path("repository") / target.relative_to(_ROOT)
    if target.is_dir():
        return (path / "index.md").as_posix()
    is_shown = inside or target.suffix == ".md" or target.suffix in _PICTURES
    return path.as_posix() if is_shown else f"{path.as_posix()}.md"


def _file(place: str, target: Path, config: MkDocsConfig) -> File:
    if target.is_dir():
        links = [
            f"* [{entry.name}]({os.path.relpath(_place(entry), Path(place).parent)})" for entry in _entries(target)
        ]
        return File.generated(config, place, content="\n".join([f"# {target.name}/", "", *links, ""]))
    if place.endswith(target.name):
        return File.generated(config, place, abs_src_path=str(target))
    text = target.read_text(encoding="utf-8")
    fence = f"# {target.relative_to(_ROOT)}\n\n~~~~{_LANGUAGES.get(target.suffix, 'text')}\n{text}\n~~~~\n"
    return File.generated(config, place, content=fence)


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(("_", "."))]
