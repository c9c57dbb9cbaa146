"""Pairs of rates of a training function, and the cells that a map of a pair shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from results.figures.cells import column_of
from results.figures.panels import Panel
from results.rates import names_in

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 3
"""The fewest cells of a slice at the fullest shape for it to be drawn."""
SLICE = "A slice through the best cell of each shape: the other rates have its values. "
ABOVE = "All cells, whatever their other rates; where several lie on one place, the best. "


def pairs(rates: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of rates in their order."""
    return list(combinations(rates, 2))


def sliced(panels: Sequence[Panel], pair: tuple[str, str]) -> tuple[list[Panel], str]:
    """Return the panels with the cells that a map over a pair of rates shows, and how, in words."""
    others = [
        n for n in dict.fromkeys(n for p in panels for n in names_in(p.cells)) if n not in pair
    ]
    if not others:
        return list(panels), ""
    cut = [replace(panel, cells=_through(panel, others)) for panel in panels]
    if max(len(panel.cells) for panel in cut) >= FEWEST:
        return [panel for panel in cut if len(panel.cells)], SLICE
    return [replace(panel, cells=_from_above(panel.cells, pair)) for panel in panels], ABOVE


def _through(panel: Panel, others: Sequence[str]) -> pd.DataFrame:
    """Return the cells that have the values of the best cell in the other rates."""
    import numpy as np

    best = panel.optimum or panel.transferred
    if best is None:
        return panel.cells.iloc[:0]
    same = np.ones(len(panel.cells), bool)
    for name in others:
        same &= np.isclose(panel.cells[column_of(name)], best[name], rtol=1e-9, atol=0.0)
    return panel.cells[same]


def _from_above(cells: pd.DataFrame, pair: tuple[str, str]) -> pd.DataFrame:
    """Return one cell for each place in the plane of two rates: the one with the lowest loss."""
    ordered = cells.sort_values("loss", na_position="last", kind="stable")
    return ordered.drop_duplicates([column_of(rate) for rate in pair]).sort_index()
