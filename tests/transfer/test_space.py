"""Neighbours and edges of cells in lists and ranges."""

import pytest

from transfer import Cell
from transfer.space import Grid, Range, Space

ETAS, BETAS = Grid((0.01, 0.05, 0.1, 0.5)), Grid((0.1, 1.0, 10.0))
SPACE = Space(ETAS, BETAS)


def test_cells_are_the_product_of_the_rates() -> None:
    assert len(SPACE.cells) == len(set(SPACE.cells)) == 12
    assert Space(ETAS, None).cells == tuple(Cell(eta, None) for eta in ETAS.values)
    assert Space(ETAS, None).enumerable
    assert not Space(ETAS, Range(0.1, 1)).enumerable
    with pytest.raises(ValueError, match="range"):
        _ = Space(ETAS, Range(0.1, 1)).cells


@pytest.mark.parametrize(
    ("cell", "reach", "etas", "betas"),
    [
        (Cell(0.05, 1.0), 0, {0.05}, {1.0}),
        (Cell(0.05, 1.0), 1, {0.01, 0.05, 0.1}, {0.1, 1.0, 10.0}),
        (Cell(0.01, 10.0), 1, {0.01, 0.05}, {1.0, 10.0}),
        (Cell(0.5, 0.1), 2, {0.05, 0.1, 0.5}, {0.1, 1.0, 10.0}),
        (Cell(0.5, 0.1), 99, set(ETAS.values), set(BETAS.values)),
    ],
)
def test_near_returns_a_box_of_cells(
    cell: Cell, reach: int, etas: set[float], betas: set[float]
) -> None:
    near = SPACE.near(cell, reach)
    assert set(near) == {Cell(eta, beta) for eta in etas for beta in betas}
    assert cell in near
    assert len(near) <= SPACE.most_near(reach)


def test_neighbours_in_a_range_are_octaves_apart() -> None:
    rates = Range(1.0, 10.0)
    assert rates.near(3.0, 1) == (1.5, 3.0, 6.0)
    assert rates.near(3.0, 2) == (1.5, 3.0, 6.0)
    assert rates.near(8.0, 1) == (4.0, 8.0)
    assert rates.most_near(2) == 5


@pytest.mark.parametrize(
    ("space", "cell", "edges"),
    [
        (SPACE, Cell(0.05, 1.0), {}),
        (SPACE, Cell(0.01, 1.0), {"weight_lr": "lowest"}),
        (SPACE, Cell(0.5, 10.0), {"weight_lr": "highest", "activity_lr": "highest"}),
        (Space(ETAS, None), Cell(0.5, None), {"weight_lr": "highest"}),
        (Space(Grid((0.1,)), BETAS), Cell(0.1, 1.0), {}),  # not searched, hence no edge
        (Space(Range(1, 10), BETAS), Cell(4, 1.0), {}),
        (Space(Range(1, 10), BETAS), Cell(1.9, 1.0), {"weight_lr": "lowest"}),
        (Space(Range(1, 10), BETAS), Cell(5.1, 1.0), {"weight_lr": "highest"}),
    ],
)
def test_edges_are_sides_without_neighbours(
    space: Space, cell: Cell, edges: dict[str, str]
) -> None:
    assert space.edges(cell) == edges
