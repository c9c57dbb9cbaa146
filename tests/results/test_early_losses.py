"""Early losses beside final ones: correlations of ranks, and how many cells must continue."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_rows import run_row
from scipy.stats import spearmanr

import results
from results.early_losses import spearman
from results.landscape import Cell
from results.page.run_tables import pruning_table
from results.page.sections import collect

ETAS = (0.1, 0.2, 0.3, 0.4, 0.5)
FINAL = (0.50, 0.51, 0.80, 0.90, None)  # the last one diverged
EARLY = {10: (4.0, 3.0, 2.0, 1.0, 5.0), 20: (1.0, 2.0, 1.5, 3.0, None)}
COMMON: dict[str, Any] = {"variant": "mupc", "width": 8, "depth": 2, "steps": 20}


def rows(seed: int, **others: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the runs and the curves of one seed."""
    runs, curves = [], []
    for place, (eta, loss) in enumerate(zip(ETAS, FINAL, strict=True)):
        run_id = f"{seed} {eta} {others}"
        outcome = "diverged" if loss is None else "trained"
        row = {"weight_lr": eta, "seed": seed, "outcome": outcome, "final_train_loss": loss}
        runs.append(run_row(run_id, **COMMON | row | others))
        curves += [
            {"run_id": run_id, "step": step, "train_loss": losses[place]}
            for step, losses in EARLY.items()
            if losses[place] is not None
        ]
    return runs, curves


@pytest.fixture
def ledger(tmp_path: Path) -> results.Ledger:
    ledger = results.open(tmp_path, create=True)
    runs, curves = rows(0)
    stopped = {"weight_lr": 0.6, "seed": 0, "outcome": "pruned", "final_train_loss": None}
    failed = {"weight_lr": 0.7, "seed": 0, "outcome": "failed", "final_train_loss": None}
    runs += [run_row("p", **COMMON | stopped), run_row("f", **COMMON | failed)]
    curves += [{"run_id": name, "step": 10, "train_loss": 9.0} for name in "pf"]
    ledger.append(runs, curves)
    return ledger


@pytest.mark.parametrize("seed", range(20))
def test_spearman_is_that_of_scipy_over_finite_pairs(seed: int) -> None:
    draw = np.random.default_rng(seed)
    one, other = draw.integers(0, 6, (2, 12)).astype(float)  # with ties
    expected = spearmanr(one, other).statistic
    assert spearman(one, other) == pytest.approx(expected, abs=1e-12)
    longer = [np.append(values, np.inf) for values in (one, other)]
    assert spearman(*longer) == pytest.approx(expected, abs=1e-12)


def test_spearman_is_unknown_for_two_pairs_and_for_equal_numbers() -> None:
    assert spearman(np.array([1.0, 2, np.inf]), np.array([1.0, 2, 3])) is None
    assert spearman(np.ones(4), np.arange(4.0)) is None


def test_horizons_are_those_worked_out_by_hand(ledger: results.Ledger) -> None:
    (found,) = ledger.early_losses()
    assert found.cells == tuple(map(Cell, ETAS))
    assert (found.variant, found.shape.width, found.shape.depth) == ("mupc", 8, 2)
    assert (found.seeds, found.pruned) == (1, 1)
    np.testing.assert_array_equal(found.good(0.05), [True, True, False, False, False])
    first, last = found.horizons(0.05)
    assert (first.updates, first.share, last.updates, last.share) == (10, 0.5, 20, 1.0)
    # After 10 updates the four that train are in the opposite order, so that the best is the
    # fourth of five. After 20 they rank 1, 3, 2, 4: 1 - 6 (0 + 1 + 1 + 0) / (4 (16 - 1)).
    assert (first.correlation, first.keep) == (pytest.approx(-1.0), 4 / 5)
    assert (last.correlation, last.keep) == (pytest.approx(0.8), 3 / 5)


def test_a_cell_ends_at_the_mean_of_its_seeds(ledger: results.Ledger) -> None:
    runs, curves = rows(1)
    runs[2]["final_train_loss"] = 0.10  # 0.45 on average: the best
    ledger.append(runs, curves)
    (found,) = ledger.early_losses(variant="mupc")
    assert found.seeds == 2
    np.testing.assert_allclose(found.final, [0.5, 0.51, 0.45, 0.9, np.inf])
    np.testing.assert_array_equal(found.good(0.05), [False, False, True, False, False])


def test_report_shows_early_losses_of_a_search_that_ran_in_full(
    tmp_path: Path, ledger: results.Ledger
) -> None:
    """The numbers are those worked out by hand, at the only evaluation before the end."""
    full = results.open(tmp_path / "full", create=True)
    full.append(*rows(0))
    (section,) = collect(full, None)
    table = pruning_table(section)
    assert table is not None
    assert table.columns == ["variant", "after 10 (50%)"]
    assert table.rows == [["μPC", "-1, 80%"]]
    (section,) = collect(ledger, None)  # it stopped a cell early
    assert pruning_table(section) is None
    (section,) = collect(full, None, details=False)
    assert pruning_table(section) is None


def test_landscapes_differ_in_settings_and_have_three_cells(ledger: results.Ledger) -> None:
    runs, curves = rows(0, steps=40)
    ledger.append(runs, curves)
    few, of_few = rows(0, width=16)
    ledger.append(few[:2], [row for row in of_few if row["run_id"] in {few[0]["run_id"]}])
    found = ledger.early_losses()
    assert [each.settings["steps"] for each in found] == [20, 40]
    assert ledger.early_losses(steps=40, width=16) == []
