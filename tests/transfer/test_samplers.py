"""Every sampler finds a known optimum, with several cells in flight and others that diverge."""

import logging
import math
import warnings
from collections import deque

import numpy as np
import optuna
import pytest

from pccore import Status
from results.landscape import Landscape
from transfer import Cell
from transfer.engine.search_runs import search_loss
from transfer.search.samplers import SAMPLERS, WORST_LOSS, Search, Trial, missing_package
from transfer.space import Grid, Range, Space

GRID = Space(Grid((0.01, 0.05, 0.1, 0.5)), Grid(tuple(10.0**k for k in range(-2, 4))))
PLANE = Space(Range(1e-4, 1), Range(1e-3, 1e3))
LADDER = Space(Grid(tuple(10 ** (-k / 4) for k in range(16, -1, -1))), PLANE.activity_lr)
INSTALLED = [name for name in SAMPLERS if missing_package(name) is None]
OTHERS = [name for name in INSTALLED if name != "grid"]


def bowl(cell: Cell) -> float:
    """Return 0.1 at eta 0.01 and beta 1 plus squared decades from there; eta > 0.3 diverges."""
    if cell.weight_lr > 0.3:
        return WORST_LOSS
    beta = cell.activity_lr if cell.activity_lr is not None else 1.0
    return 0.1 + math.log10(cell.weight_lr / 0.01) ** 2 + math.log10(beta) ** 2


def search(space: Space, sampler: str, trials: int | None, in_flight: int = 4) -> list[Trial]:
    """Return all trials of a search with `in_flight` cells waiting for their losses."""
    study, asked, waiting = Search(space, sampler, trials), [], deque[Trial]()
    while (trial := study.ask()) is not None:
        asked.append(trial)
        waiting.append(trial)
        if len(waiting) == in_flight:
            first = waiting.popleft()
            study.tell(first, bowl(first.cell))
    return asked


@pytest.mark.parametrize("in_flight", [1, 5, 99])
def test_grid_takes_every_cell_once(in_flight: int) -> None:
    cells = [trial.cell for trial in search(GRID, "grid", None, in_flight)]
    assert len(cells) == 24
    assert set(cells) == set(GRID.cells)


@pytest.mark.parametrize("sampler", OTHERS)
@pytest.mark.parametrize("space", [PLANE, LADDER], ids=["ranges", "list"])
def test_sampler_finds_the_optimum(sampler: str, space: Space) -> None:
    trials = search(space, sampler, 120)
    assert [trial.number for trial in trials] == list(range(120))
    best = min((trial.cell for trial in trials), key=bowl)
    # 120 uniform draws from 4 x 6 decades come within half a decade of a point with 98% odds.
    assert math.hypot(math.log10(best.weight_lr / 0.01), math.log10(best.activity_lr or 0)) < 0.5
    for cell in (trial.cell for trial in trials):
        assert 1e-4 <= cell.weight_lr <= 1
        assert 1e-3 <= (cell.activity_lr or 0) <= 1e3


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_sampler_improves_on_random_search(sampler: str) -> None:
    """Its last cells are better than those of a random search."""
    last = [bowl(trial.cell) for trial in search(PLANE, sampler, 120)[-40:]]
    random = [bowl(trial.cell) for trial in search(PLANE, "random", 120)[-40:]]
    assert np.median(last) < 0.25 * np.median(random)


def test_qmc_covers_every_part_of_a_range() -> None:
    """A Sobol sequence has equally many points in each of 2^k parts; its first cell is random."""

    def most_and_least(sampler: str) -> tuple[int, int]:
        rates = [trial.cell.weight_lr for trial in search(PLANE, sampler, 65)]
        counts, _ = np.histogram(np.log(rates), bins=16, range=(math.log(1e-4), 0))
        return int(counts.max()), int(counts.min())

    assert most_and_least("qmc") in {(5, 4), (5, 3)}
    assert most_and_least("random")[0] > 5


@pytest.mark.parametrize("sampler", OTHERS)
def test_sampler_searches_one_rate(sampler: str) -> None:
    trials = search(Space(Range(1e-4, 1), None), sampler, 60)
    assert {trial.cell.activity_lr for trial in trials} == {None}
    best = min((trial.cell for trial in trials), key=bowl)
    assert abs(math.log10(best.weight_lr / 0.01)) < 0.3


@pytest.mark.parametrize("sampler", INSTALLED)
def test_search_is_deterministic(sampler: str) -> None:
    trials = None if sampler == "grid" else 30
    assert search(GRID, sampler, trials) == search(GRID, sampler, trials)


@pytest.mark.parametrize("sampler", OTHERS)
def test_sampler_draws_values_of_the_list(sampler: str) -> None:
    assert {trial.cell for trial in search(GRID, sampler, 30)} <= set(GRID.cells)


@pytest.mark.parametrize("sampler", INSTALLED)
def test_optuna_logs_nothing(sampler: str, caplog: pytest.LogCaptureFixture) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.enable_propagation()
    try:
        with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
            warnings.simplefilter("error")
            search(GRID, sampler, None if sampler == "grid" else 20)
    finally:
        optuna.logging.disable_propagation()
    assert caplog.records == []
    assert optuna.logging.get_verbosity() == before


def one_cell(*outcomes: tuple[Status, float | None]) -> Landscape:
    rows = [
        {
            "outcome": status,
            "final_train_loss": loss,
            "min_train_loss": loss,
            "test_accuracy": None,
        }
        for status, loss in outcomes
    ]
    return Landscape.of([Cell(0.1, 1)], [rows])


def test_search_loss_is_finite_and_ordered() -> None:
    trained, diverged = (Status.TRAINED, 1.0), (Status.DIVERGED, None)
    losses = [
        search_loss(one_cell(trained, (Status.TRAINED, 2.0), trained)),
        search_loss(one_cell((Status.TRAINED, 900.0), trained, trained)),
        search_loss(one_cell(trained, (Status.AT_CHANCE, 0.1), trained)),
        search_loss(one_cell(trained, diverged, (Status.FAILED, None))),
        search_loss(one_cell(diverged, (Status.TRAINED, math.nan), (Status.TRAINED, -math.inf))),
    ]
    assert losses[0] == pytest.approx(4 / 3)
    assert losses == sorted(losses)
    assert losses[-1] == WORST_LOSS
    assert np.isfinite(losses).all()
