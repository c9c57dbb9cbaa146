"""The dashboard in a real browser, one for the whole file."""

import time
from collections.abc import Callable, Iterator
from math import log10
from pathlib import Path
from typing import Any

import browser as browsers
import pytest
import synthetic_ledger as synthetic
from dashboard_server import cells, dashboard, thesis, write

import results
from results.page.conclusion import conclusion
from results.storage.announcements import Announcement, Planned

NAME = "digits-relu"
SECONDS = 90

if reason := browsers.missing():
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browsers.browser() as found:
        yield found


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> results.Ledger:
    return thesis(tmp_path_factory.mktemp("page") / "runs")


@pytest.fixture(scope="module")
def address(ledger: results.Ledger) -> Iterator[str]:
    with dashboard(ledger) as found:
        yield found


@pytest.fixture
def page(driver: Any, address: str) -> Iterator[Any]:
    """The page of the finished experiment, drawn; it is loaded again only after another page."""
    if driver.current_url == f"{address}/":
        browsers.look(driver, 1280, "light")
    else:
        show(driver, address)
    until(driver, "document.querySelectorAll('.panels .js-plotly-plot').length > 0")
    yield driver
    assert browsers.complaints(driver) == []


def show(driver: Any, address: str, width: int = 1280, scheme: str = "light") -> None:
    browsers.look(driver, width, scheme)
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(address)
    until(driver, "document.querySelector('h1')")


def until(driver: Any, condition: str) -> Any:
    """Wait until an expression of the page is true, and return it."""
    return eventually(lambda: driver.execute_script(f"return {condition}"), condition)


def renewed(driver: Any, condition: str) -> Any:
    """Wait like `until`, with a page that renews itself as often as it is looked at.

    So does one that becomes visible again; otherwise two seconds pass between two renewals.
    """
    renew = "document.dispatchEvent(new Event('visibilitychange'))"
    attempt = f"{renew}; return {condition}"
    return eventually(lambda: driver.execute_script(attempt), condition)


def eventually(attempt: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + SECONDS
    while not (found := attempt()):
        assert time.monotonic() < end, f"it never came true: {what}"
        time.sleep(0.1)
    return found


def text(driver: Any, selector: str) -> str:
    found = driver.execute_script(
        "return document.querySelector(arguments[0])?.innerText ?? ''", selector
    )
    return str(found)


def test_page_shows_the_answer_first(page: Any, ledger: results.Ledger) -> None:
    verdicts = ledger.verdicts().to_dict("records")
    assert text(page, "h1").startswith(NAME)
    assert text(page, ".conclusion") == conclusion(verdicts)
    matrix = text(page, ".matrix")
    for row in verdicts:
        assert row["verdict"] in matrix
    assert "What to do next" in text(page, ".next")
    place = page.execute_script(
        "return document.querySelector('.next').getBoundingClientRect().top"
    )
    assert place < 900  # on the first screen


def test_landscape_has_the_losses_of_the_ledger(page: Any, ledger: results.Ledger) -> None:
    grid = page.execute_script(
        "const [trace] = document.querySelector('.panels .js-plotly-plot').data;"
        "return {z: trace.z, text: trace.text};"
    )
    shown = sorted(value for row in grid["z"] for value in row if value is not None)
    expected = cells(ledger, variant="mupc", depth=8)
    assert shown == pytest.approx(sorted(map(log10, expected.values())))
    texts = [each for row in grid["text"] for each in row if each]
    assert len(texts) == len(expected)
    assert all("η = " in each and "loss " in each and "trained" in each for each in texts)


def test_hover_and_click_on_a_cell(page: Any) -> None:
    chart = "document.querySelector('.panels .js-plotly-plot')"
    page.execute_script(f"{chart}.scrollIntoView({{block: 'center'}})")
    before = until(page, "document.querySelector('.curves h4')?.innerText")
    x, y = page.execute_script(
        f"const box = {chart}.querySelector('.nsewdrag').getBoundingClientRect();"
        "return [box.left + 0.9 * box.width, box.top + 0.5 * box.height];"
    )
    for kind, count in (("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 1)):
        event = {"type": kind, "x": x, "y": y, "button": "left" if count else "none"}
        page.execute_cdp_cmd("Input.dispatchMouseEvent", {**event, "clickCount": count})
        if kind == "mouseMoved":
            hover = until(page, "document.querySelector('.hoverlayer')?.textContent")
            assert "η = 0.5" in hover
    after = eventually(
        lambda: (now := text(page, ".curves h4")) != before and now, "the curves of the cell"
    )
    assert "η = 0.5" in after


def test_table_filters(page: Any, ledger: results.Ledger) -> None:
    page.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    until(page, "document.querySelector('table.runs tbody tr')")
    page.execute_script(
        "document.getElementById('filter').value = 'outcome=diverged, depth=8';"
        "document.querySelector('.filter button').click();"
    )
    number = len(ledger.runs(outcome="diverged", depth=8))
    until(page, f"document.querySelector('.runs caption').innerText.endsWith('of {number}')")
    page.execute_script(
        "document.getElementById('filter').value = 'depht=8';"
        "document.querySelector('.filter button').click();"
    )
    assert "did you mean 'depth'" in until(
        page, "document.querySelector('details .problem')?.innerText"
    )
    page.get_log("browser")  # the answer with status 400


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (390, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
        pytest.param(390, "light", marks=pytest.mark.slow),
    ],
)
def test_page_is_legible(width: int, scheme: str, driver: Any, address: str) -> None:
    show(driver, address, width, scheme)
    until(driver, "document.querySelectorAll('.verdicts td').length > 0")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    faint = driver.execute_script(CONTRASTS)
    assert faint == []
    ground = "return luminance(getComputedStyle(document.body).backgroundColor)"
    dark = driver.execute_script(ground)
    assert (dark < 0.2) == (scheme == "dark")
    driver.execute_script("document.querySelector('.panels').scrollIntoView()")
    until(driver, "document.querySelector('.panels .js-plotly-plot .xtick text')")
    tick = driver.execute_script(
        "const text = document.querySelector('.panels .js-plotly-plot .xtick text');"
        "const style = getComputedStyle(text);"
        "return [parseFloat(style.fontSize), contrast(style.fill, colour('.block'))];"
    )
    assert tick[0] >= 11
    assert tick[1] >= 4.5


CONTRASTS = """
window.luminance = (text) => {
  const [r, g, b] = text.match(/[0-9.]+/g).map(Number).map((value) => {
    const share = value / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
window.contrast = (one, other) => {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
};
window.ground = (element) => {
  const colour = getComputedStyle(element).backgroundColor;
  return element.parentElement && /, 0\\)$/.test(colour) ? ground(element.parentElement) : colour;
};
window.colour = (selector) => ground(document.querySelector(selector));
const faint = [];
for (const element of document.querySelectorAll('main *, header *')) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !element.checkVisibility() || element.closest('svg, button:disabled')) continue;
  const style = getComputedStyle(element);
  const found = contrast(style.color, ground(element));
  if (found < 4.5 || parseFloat(style.fontSize) < 11) {
    faint.push(`${element.tagName} ${element.className} ${element.textContent} ${found}`);
  }
}
return faint;
"""


def test_colours_follow_the_reader_without_a_reload(page: Any) -> None:
    tick = "getComputedStyle(document.querySelector('.panels .js-plotly-plot .xtick text')).fill"
    before = until(page, tick)
    browsers.look(page, 1280, "dark")
    until(page, f"{tick} !== '{before}'")


def test_page_fills_while_a_sweep_runs(driver: Any, tmp_path: Path) -> None:
    first = synthetic.seeds(0.1, 1.0, 0.2, 0.3)
    ledger = write(tmp_path / "runs", synthetic.FakeLedger(first))
    planned = Planned({"mupc": {"weight_lr": (0.1, 0.2), "activity_lr": (1.0, 2.0)}}, ((32, 8),), 1)
    with dashboard(results.open(tmp_path / "runs")) as address:
        show(driver, address)
        with ledger.claims(NAME):
            ledger.announcements.write(Announcement(NAME, "tune", 2, 8, 95.0, False, planned))
            until(driver, "document.querySelector('h1 .badge.running')")
            assert "2 of 8 runs" in text(driver, ".progress")
            assert "about 1 min 35 s left" in text(driver, ".progress")
            z = "document.querySelector('.panels .js-plotly-plot')?.data?.[0]?.z"
            number = f"({z} ?? []).flat().filter((value) => value !== null).length"
            renewed(driver, f"{number} === 1")
            ledger.append(synthetic.seeds(0.2, 2.0, 0.4, 0.35))
            renewed(driver, f"{number} === 2")
            assert "4 of 8 runs" in text(driver, ".progress")
            ledger.append_verdicts([synthetic.verdict(depth=16)])
            renewed(driver, "/for μPC/.test(document.querySelector('.conclusion').innerText)")
            assert text(driver, ".conclusion") == conclusion([synthetic.verdict(depth=16)])
    renewed(driver, "document.getElementById('live').classList.contains('lost')")
    driver.get_log("browser")  # the server has gone


def test_page_survives_a_damaged_file(driver: Any, tmp_path: Path) -> None:
    ledger = write(tmp_path / "runs", synthetic.FakeLedger(synthetic.seeds(0.1, 1.0, 0.2, 0.3)))
    with dashboard(results.open(tmp_path / "runs")) as address:
        show(driver, address)
        until(driver, "/2 runs/.test(document.querySelector('.progress').innerText)")
        before = set((tmp_path / "runs" / "runs").glob("*.parquet"))
        ledger.append(synthetic.seeds(0.3, 1.0, 0.4))
        (new,) = set((tmp_path / "runs" / "runs").glob("*.parquet")) - before
        renewed(driver, "/3 runs/.test(document.querySelector('.progress').innerText)")
        broken = new.with_name(new.name[:5] + "0" * 10 + new.name[15:])
        broken.write_bytes(b"\x00" * 500)
        renewed(driver, "/1 damaged file/.test(document.querySelector('#notices')?.innerText)")
        shown = driver.execute_script("return document.getElementById('notices').textContent")
        assert broken.name in shown
        assert "3 runs" in text(driver, ".progress")
        assert browsers.complaints(driver) == []


def test_texts_of_a_ledger_are_shown_and_not_run(driver: Any, tmp_path: Path) -> None:
    attack = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>"
    rows = synthetic.seeds(0.1, 1.0, 0.2, "failed", experiment=attack, variant="mupc")
    rows += synthetic.seeds(0.1, 1.0, 0.2, 0.3, experiment=attack, variant=attack)
    rows[1]["cause"] = attack
    for row in rows:
        row["run_id"] = synthetic.id_of(row)
    judged = synthetic.verdict("drifted", experiment=attack, variant=attack, reason=attack)
    fake = synthetic.FakeLedger(rows, verdict_rows=[judged])
    with dashboard(write(tmp_path / "runs", fake)) as address:
        show(driver, address)
        until(driver, "document.querySelectorAll('.panels .js-plotly-plot').length > 0")
        until(driver, "document.querySelector('td.cause')")
        assert text(driver, "td.cause") == attack
        assert attack[:30] in text(driver, "h1")
        driver.execute_script("location.hash = '#/compare'")
        until(driver, "document.querySelectorAll('.side .answer').length === 2")
        assert driver.execute_script("return window.pwned") is None
        assert driver.execute_script("return document.images.length") == 0
        found = "[...document.scripts].filter((each) => !each.src).length"
        assert driver.execute_script(f"return {found}") == 0
        driver.get_log("browser")  # the settings of an experiment cannot be compared with its own


def test_two_experiments_side_by_side(driver: Any, ledger: results.Ledger, tmp_path: Path) -> None:
    both = thesis(tmp_path / "runs", "one")
    other = synthetic.thesis_like("two", depths=(16,), seeds=2)
    for row in other.verdict_rows:
        row["spec"] = '{"name": "two", "tune": {"weight_lr": [0.5, 0.1]}}'
    both = write(tmp_path / "runs", other)
    with dashboard(both) as address:
        show(driver, address)
        until(driver, "document.querySelectorAll('.experiment').length === 2")
        assert "2 experiments" in text(driver, "h1")
        driver.execute_script("location.hash = '#/compare/one/two'")
        until(driver, "document.querySelectorAll('.side .conclusion').length === 2")
        settings = until(driver, "document.querySelector('article > .block table')?.innerText")
        assert "tune.weight_lr" in settings
        shown = driver.execute_script(
            "const found = [...document.querySelectorAll('.side .conclusion')];"
            "return found.map((each) => each.innerText)"
        )
        assert shown == [
            conclusion(both.verdicts(experiment=name).to_dict("records")) for name in ("one", "two")
        ]
        assert browsers.complaints(driver) == []


def test_reader_with_a_token_sees_the_page(driver: Any, ledger: results.Ledger) -> None:
    token = "a-secret-of-many-letters"
    with dashboard(ledger, token, local=False) as address:
        driver.get(address)
        assert "has a token" in text(driver, "body")
        driver.get(f"{address}/?token={token}")
        until(driver, "document.querySelector('.conclusion')")
        assert token not in driver.current_url
        assert driver.execute_script("return document.cookie") == ""  # no script reads it
        driver.delete_all_cookies()
        driver.get_log("browser")
