"""Which cells need one seed more."""

import numpy as np

from results.landscape import NOT_RUN, Cell, Landscape
from transfer.judge.next_runs import next_runs

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
        assert next_runs(TUNED, landscape(better, 0.02), CENTRE, TOLERANCE) == ()


def test_undecided_verdict_needs_the_cells_that_compete() -> None:
    """The neighbour is better by 10%, give or take; the other seven are worse by a factor of e."""
    found = next_runs(TUNED, landscape(np.log(1.1), 0.05), CENTRE, TOLERANCE)
    assert set(found) == {CENTRE, CELLS[5]}


def test_two_seeds_of_every_cell_come_first() -> None:
    target = landscape(0.0, 0.05)
    target.statuses[3:, 1:], target.losses[3:, 1:] = NOT_RUN, np.nan
    assert next_runs(TUNED, target, CENTRE, TOLERANCE) == CELLS[3:]


def test_enough_seeds_end_the_search() -> None:
    target = landscape(np.log(1.1), 0.05)
    assert next_runs(TUNED, target, CENTRE, TOLERANCE, most=3) == ()


def test_transferred_cell_that_did_not_always_train_needs_seeds_of_its_own() -> None:
    target = landscape(0.0, 0.05)
    target.statuses[4, 0], target.losses[4, 0] = "diverged", np.nan
    assert next_runs(TUNED, target, CENTRE, TOLERANCE) == (CENTRE,)
