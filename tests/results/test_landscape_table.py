"""The table of one landscape, and its picture on the user's own axes."""

from pathlib import Path

import numpy as np
import pytest
from ledger_rows import run_row
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

import results
from results import Ledger, LedgerError

ETAS, BETAS = (0.1, 0.01), (10.0, 1.0, 100.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return a ledger of a grid with two seeds; one cell diverged, one has a seed at chance."""
    ledger = results.open(tmp_path / "runs", create=True)
    common = {"variant": "mupc", "width": 32, "depth": 8, "steps": 100}
    rows = [
        run_row(
            f"{eta} {beta} {seed}",
            weight_lr=eta,
            activity_lr=beta,
            seed=seed,
            final_train_loss=eta + beta + seed,
            **common,
        )
        for eta in ETAS
        for beta in BETAS
        for seed in (0, 2)
    ]
    for row in rows:
        if row["run_id"].startswith("0.1 100.0"):
            row["outcome"] = "diverged"
    rows[0]["outcome"] = "at_chance"
    bp = run_row("bp", **common | {"variant": "bp"}, weight_lr=0.1, final_train_loss=0.5)
    ledger.append([*rows, bp])
    return ledger


def test_table_has_the_mean_loss_of_trained_runs(ledger: Ledger) -> None:
    table = ledger.landscape("mupc", 8)
    assert list(table.columns) == [0.01, 0.1]
    assert list(table.index) == [1.0, 10.0, 100.0]
    assert (table.columns.name, table.index.name) == ("weight_lr", "activity_lr")
    expected = [[2.01, 2.1], [11.01, 12.1], [101.01, np.nan]]  # at (0.1, 10), seed 2 alone
    np.testing.assert_allclose(table.to_numpy(), expected)
    assert table.attrs == {
        "variant": "mupc", "width": 32, "depth": 8, "value": "final_train_loss",
    }  # fmt: skip


def test_a_variant_without_beta_has_one_row(ledger: Ledger) -> None:
    table = ledger.landscape("bp", 8)
    assert table.shape == (1, 1)
    assert table.iloc[0, 0] == 0.5


def test_errors_name_what_to_choose(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no run of variant 'sp' with depth 8"):
        ledger.landscape("sp", 8)
    with pytest.raises(LedgerError, match="takes a column of numbers, not 'outcome'"):
        ledger.landscape("mupc", 8, value="outcome")
    row = {"variant": "mupc", "width": 64, "depth": 8, "weight_lr": 0.1, "activity_lr": 1.0}
    ledger.append([run_row("wide", steps=100, final_train_loss=0.1, **row)])
    with pytest.raises(LedgerError, match=r"differ in width \(32, 64\): choose one with"):
        ledger.landscape("mupc", 8)
    assert ledger.landscape("mupc", 8, width=64).iloc[0, 0] == 0.1


def test_picture_is_drawn_on_the_given_axes(ledger: Ledger) -> None:
    axes = Figure().add_subplot()
    assert results.plot_landscape(ledger.landscape("mupc", 8), ax=axes) is axes
    [mesh] = [each for each in axes.collections if isinstance(each, QuadMesh)]
    assert mesh.get_array().count() == 5  # blank where none trained
    [star] = axes.lines
    assert (*star.get_xdata(), *star.get_ydata()) == (0.01, 1.0)
    assert axes.get_title() == "μPC, N = 32, H = 8"
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_picture_without_beta_is_a_line(ledger: Ledger) -> None:
    axes = Figure().add_subplot()
    results.plot_landscape(ledger.landscape("bp", 8), ax=axes)
    assert axes.lines[0].get_ydata().tolist() == [0.5]
    with pytest.raises(ValueError, match="empty"):
        results.plot_landscape(ledger.landscape("bp", 8).iloc[:0], ax=axes)
