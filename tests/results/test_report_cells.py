"""Summaries of cells, the best cell and the marked cells on small frames."""

import pandas as pd
import pytest
from synthetic_ledger import at_chance, frame, run, seeds, verdict, verdicts

from results.figures import cells
from results.figures import panels as marked
from results.landscape import Cell
from results.shapes import Shape
from results.vocabulary import OutcomeLabel


@pytest.mark.parametrize(
    ("losses", "outcome", "mean"),
    [
        ([0.1, 0.3], "trained", 0.2),
        ([0.1, "diverged"], "diverged", 0.1),
        (["diverged", "diverged"], "diverged", None),
        (["at_chance", 0.3], "at_chance", 0.3),
        (["at_chance", "diverged"], "diverged", None),
        ([0.1, "failed"], "trained", 0.1),
        (["failed", "failed"], "failed", None),
        (["failed", "diverged"], "diverged", None),
    ],
)
def test_a_cell_has_its_worst_outcome_and_the_mean_of_trained_seeds(losses, outcome, mean):
    [cell] = cells.records(cells.summarise(frame(*seeds(0.1, 1.0, *losses))))
    assert cell["outcome"] == outcome
    assert cell["loss"] == pytest.approx(mean) if mean else pd.isna(cell["loss"])
    words = [loss if isinstance(loss, str) else "trained" for loss in losses]
    assert {o: cell[o] for o in OutcomeLabel} == {o: words.count(o) for o in OutcomeLabel}


def test_losses_at_chance_do_not_enter_the_mean():
    [cell] = cells.records(cells.summarise(frame(at_chance(0.1, 1.0), run(0.1, 1.0, 0.2, seed=1))))
    assert cell["loss"] == pytest.approx(0.2)


def test_summarises_cells_without_an_activity_rate():
    rows = [*seeds(0.1, None, 0.1, 0.3), *seeds(0.01, None, 0.5)]
    table = cells.summarise(frame(*rows))
    assert list(table["weight_lr"]) == [0.01, 0.1]
    assert list(table["loss"]) == pytest.approx([0.5, 0.2])


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([*seeds(0.1, 1, 0.2), *seeds(0.1, 5, 0.1), *seeds(0.5, 1, 0.3)], (0.1, 5)),
        # a lower loss does not make up for a seed that diverged
        ([*seeds(0.1, 1, 0.2, 0.2, 0.2), *seeds(0.1, 5, 0.1, 0.1, "diverged")], (0.1, 1)),
        # but two of three trained seeds are better than nothing
        ([*seeds(0.1, 1, "diverged"), *seeds(0.1, 5, 0.1, 0.1, "diverged")], (0.1, 5)),
        # one of two is not most of them
        (seeds(0.1, 1, 0.1, "diverged"), None),
        # a failed run is no evidence either way
        ([*seeds(0.1, 1, 0.1, "failed"), *seeds(0.1, 5, 0.4, 0.4)], (0.1, 5)),
        ([at_chance(0.1, 1), *seeds(0.5, 1, "diverged"), *seeds(0.5, 5, "failed")], None),
        (seeds(0.01, None, 0.2), (0.01, None)),
        # cells with equal losses rank by their rates, also where some have no activity rate
        ([*seeds(0.5, 1, 0.1), *seeds(0.1, 5, 0.1), *seeds(0.1, 1, 0.1)], (0.1, 1)),
        ([*seeds(0.1, 1, 0.1), *seeds(0.1, None, 0.1)], (0.1, None)),
        # a run without a loss did not train, whatever its outcome
        ([*seeds(0.1, 1, 0.3), run(0.1, 5, None), run(0.5, 5, float("nan"))], (0.1, 1)),
        # seeds that have not run yet are no evidence
        ([*seeds(0.1, 1, 0.1), *seeds(0.1, 5, "diverged", "diverged", 0.2)], (0.1, 1)),
    ],
)
def test_the_best_cell_has_the_lowest_loss_among_cells_that_train(rows, best):
    assert cells.best_cell(frame(*rows)) == (best and Cell(*best))


TUNED = [*seeds(0.1, 1, 0.2), *seeds(0.1, 5, 0.1), *seeds(0.5, 5, "diverged")]
TARGET = [*seeds(0.1, 1, 0.15, depth=64), *seeds(0.1, 5, 0.3, depth=64)]


def test_without_a_verdict_the_runs_determine_the_marks():
    at8, at64 = marked.panels(frame(*TUNED, *TARGET), verdicts(), "mupc")
    assert (at8.shape, at8.note) == (Shape(32, 8), "tuned here")
    assert at8.optimum == at8.transferred == at64.transferred == Cell(0.1, 5)
    assert (at64.shape, at64.note, at64.optimum) == (Shape(32, 64), "no verdict", Cell(0.1, 1))
    diverged = at8.cells[at8.cells["outcome"].eq("diverged")]
    assert list(diverged["weight_lr"]) == [0.5]
    assert list(diverged["activity_lr"]) == [5]


def test_marks_no_transferred_cell_before_a_target_ran():
    [panel] = marked.panels(frame(*TUNED), verdicts(), "mupc")
    assert (panel.optimum, panel.transferred) == (Cell(0.1, 5), None)


def test_verdicts_take_precedence_in_marks():
    judged = verdict("drifted", 64, weight_lr=0.1, activity_lr=1.0, best_weight_lr=0.5)
    other = verdict("held", 64, variant="sp", weight_lr=0.01, best_weight_lr=0.01)
    at8, at64 = marked.panels(frame(*TUNED, *TARGET), verdicts(other, judged), "mupc")
    assert at8.transferred == at8.optimum == at64.transferred == Cell(0.1, 1.0)
    assert (at64.optimum, at64.note) == (Cell(0.5, 1.0), "drifted")


def test_a_panel_has_one_variant_and_one_shape():
    others = seeds(0.2, 2, 0.01, variant="sp", width=64)
    rows = frame(*TUNED, *TARGET, *others)
    assert [p.shape for p in marked.panels(rows, verdicts(), "mupc")] == [
        Shape(32, 8),
        Shape(32, 64),
    ]
    assert [p.shape for p in marked.panels(rows, verdicts(), "sp")] == [Shape(64, 8)]
    assert set(marked.panels(rows, verdicts(), "mupc")[0].cells["weight_lr"]) == {0.1, 0.5}


def test_runs_at_the_transferred_cell_of_each_variant():
    bp = [*seeds(0.01, None, 0.1, variant="bp"), *seeds(0.1, None, 0.2, variant="bp")]
    moved = marked.at_transferred(frame(*TUNED, *TARGET, *bp), verdicts())
    kept = {(r["variant"], r["depth"], r["weight_lr"]) for r in cells.records(moved)}
    assert kept == {("mupc", 8, 0.1), ("mupc", 64, 0.1), ("bp", 8, 0.01)}
    assert set(moved.loc[moved["variant"].eq("mupc"), "activity_lr"]) == {5.0}


def test_finds_rates_despite_rounding():
    rows = frame(run(0.1 + 0.2, 1.0))
    assert cells.at_cell(rows, Cell(0.3, 1.0)).all()
    assert not cells.at_cell(rows, Cell(0.3001, 1.0)).any()
    assert not cells.at_cell(rows, Cell(0.3, None)).any()


def test_the_lowest_loss_per_shape():
    found = cells.lowest(frame(*TUNED, *TARGET, *seeds(0.1, 1, "diverged", depth=128)))
    assert {(r["depth"], r["loss"]) for r in cells.records(found)} == {(8, 0.1), (64, 0.15)}
