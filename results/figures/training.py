"""Training curves at the transferred cell of each variant, one line per shape.

A line is the mean over the seeds that trained, its band their range. Seeds that stayed at chance or
diverged are thin lines; a cross marks the end of a diverged one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from results.figures import marks, style
from results.figures.cells import at_shape, shapes
from results.shapes import Shape

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Metric = Literal["train_loss", "test_accuracy"]
METRIC_LABELS = {"train_loss": "training loss", "test_accuracy": "test accuracy, %"}


def draw(curves: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Return the figure: loss above, test accuracy below, one column per variant.

    Args:
        curves: rows of `curves` for `runs`; at least one.
        runs: the runs at the transferred cells.
    """
    columns = ["run_id", "variant", "width", "depth", "outcome"]
    data = curves.merge(runs[columns], on="run_id")
    metrics: list[Metric] = ["train_loss"]
    if data["test_accuracy"].notna().any():
        metrics.append("test_accuracy")
    names = sorted(data["variant"].unique(), key=style.rank)
    there = shapes(data)
    looks = dict(zip(there, style.sequence(len(there)), strict=True))
    with style.styled():
        figure = style.new_figure(max(3.5 * len(names) + 0.8, 6.0), 2.9 * len(metrics) + 1.0)
        for row, metric in enumerate(metrics):
            first: Axes | None = None
            for column, name in enumerate(names):
                place = row * len(names) + column + 1
                axes = figure.add_subplot(len(metrics), len(names), place, sharey=first)
                if first is None and metric == "train_loss":
                    style.loss_axis(axes, *_loss_range(data))
                first = first or axes
                _panel(axes, data[data["variant"].eq(name)], metric, looks)
                if row == 0:
                    axes.set_title(style.label(name))
                if column == 0:
                    axes.set_ylabel(METRIC_LABELS[metric])
                else:
                    axes.tick_params(labelleft=False)
                if row == len(metrics) - 1:
                    axes.set_xlabel("weight updates")
                else:
                    axes.tick_params(labelbottom=False)
        _legend(figure, looks)
    return figure


def _panel(
    axes: Axes, data: pd.DataFrame, metric: Metric, looks: dict[Shape, style.LineLook]
) -> None:
    scale = 100.0 if metric == "test_accuracy" else 1.0
    finite = data[data[metric].notna() & data[metric].abs().lt(float("inf"))]
    for shape, look in looks.items():
        here = at_shape(finite, shape)
        trained = here[here["outcome"].eq("trained")]
        if not trained.empty:
            steps = trained.groupby("step")[metric].agg(["mean", "min", "max"]) * scale
            axes.fill_between(steps.index, steps["min"], steps["max"], color=look.color, alpha=0.15)
            axes.plot(
                steps.index, steps["mean"], color=look.color, ls=look.linestyle, lw=1.8,
                marker=look.marker, ms=5.5, markevery=max(1, len(steps) // 6),
            )  # fmt: skip
        for _, seed in here[here["outcome"].ne("trained")].groupby("run_id"):
            line = seed.sort_values("step")
            axes.plot(line["step"], line[metric] * scale, color=look.color, lw=0.9, alpha=0.8)
            if line["outcome"].iloc[0] == "diverged":
                _cross(axes, line.iloc[-1]["step"], line.iloc[-1][metric] * scale, look.color)


def _cross(axes: Axes, step: float, value: float, color: str) -> None:
    """Mark the end of a diverged seed, on the upper border if its last value is beyond it."""
    look: marks.Look = {"ms": 8, "mew": 2, "color": color, "clip_on": False, "zorder": 5}
    if axes.get_yscale() == "log" and value > axes.get_ylim()[1]:
        axes.plot(step, 1.0, "x", transform=axes.get_xaxis_transform(), **look)
    else:
        axes.plot(step, value, "x", **look)


def _loss_range(data: pd.DataFrame) -> tuple[float, float]:
    """Return the range of losses of trained runs, else of those at chance, else of all.

    Runs at chance can begin at 1e7: lines beyond the range are cut off.
    """
    for outcome in ("trained", "at_chance"):
        some = data[data["outcome"].eq(outcome)]
        if not some.empty:
            return style.loss_range(list(some["train_loss"]))
    return style.loss_range(list(data["train_loss"]))


def _legend(figure: Figure, looks: dict[Shape, style.LineLook]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=k.color, ls=k.linestyle, marker=k.marker, ms=5.5,
            label=shape.symbols,
        )
        for shape, k in looks.items()
    ]  # fmt: skip
    marks.below(figure, handles, 1.9)
