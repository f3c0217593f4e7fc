"""Write the pages of docs/reference/ from the code: the language of a space file, all settings, all commands.

python scripts/write_reference.py            write the pages
python scripts/write_reference.py --check    exit with 1 if a page differs from the code
"""

import sys
from collections.abc import Callable
from pathlib import Path

from reference import commands, settings, space

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "space.md": space.page,
    "settings.md": settings.page,
    "commands.md": commands.page,
}
_NOTE = "<!-- Written by scripts/write_reference.py from the code: change the code, then run that program. -->"


def content(name: str) -> str:
    """A page as the code says it is now."""
    return f"{PAGES[name]().strip()}\n\n{_NOTE}\n"


def main() -> None:
    """Write the pages, or check them."""
    stale = [name for name in PAGES if not _is_current(FOLDER / name, content(name))]
    if "--check" in sys.argv[1:]:
        sys.exit(f"{', '.join(stale)}: run scripts/write_reference.py" if stale else 0)
    for name in stale:
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / name).write_text(content(name), encoding="utf-8")
        print(f"wrote {FOLDER / name}")


def _is_current(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    main()
