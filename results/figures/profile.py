"""Loss against one rate, eta where there is no activity learning rate, one panel per shape.

As in the heat map, a variant has one loss scale, a star marks the best rate at the shape, and a
ring marks the transferred one. Diverged and at-chance rates are hatched and dotted bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.figures import marks, style
from results.figures.cells import at_cell, at_shape, column_of, records
from results.figures.layout import arrange, edges, log_length, rate_axis, subplots
from results.figures.panels import Panel
from results.vocabulary import rate_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HIGH = 2.6
COLOR = style.LINES[0][0]


def draw(panels: Sequence[Panel], runs: pd.DataFrame, rate: str = "weight_lr") -> Figure:
    """Return the figure of mean loss against a rate, with seeds as points; at least one panel."""
    import pandas as pd
    from matplotlib.lines import Line2D

    column = column_of(rate)
    etas = sorted(pd.concat([p.cells for p in panels])[column].unique())
    rows, columns, _ = arrange([p.shape for p in panels])
    wide = log_length(etas, 0.95, 1.7, 2.3)
    trained = runs[runs["outcome"].eq("trained")]
    with style.styled():
        figure = style.new_figure(max(columns * (wide + 0.15) + 1, 5.4), rows * (HIGH + 0.95) + 0.9)
        used: list[Axes] = []
        for panel, axes in subplots(figure, panels, "final training loss", rate_label(rate)):
            here = at_shape(trained, panel.shape)
            axes.plot(here[column], here["final_train_loss"], "o", ms=4, c=COLOR, alpha=0.55)
            _bands(axes, panel, column)
            _curve(axes, panel, rate)
            used.append(axes)
        losses = style.loss_range(list(trained["final_train_loss"]))
        style.loss_axis(used[0], *losses, margin=1.25)
        for panel, axes in zip(panels, used, strict=True):
            rate_axis(axes, "x", etas, wide)
            marks.region(axes, panel, [rate])
        dots: marks.Look = {"marker": "o", "ms": 4, "color": COLOR, "lw": 1.8}
        marks.legend(
            figure, panels, [Line2D([], [], **dots, label="mean over seeds; dots are seeds")]
        )
    return figure


def _curve(axes: Axes, panel: Panel, rate: str) -> None:
    shown = panel.cells[panel.cells["loss"].notna()]
    axes.plot(shown[column_of(rate)], shown["loss"], color=COLOR, lw=1.8, zorder=3)
    for name, cell in (("transferred", panel.transferred), ("optimum", panel.optimum)):
        if cell is None:
            continue
        here = records(shown[at_cell(shown, cell)])
        if here:
            marks.put(axes, name, cell[rate], here[0]["loss"], clip_on=False)
        else:  # without a loss, near the lower end
            marks.put(axes, name, cell[rate], 0.1, transform=axes.get_xaxis_transform())


def _bands(axes: Axes, panel: Panel, column: str) -> None:
    etas = sorted(panel.cells[column])  # other shapes may have others, by rules
    border = edges(etas)
    for cell in records(panel.cells):
        place = etas.index(cell[column])
        if cell["outcome"] in style.REGIONS:
            face, hatch = style.REGIONS[cell["outcome"]]
            look: marks.Look = {
                "hatch": hatch,
                "edgecolor": style.REGION_EDGE,
                "linewidth": 0,
                "zorder": 0.5,
            }
            axes.axvspan(border[place], border[place + 1], facecolor=face, **look)
        elif cell["outcome"] in marks.WITHOUT_TILE:
            where = {"transform": axes.get_xaxis_transform()}
            marks.put_outcome(axes, cell, etas[place], 0.5, **where)
