"""Laws in the report: points, lines, stars and texts."""

import io
from math import log2, nan

import numpy as np
import pytest
from PIL import Image
from synthetic_ledger import START, FakeLedger, frame, run, seeds, verdict, verdicts

from results.figures import heatmap, law, style
from results.figures.panels import panels, transferred
from results.landscape import Cell
from results.page import run_tables, verdict_table, wording
from results.page.report import report
from results.page.sections import Section, collect
from results.shapes import Shape


def measured(quantity: str, depth: int, value: float, **others):
    row = {"experiment": "digits-relu", "quantity": quantity, "variant": "mupc", "width": 32}
    row |= {"dataset": "digits", "activation": "relu", "depth": depth, "value": value}
    return row | others


def ruled(rule: str, depth: int, eta: float, power: float, low=None, high=None, **others):
    changes = {
        "weight_lr": eta, "activity_lr": None, "best_weight_lr": 0.03, "best_activity_lr": None,
        "weight_lr_depth_exponent": power, "weight_lr_depth_exponent_low": low,
        "weight_lr_depth_exponent_high": high, "activity_lr_depth_exponent": None,
        "activity_lr_width_exponent": None, "weight_lr_width_exponent": None,
        "drift_activity_lr": None, "rule": rule,
    }  # fmt: skip
    return verdict("held", depth, **(changes | others))


def ledger() -> FakeLedger:
    """Return a ledger tuned at H = 7, laws fitted at 3, 7, 15, transferred to 31 (L = 32)."""
    found = FakeLedger()
    for depth, best in ((3, 0.2), (7, 0.1), (15, 0.05)):
        for eta in (0.05, 0.1, 0.2):
            loss = 0.1 + abs(log2(eta / best)) / 10
            found.run_rows += seeds(eta, None, loss, loss, depth=depth, phase="tune")
    for eta in (0.025, 0.03, 0.05, 0.1):
        found.run_rows += seeds(eta, None, 0.1 + abs(log2(eta / 0.03)) / 10, depth=31)
    for depth in (3, 7, 15, 31):
        exact = 0.1 * (depth + 1) / 8
        for end, factor in (("", 1.0), ("_low", 0.8), ("_high", 1.25)):
            found.measured_rows.append(measured(f"law_weight_lr{end}", depth, exact * factor))
            if depth != 31:
                found.measured_rows.append(
                    measured(f"optimal_weight_lr{end}", depth, exact * factor)
                )
    bounds = {"weight_lr_low": 0.02, "weight_lr_high": 0.03}
    common = {"tune_depth": 7}
    found.verdict_rows = [
        ruled("zero_shot", 31, 0.1, 0.0, **common),
        ruled("depth_mup", 31, 0.05, -0.5, **common),
        ruled("fitted", 31, 0.025, -1.0, -1.2, -0.8, **common, **bounds),
    ]
    return found


def section(found: FakeLedger | None = None) -> Section:
    [only] = collect(found or ledger(), "digits-relu")
    return only


def drawn(found: FakeLedger | None = None) -> list[list[law.Panel]]:
    s = section(found)
    assert s.tuned is not None
    return law.panels(s.runs, s.verdicts, s.measured, s.tuned)


def values(points, kind: str, rule: str = "") -> dict[int, float]:
    some = points[points["kind"].eq(kind) & points["rule"].eq(rule)]
    return {int(d): v for d, v in zip(some["depth"], some["value"], strict=True)}


def test_points_agree_with_the_ledger() -> None:
    [[panel]] = drawn()
    assert (panel.variant, panel.rate, panel.sweep.title) == ("mupc", "weight_lr", "N = 32")
    assert values(panel.points, "optimum") == pytest.approx({3: 0.05, 7: 0.1, 15: 0.2})
    assert values(panel.points, "law", "fitted") == pytest.approx(
        {3: 0.05, 7: 0.1, 15: 0.2, 31: 0.4}
    )
    assert values(panel.points, "best") == {31: 0.03}
    assert values(panel.points, "predicted", "zero_shot") == pytest.approx({7: 0.1, 31: 0.1})
    assert values(panel.points, "predicted", "depth_mup") == pytest.approx({7: 0.1, 31: 0.05})
    assert values(panel.points, "predicted", "fitted") == {31: 0.025}
    fitted = panel.points[panel.points["rule"].eq("fitted") & panel.points["kind"].eq("predicted")]
    assert fitted[["low", "high"]].to_numpy().tolist() == [[0.02, 0.03]]


def test_without_a_fit_the_optimum_is_the_best_tuned_cell() -> None:
    found = ledger()
    found.measured_rows = []
    [[panel]] = drawn(found)
    assert values(panel.points, "optimum") == {7: 0.1}
    assert values(panel.points, "law", "fitted") == {}


def test_a_law_is_straight_in_matrices_with_ticks_in_hidden_layers() -> None:
    figure = law.draw(drawn())
    [axes] = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["3", "7", "15", "31"]
    np.testing.assert_allclose(axes.get_xticks(), [4, 8, 16, 32])
    line = next(line for line in axes.lines if line.get_color() == law.BAND)
    np.testing.assert_allclose(line.get_xdata(), [4, 8, 16, 32])
    np.testing.assert_allclose(line.get_ydata(), [0.05, 0.1, 0.2, 0.4])
    low, high = axes.get_ylim()
    assert low < 0.02
    assert high > 0.5  # the band is whole
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "optimum where it was tuned", "best cell that ran at the target",
        "fitted law, 95 % interval", "by rule zero_shot", "by rule depth_mup", "by rule fitted",
    ]  # fmt: skip
    image = Image.open(io.BytesIO(style.png(figure)))
    image.load()
    assert len(image.convert("RGB").getcolors(maxcolors=2**24)) > 20


def test_draws_rules_with_unknown_names() -> None:
    found = ledger()
    found.verdict_rows.append(ruled("mine$", 31, 0.07, nan, tune_depth=7))
    assert style.png(law.draw(drawn(found)))


def test_both_sizes_and_both_rates_have_a_row_each() -> None:
    found = ledger()
    beta = {"activity_lr": 1.0, "best_activity_lr": 2.0, "activity_lr_depth_exponent": 0.0}
    found.verdict_rows += [ruled("zero_shot", 7, 0.1, 0.0, width=64, tune_depth=7, **beta)]
    rows = drawn(found)
    assert [panel.sweep.title for panel in rows[0]] == ["N = 32", "H = 7"]
    assert [row[0].rate for row in rows] == ["weight_lr", "activity_lr"]
    found.verdict_rows += [row | {"variant": "bp"} for row in found.verdict_rows]
    assert [row[0].sweep.title for row in drawn(found)[:2]] == ["N = 32", "H = 7"]
    assert [panel.variant for panel in drawn(found)[0]] == ["mupc", "bp"]


def test_the_page_shows_and_describes_the_law(tmp_path) -> None:
    html = report(ledger(), tmp_path).read_text(encoding="utf-8")
    assert (tmp_path / "digits-relu-laws.png").is_file()
    assert "Learning rates by shape" in html
    assert "by rule fitted, η ∝ L^−1.00 [−1.20, −0.80]" in html
    text = wording.law_alt(drawn()).replace(wording.NBSP, " ")
    assert "predicted by fitted 0.025 at N = 32, H = 31" in text
    assert "best found 0.03 at N = 32, H = 31" in text


def test_zero_shot_alone_has_no_law(tmp_path) -> None:
    found = ledger()
    found.verdict_rows = found.verdict_rows[:1]
    html = report(found, tmp_path).read_text(encoding="utf-8")
    assert not (tmp_path / "digits-relu-laws.png").exists()
    assert "by rule" not in html


def test_every_rule_has_a_headline_and_a_group() -> None:
    s = section()
    assert [line.name for line in wording.headlines(s)] == [
        "μPC, zero shot", "μPC, depth mup", "μPC, fitted",
    ]  # fmt: skip
    zero, _, fitted = verdict_table.verdict_groups(s)
    assert "transferred cell η = 0.1" in zero.title
    assert "by rule fitted" in fitted.title
    assert fitted.rows[0].numbers[0] == ("0.110", "at η = 0.025")


def test_without_zero_shot_transfer_each_shape_has_its_own_marked_cell() -> None:
    found = ledger()
    found.verdict_rows = found.verdict_rows[1:]
    s = section(found)
    assert transferred(s.runs, s.verdicts, "mupc", Shape(32, 31)) == Cell(0.05, None)
    assert transferred(s.runs, s.verdicts, "mupc") == Cell(0.1, None)
    marked = {p.shape.depth: p.transferred for p in panels(s.runs, s.verdicts, "mupc")}
    assert isinstance(marked[31], Cell)
    assert marked[31].weight_lr == 0.05
    assert set(s.moved[s.moved["depth"].eq(31)]["weight_lr"]) == {0.05}
    notes = {p.shape.depth: p.note for p in panels(s.runs, s.verdicts, "mupc")}
    assert notes == {3: "searched for a law", 7: "tuned here", 15: "searched for a law", 31: "held"}
    assert "rule depth_mup predicts" in run_tables.moved_table(s).caption


def test_draws_predicted_cells_off_the_grid_as_points() -> None:
    rows = [run(e, b, 0.1) for e in (0.05, 0.1, 0.2) for b in (1.0, 2.0, 4.0)]
    rows += [run(e, b, 0.2, depth=31) for e in (0.02, 0.04) for b in (1.5, 3.0)]
    judged = verdict(rule="fitted", depth=31, weight_lr=0.04, activity_lr=1.5)
    tiled, pointed = heatmap.draw(panels(frame(*rows), verdicts(judged), "mupc")).axes[:2]
    assert tiled.collections[0].get_array().shape == (3, 3)
    points = np.asarray(pointed.collections[0].get_offsets())
    np.testing.assert_allclose(sorted(points[:, 0]), [0.02, 0.02, 0.04, 0.04])
    assert pointed.get_xlim()[0] < 0.02
    assert [text.get_text() for text in tiled.get_xticklabels()] == ["0.05", "0.1", "0.2"]


def test_verdicts_without_a_rule_are_zero_shot() -> None:
    found = FakeLedger(run_rows=[run()], verdict_rows=[verdict(rule=None, created=START)])
    assert section(found).rules == ["zero_shot"]
