"""The page of example specs, cluster files and scripts."""

from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

LANGUAGES = {".yaml": "yaml", ".py": "python"}

INTRODUCTION = """# Example specs

Every file runs as it stands: `mupc run FILE`. `mupc plan FILE` estimates it first.
"""


def _files() -> list[Path]:
    files = [path for path in (ROOT / "examples").rglob("*") if path.suffix in LANGUAGES]
    return [*sorted(files, key=lambda path: (len(path.parts), path)), ROOT / "cluster.yaml"]


def _anchor(path: str) -> str:
    return path.replace("/", "-").replace(".", "-")


@cache
def anchors() -> dict[str, str]:
    """Return the anchor on the page by the path of a file or folder."""
    files = [path.relative_to(ROOT) for path in _files()]
    places = {path.as_posix(): _anchor(path.as_posix()) for path in files}
    for path in reversed(files):  # a folder is at its first file
        places[path.parent.as_posix()] = _anchor(path.as_posix())
    return places


def page() -> str:
    """Return the page."""
    pieces = [INTRODUCTION]
    for path in _files():
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text().strip()
        pieces.append(
            f"## {name} {{ #{_anchor(name)} }}\n\n```{LANGUAGES[path.suffix]}\n{text}\n```\n"
        )
    return "\n".join(pieces)
