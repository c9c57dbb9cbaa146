"""Loss against eta for rules without an activity learning rate (backpropagation), panel by shape.

The same reading as the landscape: one loss scale for the variant, a star on the best rate found at
the shape, a ring on the transferred one, diverged and at-chance rates as hatched and dotted bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.figures import marks, style
from results.figures.cells import Panel, at, records
from results.figures.layout import arrange, edges, log_length, rate_axis, subplots

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HIGH = 2.6
COLOR = style.LINES[0][0]


def draw(panels: Sequence[Panel], runs: pd.DataFrame) -> Figure:
    """Mean final loss against eta with the seeds of `runs` as points; at least one panel."""
    import pandas as pd
    from matplotlib.lines import Line2D

    etas = sorted(pd.concat([p.cells for p in panels])["weight_lr"].unique())
    rows, columns, _ = arrange([p.shape for p in panels])
    wide = log_length(etas, 0.95, 1.7, 2.3)
    trained = runs[runs["outcome"].eq("trained")]
    with style.styled():
        figure = style.new_figure(max(columns * (wide + 0.15) + 1, 5.4), rows * (HIGH + 0.95) + 0.9)
        used: list[Axes] = []
        for panel, axes in subplots(figure, panels, "final training loss"):
            shape = panel.shape
            here = trained[trained["width"].eq(shape.width) & trained["depth"].eq(shape.depth)]
            axes.plot(here["weight_lr"], here["final_train_loss"], "o", ms=4, c=COLOR, alpha=0.55)
            _bands(axes, panel)
            _curve(axes, panel)
            used.append(axes)
        losses = style.loss_range(list(trained["final_train_loss"]))
        style.loss_axis(used[0], *losses, margin=1.25)
        for axes in used:
            rate_axis(axes, "x", etas, wide)
        dots: marks.Look = {"marker": "o", "ms": 4, "color": COLOR, "lw": 1.8}
        marks.legend(
            figure, panels, [Line2D([], [], **dots, label="mean over seeds; dots are seeds")]
        )
    return figure


def _curve(axes: Axes, panel: Panel) -> None:
    shown = panel.cells[panel.cells["loss"].notna()]
    axes.plot(shown["weight_lr"], shown["loss"], color=COLOR, lw=1.8, zorder=3)
    for name, rates in (("transferred", panel.transferred), ("optimum", panel.optimum)):
        if rates is None:
            continue
        here = records(shown[at(shown, rates)])
        if here:
            marks.put(axes, name, rates.weight_lr, here[0]["loss"], clip_on=False)
        else:  # no loss to stand on: the mark goes near the floor
            marks.put(axes, name, rates.weight_lr, 0.1, transform=axes.get_xaxis_transform())


def _bands(axes: Axes, panel: Panel) -> None:
    etas = sorted(panel.cells["weight_lr"])  # of this panel: rules take others elsewhere
    border = edges(etas)
    for cell in records(panel.cells):
        place = etas.index(cell["weight_lr"])
        if cell["outcome"] in style.REGIONS:
            face, hatch = style.REGIONS[cell["outcome"]]
            look: marks.Look = {
                "hatch": hatch,
                "edgecolor": style.REGION_EDGE,
                "linewidth": 0,
                "zorder": 0.5,
            }
            axes.axvspan(border[place], border[place + 1], facecolor=face, **look)
        elif cell["outcome"] == "failed":
            marks.put(axes, "failed", etas[place], 0.5, transform=axes.get_xaxis_transform())
