"""The best cell of a landscape, on losses that can be ranked by hand."""

import numpy as np
import pytest

from results.landscape import Cell, Landscape, mostly_trained, optimum
from results.vocabulary import OutcomeLabel

TRAINED, DIVERGED, FAILED = OutcomeLabel.TRAINED, OutcomeLabel.DIVERGED, OutcomeLabel.FAILED


def landscape(*cells: list[float | OutcomeLabel]) -> Landscape:
    """Return cells with rates 1, 2, ... from the losses, or outcomes, of their seeds."""
    rows = [
        [
            {
                "outcome": value if isinstance(value, OutcomeLabel) else TRAINED,
                "final_train_loss": None if isinstance(value, OutcomeLabel) else value,
                "min_train_loss": None,
                "test_accuracy": None,
            }
            for value in seeds
        ]
        for seeds in cells
    ]
    return Landscape.of([Cell(float(number), None) for number in range(1, len(cells) + 1)], rows)


@pytest.mark.parametrize(("trained", "mostly"), [(1, False), (2, False), (3, True), (4, True)])
def test_more_than_half_of_four_seeds_are_three(trained: int, mostly: bool) -> None:
    losses: list[float | OutcomeLabel] = [0.5] * trained + [DIVERGED] * (4 - trained)
    found = landscape(losses)
    assert mostly_trained(found, 0) == mostly
    assert (optimum(found) is not None) == mostly


def test_trained_seeds_count_before_the_loss() -> None:
    found = landscape([0.1, 0.1, DIVERGED], [0.9, 0.9, 0.9])
    assert optimum(found) == Cell(2.0, None)


def test_mean_over_seeds_decides_and_ties_go_to_the_lower_rate() -> None:
    assert optimum(landscape([0.1, 0.8], [0.3, 0.3])) == Cell(2.0, None)
    assert optimum(landscape([0.3, 0.5], [0.5, 0.3])) == Cell(1.0, None)


def test_failed_run_is_missing() -> None:
    """A cell with one competes by its other seeds, if more than half of its runs trained."""
    assert optimum(landscape([0.1, 0.2, FAILED], [0.3, 0.3, 0.3])) == Cell(1.0, None)
    assert optimum(landscape([0.1, FAILED, FAILED], [0.3, 0.3, 0.3])) == Cell(2.0, None)
    assert optimum(landscape([0.1, FAILED])) is None


def test_complete_cells_trained_with_every_seed_that_the_machine_finished() -> None:
    found = landscape([0.1, 0.2], [0.1, FAILED], [0.1, DIVERGED], [FAILED, FAILED])
    assert found.complete.tolist() == [True, True, False, False]


def test_trained_run_without_a_finite_loss_counts_as_diverged() -> None:
    found = landscape([float("inf"), 0.2])
    assert found.count(DIVERGED) == found.count(TRAINED) == 1
    assert np.isnan(found.losses[0, 0])


@pytest.mark.filterwarnings("error")
def test_landscape_without_trained_cells_has_no_losses() -> None:
    assert optimum(landscape([DIVERGED, DIVERGED])) is None
    assert not landscape([DIVERGED, DIVERGED]).complete.any()
    none = Landscape.of([], [])
    assert none.losses.shape == none.accuracies.shape == (0, 0)


def test_ties_go_to_the_lower_beta() -> None:
    row = {"outcome": TRAINED, "final_train_loss": 0.1}
    found = Landscape.of([Cell(1.0, 2.0), Cell(1.0, 0.5)], [[row], [row]])
    assert optimum(found) == Cell(1.0, 0.5)
