"""Which cells need one seed more."""

import numpy as np

from results.landscape import Cell, Landscape
from results.vocabulary import AddedFor
from transfer.judge.next_runs import cells_beyond, next_runs
from transfer.space import Grid, Space

CELLS = tuple(Cell(10.0**i, 10.0**j) for i in range(3) for j in range(3))
CENTRE = CELLS[4]
TOLERANCE = 0.1


def landscape(better: float, noise: float, seeds: int = 3, seed: int = 0) -> Landscape:
    """Return a centre of loss 1, one neighbour better by `better`, and others far worse."""
    logs = np.full(9, 1.0)
    logs[4], logs[5] = 0.0, -better
    draw = np.random.default_rng(seed)
    return Landscape.of_losses(CELLS, np.exp(logs[:, None] + noise * draw.normal(size=(9, seeds))))


TUNED = landscape(-0.5, 0.05)


def test_decided_verdict_needs_no_run() -> None:
    for better in (-0.5, 0.5):  # held, drifted
        assert next_runs(TUNED, landscape(better, 0.02), CENTRE, TOLERANCE) == {}


def test_undecided_verdict_needs_the_cells_that_compete() -> None:
    """The neighbour is better by 10%, give or take; the other seven are worse by a factor of e."""
    found = next_runs(TUNED, landscape(np.log(1.1), 0.05), CENTRE, TOLERANCE)
    assert found == {CENTRE: AddedFor.TRANSFERRED, CELLS[5]: AddedFor.BEST}


def test_enough_seeds_end_the_search() -> None:
    target = landscape(np.log(1.1), 0.05)
    assert next_runs(TUNED, target, CENTRE, TOLERANCE, most=3) == {}


def test_transferred_cell_that_did_not_always_train_needs_seeds_of_its_own() -> None:
    target = landscape(0.0, 0.05)
    target.statuses[4, 0], target.losses[4, 0] = "diverged", np.nan
    assert next_runs(TUNED, target, CENTRE, TOLERANCE) == {CENTRE: AddedFor.TRANSFERRED}


def test_transferred_cell_that_never_trained_needs_no_more() -> None:
    target = landscape(0.0, 0.05, seeds=2)
    target.statuses[4], target.losses[4] = "diverged", np.nan
    assert next_runs(TUNED, target, CENTRE, TOLERANCE) == {}


ETAS = (0.03, 0.1, 0.3, 1.0)


def along_eta(logs: tuple[float, ...]) -> Landscape:
    """Return log losses that depend on eta alone, at two values of beta."""
    cells = tuple(Cell(eta, beta) for eta in ETAS for beta in (1.0, 10.0))
    noise = 0.02 * np.random.default_rng(1).normal(size=(len(cells), 3))
    return Landscape.of_losses(cells, np.exp(np.repeat(logs, 2)[:, None] + noise))


def test_a_better_cell_beyond_the_grid_is_worth_running() -> None:
    """The loss falls towards the highest eta: one beyond may be better. Not beyond a bowl."""
    space = Space(Grid(ETAS), Grid((1.0, 10.0)))
    falling, bowl = along_eta((1.5, 1.0, 0.5, 0.0)), along_eta((1.0, 0.0, 0.0, 1.0))
    down = cells_beyond(falling, falling, Cell(1.0, 10.0), space, 1, law=False)
    assert Cell(3.0, 10.0) in down
    assert {cell.weight_lr for cell in down if cell.activity_lr == 10} == {3.0}
    around = cells_beyond(bowl, bowl, Cell(0.3, 10.0), space, 2, law=False)
    assert all(cell.weight_lr in ETAS for cell in around)
