"""The report's figures on dark pages, and its conclusion, next steps and symbols."""

import re
from pathlib import Path

import pytest
from synthetic_ledger import FakeLedger, seeds, thesis_like, verdict

import results
from results.figures.style import CMAP, LINES, sequence
from results.figures.themed import CONTRAST, DARK_PAPER, contrast, on_dark
from results.page.conclusion import conclusion, next_steps


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    "colour", [*(line[0].lower() for line in LINES), *(look.color for look in sequence(6))]
)
def test_every_line_stands_out_from_dark_paper(colour: str) -> None:
    assert contrast(on_dark(colour), DARK_PAPER) >= CONTRAST


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """The page of a report, and its figures as SVG."""
    from base64 import b64decode

    ledger = thesis_like(depths=(16, 64), seeds=2)
    path = results.report(ledger, tmp_path_factory.mktemp("report"))  # type: ignore[arg-type]
    html = path.read_text(encoding="utf-8")
    found = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", html)
    return html, [b64decode(each).decode() for each in found]


def test_figures_follow_the_colour_scheme(page: tuple[str, list[str]]) -> None:
    _, figures = page
    assert len(figures) >= 4
    for figure in figures:
        assert "@media(prefers-color-scheme:dark)" in figure
        used = set(re.findall(r"var\(--([0-9a-f]{6})\)", figure))
        defined = re.findall(r"--([0-9a-f]{6}):(#[0-9a-f]{6});", figure.partition("@media")[2])
        assert used == {name for name, _ in defined}
        texts = dict(defined)
        assert contrast(texts["1a1a1a"], DARK_PAPER) > 7
        assert len(figure) < 300_000


def test_tiles_keep_the_colours_that_stand_for_numbers(page: tuple[str, list[str]]) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    _, figures = page
    tiles = re.findall(r'style="fill: (#[0-9a-f]{6}); stroke: #ffffff', "".join(figures))
    known = {to_hex(colormaps[CMAP](place)) for place in range(256)}
    assert len(tiles) > 20
    assert set(tiles) <= known


def test_page_sums_up_advises_and_explains(page: tuple[str, list[str]]) -> None:
    html, _ = page
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", html)).replace("&#39;", "'")
    rows = thesis_like(depths=(16, 64), seeds=2).verdict_rows
    sentence = re.sub(r"\s+", " ", conclusion(rows))
    assert text.count(sentence) == 2  # first and last
    assert text.rstrip().endswith(sentence)
    for step in next_steps(rows):
        assert step.advice in text
    for symbol in ("N, H, L", "η, β, B", "octave", "μPC, SP, BP", "at chance", "edge"):
        assert f">{symbol}" in html or f"</span> {symbol}" in html


def test_an_edge_has_its_next_step_on_the_page(tmp_path: Path) -> None:
    rows = seeds(0.1, 1.0, 0.2, 0.3) + seeds(0.1, 1.0, 0.2, 0.3, depth=16)
    spec = '{"name": "digits-relu", "tune": {"weight_lr": [0.1, 0.02]}}'
    ledger = FakeLedger(rows, verdict_rows=[verdict("edge", 16, activity_lr=1.0, spec=spec)])
    page = results.report(ledger, tmp_path)  # type: ignore[arg-type]
    assert "Add values above 0.1 to tune.weight_lr (η)" in page.read_text(encoding="utf-8")
