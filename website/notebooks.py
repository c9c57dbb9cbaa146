"""The pages of the notebooks of examples/, executed when the site is built."""

import asyncio
import base64
import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"

TIMEOUT = 600
"""Seconds that a cell may take."""

QUIET = "ignore:IProgress not found"
"""Python's option against the warning that a progress bar will be text."""

DOWNLOAD = """!!! note ""
    This page is the notebook `examples/notebooks/{name}.ipynb`, executed when the site was built.
"""


def sources() -> list[Path]:
    """Return the notebooks, which are stored without outputs."""
    return sorted(FOLDER.glob("*.ipynb"))


def executed(path: Path) -> NotebookNode:
    """Return a notebook with its outputs, executed in an empty folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    return asyncio.run(_executed(path))


async def _executed(path: Path) -> NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": folder}},
        )
        await client.async_execute(env=os.environ | {"PYTHONWARNINGS": QUIET})
    return notebook


def pages() -> dict[str, str | bytes]:
    """Return the pages and their figures by place, all notebooks executed at the same time."""

    async def all_executed() -> list[NotebookNode]:
        return await asyncio.gather(*map(_executed, sources()))

    found: dict[str, str | bytes] = {}
    for path, notebook in zip(sources(), asyncio.run(all_executed()), strict=True):
        found |= rendered(path.stem, notebook)
    return found


def rendered(name: str, notebook: NotebookNode) -> dict[str, str | bytes]:
    """Return the page of an executed notebook, and its figures, by place."""
    pieces: list[str] = []
    figures: dict[str, str | bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            pieces.append(cell.source)
            continue
        pieces.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                figure = f"{name}-{len(figures) + 1}.png"
                figures[f"notebooks/{figure}"] = base64.b64decode(data["image/png"])
                pieces.append(f"![Figure that the cell above draws]({figure})")
            elif "text/html" in data:
                pieces.append(_table(data["text/html"]))
            elif text := output.get("text", data.get("text/plain", "")):
                pieces.append(f"```text\n{text.rstrip()}\n```")
    title, *rest = pieces
    page = "\n\n".join([title, DOWNLOAD.format(name=name), *rest])
    return {f"notebooks/{name}.md": page, **figures}


def _table(html: str) -> str:
    """Return a frame of pandas in HTML without its own style."""
    bare = re.sub(r"<style.*?</style>|</?div>| border=\"1\"", "", html, flags=re.DOTALL)
    lines = [line for line in bare.splitlines() if line.strip()]
    return "\n".join(['<div class="output">', *lines, "</div>"])
