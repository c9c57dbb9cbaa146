"""Heat maps of the loss over (eta, beta): one panel per shape, one loss scale per variant.

Cells of a grid are tiles on log axes that extend half-way, in the logarithm, to their neighbours;
cells of other samplers are points. Diverged and at-chance cells have no loss: they are hatched and
dotted regions. A tile with colour and pattern is a cell where only some seeds trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from results.figures import marks, style
from results.figures.cells import column_of, records
from results.figures.layout import (
    arrange,
    edges,
    log_length,
    open_axes,
    rate_axis,
    subplots,
)
from results.figures.panels import Panel
from results.vocabulary import RATES, rate_label

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

X, Y = "weight_lr", "activity_lr"
"""Columns of cells while they are drawn: the rates along both axes, whatever their names."""
ROOM = 1.25  # factor between a scattered cell and the frame
TILE_EDGE: marks.Look = {"edgecolors": "white", "linewidth": 0.5}


def is_grid(cells: pd.DataFrame, rates: tuple[str, str] = RATES) -> bool:
    """Return whether the cells are a grid: at least half of the product at the fullest shape."""
    across, down = map(column_of, rates)
    sizes = cells.groupby(["width", "depth"]).agg(
        tried=(across, "size"), etas=(across, "nunique"), betas=(down, "nunique")
    )
    fullest = records(sizes.nlargest(1, "tried"))[0]
    return bool(fullest["tried"] >= 0.5 * fullest["etas"] * fullest["betas"])


def draw(panels: Sequence[Panel], rates: tuple[str, str] = RATES) -> Figure:
    """Return the heat maps of one variant with activity learning rates; at least one panel.

    Args:
        panels: one per shape.
        rates: the rates along x and y, by default eta and beta.
    """
    import pandas as pd
    from matplotlib.colors import LogNorm

    # Cells without an activity learning rate have no place beside those that have one.
    panels = [replace(p, cells=_named(p.cells, rates)) for p in panels]
    cells = pd.concat([p.cells for p in panels])
    grid = is_grid(cells, (X, Y))
    fullest = max((p.cells for p in panels), key=len) if grid else cells
    etas, betas = (sorted(fullest[rate].unique()) for rate in (X, Y))
    beyond = cells[~(cells[X].isin(etas) & cells[Y].isin(betas))]
    rows, columns, _ = arrange([p.shape for p in panels])
    wide, high = log_length(etas, 0.95, 1.7, 2.6), log_length(betas, 0.85, 2.0, 4.2)
    norm = LogNorm(*style.loss_range(list(cells["loss"].dropna())))
    with style.styled():
        figure = style.new_figure(max(columns * (wide + 0.15) + 2, 5.4), rows * (high + 0.95) + 0.9)
        used: list[Axes] = []
        for panel, axes in subplots(figure, panels, rate_label(rates[1]), rate_label(rates[0])):
            if grid and _on_grid(panel.cells, etas, betas):
                _tiles(axes, panel.cells, etas, betas, norm)
            else:
                _points(axes, panel.cells, norm)
            _marks(axes, panel, rates)
            used.append(axes)
        for axes in used:
            if grid:
                rate_axis(axes, "x", etas, wide)
                rate_axis(axes, "y", betas, high)
                _widen(axes, beyond)
            else:
                open_axes(axes, etas, betas)
        for panel, axes in zip(panels, used, strict=True):
            marks.region(axes, panel, rates)
        if cells["loss"].notna().any():  # no scale without a loss
            _colour_bar(figure, used, norm)
        blank = grid and any(len(p.cells) < len(etas) * len(betas) for p in panels)
        marks.legend(figure, panels, [_blank()] if blank else [])
    return figure


def _named(cells: pd.DataFrame, rates: tuple[str, str]) -> pd.DataFrame:
    """Return the cells that have both rates, in the columns X and Y."""
    both = cells[[column_of(rate) for rate in rates]]
    named = cells.assign(**{X: both.iloc[:, 0], Y: both.iloc[:, 1]})
    return named[both.notna().all(axis=1)]


def _on_grid(cells: pd.DataFrame, etas: list[float], betas: list[float]) -> bool:
    """Return whether all cells are on the grid; predicted cells need not be."""
    return bool(cells[X].isin(etas).all() and cells[Y].isin(betas).all())


def _widen(axes: Axes, cells: pd.DataFrame) -> None:
    """Extend the axes to cells that a rule predicted beyond the grid."""
    if cells.empty:
        return
    for rates, limits, widen in (
        (cells[X], axes.get_xlim(), axes.set_xlim),
        (cells[Y], axes.get_ylim(), axes.set_ylim),
    ):
        widen(min(limits[0], rates.min() / ROOM), max(limits[1], rates.max() * ROOM))


def _tiles(
    axes: Axes, cells: pd.DataFrame, etas: list[float], betas: list[float], norm: LogNorm
) -> None:
    import numpy as np

    xs, ys = edges(etas), edges(betas)
    colour = np.full((len(betas), len(etas)), np.nan)
    outcome = np.full(colour.shape, "", dtype=object)
    for cell in records(cells):
        place = betas.index(cell[Y]), etas.index(cell[X])
        colour[place], outcome[place] = cell["loss"], cell["outcome"]
    axes.spines[:].set(visible=True, color="#c8c8c8")
    losses = np.ma.masked_invalid(colour)
    axes.pcolormesh(xs, ys, losses, norm=norm, cmap=style.CMAP, zorder=1, **TILE_EDGE)
    for kind in style.REGIONS:
        _region(axes, outcome == kind, np.isfinite(colour), xs, ys, kind)
    for cell in records(cells[cells["outcome"].isin(marks.WITHOUT_TILE)]):
        marks.put_outcome(axes, cell, cell[X], cell[Y])


def _region(
    axes: Axes, inside: np.ndarray, coloured: np.ndarray, xs: np.ndarray, ys: np.ndarray, kind: str
) -> None:
    """Draw the tiles of the mask `inside` (betas, etas) as one region with the pattern of `kind`.

    Only the outline of the region is a line. Tiles in `coloured` keep their colour.
    """
    import numpy as np
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    face, hatch = style.REGIONS[kind]
    for row, column in np.argwhere(inside):
        tile = Rectangle(
            (xs[column], ys[row]),
            xs[column + 1] - xs[column],
            ys[row + 1] - ys[row],
            facecolor="none" if coloured[row, column] else face,
            edgecolor="white" if coloured[row, column] else style.REGION_EDGE,
            hatch=hatch,
            linewidth=0,
            zorder=2,
        )
        axes.add_patch(tile)
    border = LineCollection(
        outline(inside, xs, ys), colors=style.REGION_EDGE, linewidths=1.2, zorder=3
    )
    axes.add_collection(border, autolim=False)


def outline(inside: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> list[list[tuple[float, float]]]:
    """Return the border of the mask `inside` (len(ys) - 1, len(xs) - 1) as line segments."""
    import numpy as np

    padded = np.pad(inside, 1)
    sides = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    levels = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    upright = [[(xs[c], ys[r]), (xs[c], ys[r + 1])] for r, c in sides]
    level = [[(xs[c], ys[r]), (xs[c + 1], ys[r])] for r, c in levels]
    return upright + level


def _points(axes: Axes, cells: pd.DataFrame, norm: LogNorm) -> None:
    look: marks.Look = {"s": 110, "linewidths": 0.7, "zorder": 2}
    shown = cells[cells["loss"].notna()]
    x, y = shown[X], shown[Y]
    axes.scatter(x, y, c=shown["loss"], norm=norm, cmap=style.CMAP, edgecolors="white", **look)
    for kind, (face, hatch) in style.REGIONS.items():
        rest = cells[cells["outcome"].eq(kind)]
        shape: marks.Look = {"marker": "s" if kind == "diverged" else "o", "hatch": hatch * 2}
        for some, colour in (
            (rest[rest["loss"].isna()], face),
            (rest[rest["loss"].notna()], "none"),
        ):
            x, y = some[X], some[Y]
            axes.scatter(x, y, facecolors=colour, edgecolors=style.REGION_EDGE, **shape, **look)
    for cell in records(cells[cells["outcome"].isin(marks.WITHOUT_TILE)]):
        marks.put_outcome(axes, cell, cell[X], cell[Y])


def _marks(axes: Axes, panel: Panel, rates: tuple[str, str]) -> None:
    for name, cell in (("transferred", panel.transferred), ("optimum", panel.optimum)):
        if cell is not None and all(rate in cell for rate in rates):
            marks.put(axes, name, cell[rates[0]], cell[rates[1]], clip_on=False)


def _colour_bar(figure: Figure, axes: list[Axes], norm: LogNorm) -> None:
    from matplotlib.cm import ScalarMappable

    scale = ScalarMappable(norm, style.CMAP)
    bar = figure.colorbar(scale, ax=axes, pad=0.015, aspect=28, fraction=0.05)
    bar.set_label("final training loss, mean over seeds")
    ticks = style.log_ticks(norm.vmin or 0.1, norm.vmax or 1.0)
    bar.set_ticks(ticks, labels=[f"{t:.3g}" for t in ticks])
    bar.ax.minorticks_off()
    bar.ax.spines[:].set_visible(False)


def _blank() -> Patch:
    from matplotlib.patches import Patch

    return Patch(facecolor="none", edgecolor="#c8c8c8", label="blank: not tried")
