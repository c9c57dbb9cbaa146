"""The page is self-contained, complete, escaped and written atomically."""

import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from synthetic_ledger import (
    BETAS,
    ETAS,
    FakeLedger,
    at_chance,
    curve,
    layers,
    run,
    seeds,
    thesis_like,
    verdict,
)

import results
from results import LedgerError
from results.figures.style import PIXELS_PER_INCH
from results.page.report import CSS_PIXELS_PER_INCH, ReportError, report
from results.page.wording import NBSP

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Parses tags, attributes and text of a page; fails on tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.cells: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if "td" in self._open or "th" in self._open:
            self.cells[-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self):
        return " ".join("".join(self.text).replace(NBSP, " ").split())


def page_of(ledger, out, experiment=None):
    path = report(ledger, out, experiment)
    assert path == out / "index.html"
    assert not [p for p in out.iterdir() if p.name.startswith(".")]
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """An experiment with every outcome, and its page."""
    ledger = thesis_like(depths=(16, 64))
    out = tmp_path_factory.mktemp("report")
    return ledger, out, page_of(ledger, out)


def test_the_page_loads_nothing_from_elsewhere(full):
    _, out, page = full
    loads = [
        a[name] for _, a in page.tags for name in ("src", "href", "data", "action") if name in a
    ]
    assert loads
    assert all(link.startswith(("data:image/svg+xml;base64,", "#")) for link in loads)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    html = (out / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import|srcset", html)


def test_shows_every_verdict_with_label_and_reason(full):
    ledger, _, page = full
    assert len(ledger.verdict_rows) == 6
    for row in ledger.verdict_rows:
        assert row["reason"] in page.words
        target = f"N = {row['width']}, H = {row['depth']}"
        cells = [cell.replace(NBSP, " ").strip() for cell in page.cells]
        places = [i for i, cell in enumerate(cells) if cell == target]
        assert any(row["verdict"] in cells[i + 1] for i in places)


def test_every_figure_is_an_image_and_a_file(full):
    _, out, page = full
    names = sorted(path.name for path in out.glob("*.png"))
    assert names == [
        "digits-relu-landscape-1-mupc.png", "digits-relu-landscape-2-sp.png",
        "digits-relu-landscape-3-bp.png", "digits-relu-scaling.png", "digits-relu-training.png",
    ]  # fmt: skip
    assert len(page.all("img")) == len(names)
    for name, tag in zip(names, page.all("img"), strict=True):
        image = Image.open(io.BytesIO((out / name).read_bytes()))
        image.load()
        scale = PIXELS_PER_INCH / CSS_PIXELS_PER_INCH
        assert image.width == pytest.approx(int(tag["width"] or 0) * scale, abs=scale)
        assert name in page.words


def test_every_figure_has_an_alternative_text(full):
    _, _, page = full
    alts = [tag["alt"].replace(NBSP, " ") for tag in page.all("img")]
    assert len(set(alts)) == 5
    for alt, name in zip(alts, ["μPC", "SP", "BP"], strict=False):
        assert alt.startswith(f"Final training loss of {name} over the learning rate")
        assert all(f"N = 32, H = {depth} (" in alt for depth in (8, 16, 64))
        assert "transferred cell η = 0.1" in alt
    assert "SP at N = 32, H = 64: at chance" in alts[3]
    assert "SP at N = 32, H = 64: 3 at chance" in alts[4]


def test_tables_have_captions_headers_and_scopes(full):
    _, _, page = full
    assert len(page.all("caption")) == len(page.all("table")) == 4
    assert all(th.get("scope") in ("col", "row", "rowgroup") for th in page.all("th"))
    assert page.tags[0][0] == "html"
    assert page.all("html")[0]["lang"] == "en"


def test_the_page_has_settings_counts_and_captions(full):
    _, _, page = full
    for text in (
        "Transfer held at 16 and 64 layers",
        "Loss over the learning rates",
        "min. single-batch loss (thesis)",
        "Runs by outcome",
        "batch size B",
        "μPC: 1/B = 0.0156",
        "β depends on the batch size B",
        "as many steps as hidden layers (T = H)",
        "mupc 0.1.0, JAX 0.10.2",
    ):
        assert text in page.words


def test_a_second_report_replaces_the_first_and_leaves_other_files_alone(full, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    page_of(FakeLedger([run()]), tmp_path)
    page_of(FakeLedger([run(experiment="second")]), tmp_path)
    assert "second" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert (tmp_path / "notes.txt").read_text() == "mine"


GRID = [(eta, beta) for eta in ETAS for beta in BETAS[::3]]
CASES = {
    "only tuning": ([run(e, b, e + b) for e, b in GRID], [], "No verdict yet: the best cell"),
    "everything diverged": (
        [run(e, b, None, outcome="diverged") for e, b in GRID],
        [],
        "No verdict: no cell trained in 16 runs (16 diverged).",
    ),
    "everything failed": (seeds(0.1, 1, "failed", "failed"), [], "worker lost: out of memory"),
    "everything at chance": ([at_chance(e, 1) for e in ETAS], [], "(4 at chance)"),
    "a single cell": ([run()], [], "the best cell after 1 run is η = 0.1, β = 0.5."),
    "no activity rate": (seeds(0.1, None, 0.1, 0.2, variant="bp"), [], "against η alone"),
    "a sampler without a grid": (
        [run(0.1 / k, 0.3 * k, 0.1 * k) for k in range(1, 7)],
        [],
        "best cell after 6 runs",
    ),
    "a regression": (
        [run(depth=d, test_accuracy=None) for d in (8, 16)],
        [verdict("held", 16, accuracy=None, accuracy_std=None)],
        "Transfer held at 16 layers",
    ),
    "a verdict without its runs": ([], [verdict("edge", 64)], "on the edge of the searched grid"),
    "targets that all diverged": (
        [run(), run(depth=64, loss=None, outcome="diverged")],
        [verdict("inconclusive", 64, loss=None, best_loss=None, regret=None, accuracy=None)],
        "No cell trained at 64 layers.",
    ),
    "widths and depths": (
        [run(width=w, depth=d) for w in (32, 64) for d in (8, 16)],
        [verdict("held", 16), verdict("drifted", 8, width=64)],
        "N = 64, H = 8",
    ),
    "optimiser options that are no JSON": ([run(optimiser_options="eps: 1")], [], "adam (eps: 1)"),
    "nothing but the key columns": (
        [{k: run()[k] for k in ("run_id", "experiment", "phase", "variant", "outcome")}
         | {"width": 8, "depth": 2, "weight_lr": 0.1, "final_train_loss": 0.2}],
        [],
        "No verdict yet",
    ),
}  # fmt: skip


# Like others on this list, or like the page of every outcome above.
LATER = ("only tuning", "everything diverged", "everything at chance", "a single cell")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in LATER else []) for name in CASES],
)
def test_an_incomplete_ledger_makes_a_page(name, tmp_path):
    runs, verdicts, text = CASES[name]
    curves = [point for row in runs if "min_train_loss" in row for point in curve(row)]
    changes = [layer for row in runs if "layers" in row for layer in layers(row)]
    page = page_of(FakeLedger(runs, curves, verdicts, layer_rows=changes), tmp_path)
    assert text in page.words
    assert "nan" not in re.findall(r"\w+", page.words.lower())
    assert "None" not in page.words


HOSTILE = [
    """'"><img src=http://example.com/x><script>alert(1)</script>""",
    "$\\frac{",
    "../../etc/passwd",
    "{{ 7 * 7 }} &lt;b&gt; 試験 \u202e",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_escapes_hostile_names(name, tmp_path):
    out = tmp_path / "out"
    words = {"experiment": name, "variant": name, "activation": name, "dataset": name}
    rows = [run(**words, device=name, optimiser=name, seed=0)]
    rows.append(run(**words, loss=None, outcome="failed", seed=1) | {"cause": name})
    judged = verdict("held", 8, **words, reason=name) | {"verdict": name}
    page = page_of(FakeLedger(rows, [], [judged]), out)
    assert page.words.count(" ".join(name.split())) >= 10
    assert "script" not in {tag for tag, _ in page.tags}
    assert all(tag["src"].startswith("data:") for tag in page.all("img"))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in written} == {out}
    assert all(re.fullmatch(r"[a-z0-9.-]+", path.name) for path in written)


def test_each_experiment_data_set_and_activation_has_a_section(tmp_path):
    rows = [run(), run(activation="tanh"), run(dataset="mnist"), run(experiment="Digits relu")]
    judged = [verdict("held", 64, activation=a, reason=f"because of {a}") for a in ("relu", "tanh")]
    ledger = FakeLedger(rows, [], judged)
    page = page_of(ledger, tmp_path)
    sections = page.all("section")
    assert len(sections) == 4
    assert len({section["id"] for section in sections}) == 4
    links = {link["href"] for link in page.all("a")}
    assert links == {f"#{section['id']}" for section in sections}
    assert len(list(tmp_path.glob("*.png"))) == 4
    assert page.words.count("because of relu") == page.words.count("because of tanh") == 1
    alone = page_of(ledger, tmp_path / "one", "Digits relu")
    assert len(alone.all("section")) == 1
    assert alone.words.startswith("Hyperparameter transfer: Digits relu")


def test_settings_split_sections_and_verdicts_follow_their_runs(tmp_path):
    old = [run(batch_size=128, loss=0.3), run(batch_size=128, loss=0.3, depth=64)]
    new = [run(), run(depth=64, loss=0.2)]
    judged = verdict("held", 64, loss=0.3, reason="reached at 128")
    page = page_of(FakeLedger(old + new, [], [judged]), tmp_path)
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    parts = {part[:60]: part for part in html.split("<section ")[1:]}
    assert len(parts) == 2
    [with_verdict] = [part for part in parts.values() if "reached at 128" in part]
    assert "batch size = 128" in " ".join(with_verdict.split())
    assert "This experiment ran with several settings" in page.words


def test_the_newer_of_two_runs_of_one_cell_and_seed_counts(tmp_path):
    rows = seeds(0.1, 0.5, 0.3, inference_steps=4) + seeds(0.1, 0.5, 0.2, inference_steps=20)
    rows[0]["started"], rows[1]["started"] = sorted(row["started"] for row in rows)
    page = page_of(FakeLedger(rows), tmp_path)
    assert "The name was used with other specs before: 1 older run left out" in page.words
    assert "gradient descent, 20 steps" in page.words
    assert "0.200" in page.cells


@pytest.mark.parametrize(
    ("rows", "experiment", "sentence"),
    [
        (
            [run(), run(experiment="mnist")],
            "digits-rleu",
            "unknown experiment 'digits-rleu': choose from digits-relu, mnist; "
            "did you mean 'digits-relu'?",
        ),
        ([], "any", "the ledger holds no runs and no verdicts to report"),
        ([], None, "the ledger holds no runs and no verdicts to report"),
    ],
)
def test_an_empty_report_raises_and_writes_nothing(rows, experiment, sentence, tmp_path):
    with pytest.raises(LedgerError) as caught:
        report(FakeLedger(rows), tmp_path / "out", experiment)
    assert str(caught.value) == sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below", "file/below/deeper"])
def test_rejects_an_impossible_folder_before_drawing(place, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ReportError, match="is a file"):
        report(FakeLedger(), tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("failing", ["write_bytes", "replace"])
def test_a_failed_write_keeps_the_old_page(failing, tmp_path, monkeypatch):
    out = tmp_path / "deep" / "out"
    ledger = FakeLedger([run()])
    calls = []

    def fail(self, *args):
        calls.append(self)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, failing, fail)
    with pytest.raises(ReportError, match="No space left on device"):
        report(ledger, out)
    assert calls
    assert list(tmp_path.iterdir()) == []  # nor the folders made for it
    monkeypatch.undo()
    before = report(ledger, out).read_bytes()
    monkeypatch.setattr(Path, failing, fail)
    with pytest.raises(ReportError):
        report(FakeLedger([run(experiment="other")]), out)
    assert (out / "index.html").read_bytes() == before
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_the_same_ledger_gives_the_same_figures(tmp_path):
    ledger = FakeLedger([run(), run(0.5, 1, 0.3)])
    page_of(ledger, tmp_path / "a")
    page_of(ledger, tmp_path / "b")
    [name] = [path.name for path in (tmp_path / "a").glob("*.png")]
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_importing_the_report_loads_nothing_heavy_and_drawing_no_pyplot():
    script = (
        "import sys, results\n"
        "heavy = {'matplotlib', 'jinja2', 'pandas', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "assert callable(results.report) and not heavy, heavy\n"
        "from synthetic_ledger import FakeLedger, run\n"
        "import tempfile\n"
        "results.report(FakeLedger([run()]), tempfile.mkdtemp())\n"
        "assert 'matplotlib' in sys.modules\n"
        "ours = {'jax', 'ray', 'optuna', 'pccore', 'transfer', 'jobs'} & set(sys.modules)\n"
        "assert 'matplotlib.pyplot' not in sys.modules and not ours, ours\n"
    )
    here = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=here, check=False
    )
    assert done.returncode == 0, done.stderr


def test_reports_a_real_ledger(full, tmp_path):
    fake, out, expected = full
    ledger = results.open(tmp_path / "runs", create=True)
    ledger.append(fake.run_rows, fake.curve_rows)
    ledger.append_verdicts(fake.verdict_rows)
    page = page_of(ledger, tmp_path / "real")
    assert page.cells == expected.cells
    assert [img["alt"] for img in page.all("img")] == [img["alt"] for img in expected.all("img")]
    for path in out.glob("*.png"):
        assert (tmp_path / "real" / path.name).read_bytes() == path.read_bytes()


def test_runs_shared_by_two_experiments_are_in_both_sections(tmp_path):
    ledger = results.open(tmp_path / "runs", create=True)
    rows = seeds(0.1, 0.5, 0.1, 0.2)
    ledger.append(rows)
    ledger.append([row | {"experiment": "copied"} for row in rows])
    page = page_of(ledger, tmp_path / "out")
    assert len(page.all("section")) == 2
    assert page.words.count("the best cell after 2 runs is") == 2
