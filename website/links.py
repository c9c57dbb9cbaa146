"""Links to files outside docs/, and the pages that this site has of those files."""

import posixpath
import re
from pathlib import Path

import examples

ROOT = Path(__file__).parents[1]

PROJECT_PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
}
"""Pages of the site that are files of the repository's root."""

_LINK = re.compile(r"(?P<text>\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def repository_pages() -> dict[str, str]:
    """Return the text of the pages that are files of the repository's root."""
    return {page: (ROOT / name).read_text() for name, page in PROJECT_PAGES.items()}


def redirected(markdown: str, page: str) -> str:
    """Return a page with links that lead to pages of the site.

    Args:
        markdown: the text, with links as the forge follows them.
        page: the page's path in the site's sources.
    """
    pieces = []
    end = 0
    for fence in _FENCE.finditer(markdown):
        pieces += [_redirected_text(markdown[end : fence.start()], page), fence[0]]
        end = fence.end()
    return "".join([*pieces, _redirected_text(markdown[end:], page)])


def _redirected_text(text: str, page: str) -> str:
    return _LINK.sub(lambda link: _redirected_link(link, page), text)


def _redirected_link(link: re.Match[str], page: str) -> str:
    target, _, anchor = link["target"].partition("#")
    if not target or ":" in target:
        return link[0]
    origin = next((name for name, uri in PROJECT_PAGES.items() if uri == page), f"docs/{page}")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
    if path.startswith("docs/"):
        place = path.removeprefix("docs/")
    elif path == "README.md":
        place = "index.md"
    elif path in PROJECT_PAGES:
        place = PROJECT_PAGES[path]
    elif path.startswith("examples/notebooks/"):
        place = f"notebooks/{posixpath.basename(path).removesuffix('.ipynb')}.md"
    elif path in examples.anchors():
        place, anchor = "reference/examples.md", examples.anchors()[path]
    elif (ROOT / path).exists():
        return link["text"][1:-1]  # code, which the site does not have
    else:
        return link[0]  # MkDocs reports it
    relative = posixpath.relpath(place, posixpath.dirname(page) or ".")
    return f"{link['text']}({relative}{'#' if anchor else ''}{anchor})"
