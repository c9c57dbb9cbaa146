"""The picture of one landscape on axes of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results.figures import marks, style
from results.figures.layout import edges, rate_axis
from results.shapes import Shape
from results.vocabulary import RATES, rate_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

INCHES = 4.0  # assumed length of an axis, for the number of its ticks
VALUE_LABELS = {"final_train_loss": "final training loss, mean over seeds"}


def plot_landscape(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw a landscape: a heat map with log axes and a star at the lowest value.

    Cells where no run trained are blank. Without activity learning rates it is a line over eta.

    Args:
        table: from `results.Ledger.landscape`.
        ax: Matplotlib's axes to draw on; by default the current ones of pyplot.

    Returns:
        The axes. Rates that have no place on a log axis (zero, negative, infinite) are left out,
        with a warning.

    Raises:
        ValueError: `table` has no rows or no columns, or none with rates that can be drawn.
    """
    import numpy as np
    from matplotlib.colors import LogNorm

    table = _drawable(table)
    if table.empty:
        raise ValueError("the landscape is empty")
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.gca()
    etas, betas = (list(map(float, rates)) for rates in (table.columns, table.index))
    values = table.to_numpy(float)
    low, high = style.loss_range(list(values[np.isfinite(values)]))
    text = VALUE_LABELS.get(table.attrs.get("value", ""), table.attrs.get("value", ""))
    ax.set_xlabel(rate_label(str(table.columns.name or RATES[0])))
    if "variant" in table.attrs:
        shape = Shape(table.attrs["width"], table.attrs["depth"])
        ax.set_title(f"{style.label(table.attrs['variant'])}, {shape.symbols}")
    if np.isnan(betas).all():
        ax.plot(etas, values[0], "o-", color=style.LINES[0][0])
        style.loss_axis(ax, low, high)
        ax.set_ylabel(text)
        rate_axis(ax, "x", etas, INCHES)
        return ax
    mesh = ax.pcolormesh(
        edges(etas), edges(betas), np.ma.masked_invalid(values),
        norm=LogNorm(low, high), cmap=style.CMAP,
    )  # fmt: skip
    rate_axis(ax, "x", etas, INCHES)
    rate_axis(ax, "y", betas, INCHES)
    ax.set_ylabel(rate_label(str(table.index.name or RATES[1])))
    if np.isfinite(values).any():
        row, column = np.unravel_index(np.nanargmin(values), values.shape)
        marks.put(ax, "optimum", etas[column], betas[row], clip_on=False)
    ax.figure.colorbar(mesh, ax=ax, label=text)
    return ax


def _drawable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table without rates that cannot be drawn, of which it warns."""
    import warnings

    etas = [eta for eta in table.columns if style.is_drawable(float(eta))]
    betas = [beta for beta in table.index if beta != beta or style.is_drawable(float(beta))]
    kept = table.loc[betas, etas]
    if kept.shape != table.shape:
        warnings.warn(
            "learning rates that are zero, negative, infinite or too extreme are not drawn",
            RuntimeWarning,
            stacklevel=3,
        )
    return kept
