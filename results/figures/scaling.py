"""Loss and accuracy at the transferred cell of every variant, by depth and by width.

Points are means over the seeds that trained, bars one standard deviation. A hollow point is a mean
over seeds at chance where none trained. A cross above the panel gives the number of seeds that
diverged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from results.figures import marks, style
from results.figures.cells import by_shape, records, shapes
from results.shapes import Shape

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Axis = Literal["depth", "width"]
Metric = Literal["final_train_loss", "test_accuracy"]
AXIS_LABELS = {"depth": "H, hidden layers", "width": "N, width"}
METRIC_TITLES = {"final_train_loss": "Loss", "test_accuracy": "Accuracy"}
METRIC_LABELS = {
    "final_train_loss": "final training loss",
    "test_accuracy": "test accuracy, %",
}
CHANCE_LINE: marks.Look = {"color": style.FAINT, "lw": 1, "ls": (0, (2, 2))}
KINDS = ("trained", "at_chance")
POINT_COLUMNS = ["variant", "width", "depth", "mean", "std", "kind", "diverged", "seeds"]


@dataclass(frozen=True)
class Sweep:
    """Shapes along one axis: `axis` varies, the other size is fixed at `at`."""

    axis: Axis
    at: int

    @property
    def title(self) -> str:
        """The fixed size: "N = 128" for a sweep over depth."""
        return f"{'N' if self.axis == 'depth' else 'H'} = {self.at}"


def points(runs: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return one row per variant and shape of `runs`, those at the transferred cells.

    Columns: mean; std (sample, NaN for one seed); kind ("trained", "at_chance" if no seed trained,
    "none" if neither has the metric, as there are no losses at chance); diverged; seeds (finished
    runs). Accuracy is in per cent.
    """
    import pandas as pd

    scale = 100.0 if metric == "test_accuracy" else 1.0
    rows = []
    for variant, shape, some in by_shape(runs):
        by_kind = {k: some.loc[some["outcome"].eq(k), metric].dropna() * scale for k in KINDS}
        kind = next((k for k in KINDS if not by_kind[k].empty), "none")
        values = by_kind.get(kind, some.iloc[:0][metric])
        rows.append(
            {
                "variant": variant,
                "width": shape.width,
                "depth": shape.depth,
                "mean": values.mean(),
                "std": values.std(ddof=1),
                "kind": kind,
                "diverged": int(some["outcome"].eq("diverged").sum()),
                "seeds": int(some["outcome"].ne("failed").sum()),
            }
        )
    return pd.DataFrame(rows, columns=POINT_COLUMNS)


def chance_level(runs: pd.DataFrame) -> float | None:
    """Return the median accuracy of the runs at chance; None if there are none."""
    accuracy = runs.loc[runs["outcome"].eq("at_chance"), "test_accuracy"].dropna()
    return None if accuracy.empty else float(accuracy.median())


def sweeps(runs: pd.DataFrame, tuned: Shape) -> list[Sweep]:
    """Return the sweeps over depth at the tuned width and over width at the tuned depth.

    A sweep needs two shapes. If neither has two, sweep over depth at the width with most shapes.
    """
    there = shapes(runs)
    depths = [s for s in there if s.width == tuned.width]
    widths = [s for s in there if s.depth == tuned.depth]
    found = [Sweep("depth", tuned.width)] if len(depths) > 1 else []
    found += [Sweep("width", tuned.depth)] if len(widths) > 1 else []
    commonest = Counter(shape.width for shape in there).most_common(1)
    return found or [Sweep("depth", width) for width, _ in commonest]


def draw(
    moved: pd.DataFrame, best: pd.DataFrame, along: list[Sweep], chance: float | None
) -> Figure:
    """Return the figure of loss (left) and accuracy (right, if there is one) along every sweep.

    Args:
        moved: runs at the transferred cells.
        best: one row per variant and shape with the `loss` of the best cell.
        along: the sweeps, one row of panels each.
        chance: accuracy at chance level, 0 to 1.
    """
    metrics: list[Metric] = ["final_train_loss"]
    if moved["test_accuracy"].notna().any():
        metrics.append("test_accuracy")
    looks = style.looks(sorted(moved["variant"].unique(), key=style.rank))
    with style.styled():
        figure = style.new_figure(5.6 * len(metrics), 3.9 * len(along) + 0.6)
        starred = False
        for row, sweep in enumerate(along):
            for column, metric in enumerate(metrics):
                place = row * len(metrics) + column + 1
                axes = figure.add_subplot(len(along), len(metrics), place)
                data = _placed(points(moved, metric), sweep, looks)
                _lines(axes, data, looks)
                if metric == "final_train_loss":
                    starred |= _loss_panel(axes, data, best, looks)
                elif chance is not None:
                    axes.axhline(100 * chance, zorder=0, **CHANCE_LINE)
                rails = _rails(axes, data[data["diverged"] > 0], looks)
                heading = f"{METRIC_TITLES[metric]} at the transferred cell, {sweep.title}"
                axes.set_title(heading, pad=8 + 13 * rails)
                axes.set_ylabel(METRIC_LABELS[metric])
                _size_axis(axes, sorted(data[sweep.axis].unique()), sweep.axis)
        marks.below(figure, _handles(moved, looks, chance, starred), 2.6)
    return figure


def _placed(data: pd.DataFrame, sweep: Sweep, looks: dict[str, style.LineLook]) -> pd.DataFrame:
    """Return the points of one sweep with a coordinate `x` that sets variants side by side."""
    import numpy as np

    fixed = "width" if sweep.axis == "depth" else "depth"
    mine = data[data[fixed].eq(sweep.at)].sort_values(sweep.axis).reset_index(drop=True)
    octaves = np.log2(mine[sweep.axis].max() / mine[sweep.axis].min()) + 1
    order = mine["variant"].map({name: i for i, name in enumerate(looks)})
    aside = 0.025 * octaves * (order - (len(looks) - 1) / 2)
    return mine.assign(x=mine[sweep.axis] * 2**aside)


def _lines(axes: Axes, data: pd.DataFrame, looks: dict[str, style.LineLook]) -> None:
    for name, look in looks.items():
        mine = data[data["variant"].eq(name)]
        trained, chance = mine[mine["kind"].eq("trained")], mine[mine["kind"].eq("at_chance")]
        axes.errorbar(
            trained["x"], trained["mean"], yerr=trained["std"].fillna(0.0), capsize=3, lw=1.8, ms=7,
            color=look.color, marker=look.marker, ls=look.linestyle,
        )  # fmt: skip
        axes.errorbar(
            chance["x"], chance["mean"], yerr=chance["std"].fillna(0.0), capsize=3, lw=1.2, ms=8,
            color=look.color, marker=look.marker, mfc="white", mew=1.6, ls="none",
        )  # fmt: skip


def _loss_panel(
    axes: Axes, data: pd.DataFrame, best: pd.DataFrame, looks: dict[str, style.LineLook]
) -> bool:
    """Set a log axis and draw stars where another cell has a lower loss; return whether any."""
    both = data.merge(best, on=["variant", "width", "depth"], how="left")
    better = both[~(both["loss"] >= both["mean"] * (1 - 1e-6)) & both["loss"].notna()]
    for star in records(better):
        color = looks[star["variant"]].color
        axes.plot(star["x"], star["loss"], "*", ms=12, mfc="white", mec=color, mew=1.3, zorder=4)
    spread = data["std"].fillna(0.0)
    values = [*(data["mean"] + spread), *data["mean"], *(data["mean"] - spread), *better["loss"]]
    style.loss_axis(axes, *style.loss_range(values), margin=1.25)
    return not better.empty


def _rails(axes: Axes, gone: pd.DataFrame, looks: dict[str, style.LineLook]) -> int:
    """Draw crosses above the panel where seeds diverged; return the number of rows they take."""
    across = axes.get_xaxis_transform()
    names = [name for name in looks if name in set(gone["variant"])]
    for point in records(gone):
        color = looks[point["variant"]].color
        height = 1.035 + 0.058 * (len(names) - 1 - names.index(point["variant"]))
        axes.plot(point["x"], height, "x", ms=7, mew=2, c=color, transform=across, clip_on=False)
        axes.annotate(
            f"{point['diverged']}/{point['seeds']}", (point["x"], height), xycoords=across,
            fontsize=8.5, color=color, va="center", xytext=(6, 0), textcoords="offset points",
        )  # fmt: skip
    return len(names)


def _size_axis(axes: Axes, sizes: list[int], axis: Axis) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(sizes[0] / 2**0.5, sizes[-1] * 2**0.5)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel(AXIS_LABELS[axis])


def _handles(
    moved: pd.DataFrame, looks: dict[str, style.LineLook], chance: float | None, starred: bool
) -> Sequence[Artist]:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=k.color, marker=k.marker, ls=k.linestyle, ms=7, label=style.label(n))
        for n, k in looks.items()
    ]
    grey: marks.Look = {"color": style.FAINT, "ls": "none"}
    if starred:
        handles.append(
            Line2D([], [], marker="*", mfc="white", ms=12, label="a better cell", **grey)
        )
    seen = set(moved["outcome"])
    if "at_chance" in seen:
        handles.append(Line2D([], [], marker="o", mfc="white", ms=8, label="at chance", **grey))
    if "diverged" in seen:
        handles.append(Line2D([], [], marker="x", mew=2, label="seeds diverged", **grey))
    if chance is not None and moved["test_accuracy"].notna().any():
        text = f"chance level ({100 * chance:.3g} %)"
        handles.append(Line2D([], [], **CHANCE_LINE, label=text))
    return handles
