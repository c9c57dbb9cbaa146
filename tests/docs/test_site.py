"""The site: built without a warning, complete, legible on a phone, and without the net."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest
from typer.main import get_command

from jobs.cli.main import app
from transfer.spec.model import Experiment
from transfer.spec.schema import json_schema

pytest.importorskip("mkdocs", reason="the site needs the extra `docs`: make docs")
nbformat = pytest.importorskip("nbformat", reason="notebooks need the extra `docs`: make docs")

pytestmark = pytest.mark.slow  # the build runs every notebook

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
PACKAGES = ("mupc", "pccore", "transfer", "results", "jobs")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    settings = {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "WARNING" not in built.stderr
    return folder


def html(site: Path, page: str) -> str:
    return (site / page / "index.html").read_text()


def test_every_page_of_docs_is_in_the_navigation(site: Path) -> None:
    home = html(site, ".")
    for page in (ROOT / "docs").rglob("*.md"):
        place = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        place = re.sub(r"(^|/)(index|README)$", r"\1", place)
        assert f'href="{place.rstrip("/")}/"' in home or not place, page
        assert (site / place / "index.html").exists()


@pytest.mark.parametrize("package", [*PACKAGES, "pccore.data", "pccore.theory"])
def test_every_public_name_is_documented(site: Path, package: str) -> None:
    """A name has an entry with its docstring, under the name by which users import it."""
    page = html(site, f"reference/api/{package.partition('.')[0]}")
    module = import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, ModuleType) or name.startswith("__"):
            continue
        entry = re.search(
            rf'id="{re.escape(package)}\.{name}".*?(?=<h[23] id="{re.escape(package)}\.\w+"|$)',
            page,
            re.DOTALL,
        )
        assert entry, f"{package}.{name} is not on the page"
        assert "<p>" in entry[0], f"{package}.{name} has no docstring"


def test_every_key_of_a_spec_is_on_the_page(site: Path) -> None:
    page = html(site, "reference/keys")
    schema = json_schema(Experiment)
    for mapping in (schema, *schema["$defs"].values()):
        for key, value in mapping["properties"].items():
            row = f"<td><code>{key}</code></td>"
            assert row in page, key
            assert value.get("description"), key


def test_every_command_and_option_is_on_the_page(site: Path) -> None:
    page = html(site, "reference/commands")
    for name, command in get_command(app).commands.items():
        section = page.partition(f'id="{name}"')[2].partition("<h2")[0]
        for parameter in command.params:
            names = parameter.opts if parameter.param_type_name == "option" else []
            for option in names:
                assert f"<code>{option}</code>" in section, f"mupc {name} {option}"


class Loaded(HTMLParser):
    """Collects what a browser loads with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.places.append(values.get("href") or "")
        elif tag in ("script", "img", "iframe", "source", "video"):
            self.places.append(values.get("src") or "")


def test_nothing_is_loaded_from_the_net(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = Loaded()
        loaded.feed(page.read_text())
        assert not [place for place in loaded.places if re.match(r"(https?:)?//", place)], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)[\s\"']*(https?:)?//", sheet.read_text()), sheet


def test_search_finds_pages_of_every_kind(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    for place in ("tutorial/", "reference/keys/", "reference/api/mupc/", "decisions/speed/"):
        assert place in places


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs_and_run(site: Path, path: Path) -> None:
    """The site's build executes them and fails if a cell does."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    page = html(site, f"notebooks/{path.stem}")
    assert page.count('class="output"') >= 1, "no table of results"
    assert "Traceback" not in page
    assert "Warning" not in page


def test_notebooks_show_what_they_say(site: Path) -> None:
    page = html(site, "notebooks/ten_minutes")
    assert "augmented Lagrangian: 17 of 17 layers learned" in page
    assert int(re.search(r"gradient descent: (\d+) of 17", page)[1]) < 17
    figures = re.findall(r'src="\.\./(ten_minutes-\d\.png)"', page)
    assert len(figures) == 2
    for figure in figures:
        assert (site / "notebooks" / figure).stat().st_size > 5000


MEASURE = """<body style="margin:0"><iframe id="page" style="width:390px;height:800px"></iframe>
<script>
page.onload = () => {
  const root = page.contentDocument.documentElement;
  const size = parseFloat(getComputedStyle(page.contentDocument.querySelector("p")).fontSize);
  document.title = [root.scrollWidth, page.contentWindow.innerWidth, size].join(" ");
};
page.src = location.hash.slice(1);
</script>"""


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_pages_fit_a_phone(site: Path) -> None:
    """Only tables and code scroll sideways at 390 pixels, and text is not small."""
    (site / "measure.html").write_text(MEASURE)
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        for page in ("", "tutorial/", "reference/keys/", "notebooks/ledger/", "scorecard/"):
            address = f"http://127.0.0.1:{server.server_port}/measure.html#/{page}"
            options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
            shown = subprocess.run(
                [CHROMIUM, *options, "--dump-dom", address], capture_output=True, text=True
            ).stdout
            width, window, size = map(float, re.search("<title>(.*)</title>", shown)[1].split())
            assert width <= window == 390, page
            assert size >= 14, page
    finally:
        server.shutdown()
