"""Events of MkDocs: the pages that are generated, and links that work on the forge and on the site.

A page of docs/ links to files of the repository as the forge shows them, such as `../SECURITY.md`.
Here those links lead to the pages that this site has of these files.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import api
import commands
import examples
import links
import notebooks
import spec_keys

REST = "*"
"""In the navigation: the pages of a folder that no other line names."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace every "*" of the navigation by the pages that nobody names."""
    docs = Path(config.docs_dir)
    written = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    named = set(_paths(config.nav))
    config.nav = _expanded(config.nav, sorted(written - named))
    return config


def _paths(nav: object) -> list[str]:
    """Return the pages that a part of the navigation names."""
    if isinstance(nav, str):
        return [nav]
    items = nav.values() if isinstance(nav, dict) else nav
    return [path for item in items for path in _paths(item)]


def _expanded(nav: object, rest: list[str]) -> object:
    if isinstance(nav, dict):
        return {title: _expanded(item, rest) for title, item in nav.items()}
    if not isinstance(nav, list):
        return nav
    expanded = []
    for item in nav:
        if isinstance(item, str) and item.endswith(REST):
            folder = item.removesuffix(REST)
            expanded += [path for path in rest if path.rpartition("/")[0] == folder.rstrip("/")]
        else:
            expanded.append(_expanded(item, rest))
    return expanded


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the schema, the commands, the code and other files."""
    pages = {
        "reference/keys.md": spec_keys.page(),
        "reference/commands.md": commands.page(),
        "reference/examples.md": examples.page(),
        **api.pages(),
        **links.repository_pages(),
        **notebooks.pages(),
    }
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to files of the repository to the site's pages of them."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]
    return links.redirected(markdown, page.file.src_uri)
