"""Optimal learning rates against depth and width, with the predictions of each transfer rule.

One panel per variant, one row per learning rate and sweep. Points are optima at tuned shapes; the
band is the fitted law with its interval; lines are prescribed laws. A star is the best cell that
ran at a target, which the rules did not use.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from results.figures import marks, style
from results.figures.cells import (
    at_shape,
    best_cell,
    records,
    shapes,
)
from results.figures.panels import tuned_shape
from results.figures.scaling import AXIS_LABELS, Sweep, sweeps
from results.rates import rates_in, with_rates
from results.row import Row
from results.shapes import Shape
from results.vocabulary import DEPTH_MUP, EXPONENTS, FITTED, ZERO_SHOT, rate_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ["kind", "rule", "rate", "width", "depth", "value", "low", "high"]
BAND = "#0072B2"
POINTS: dict[str, marks.Look] = {
    "optimum": {
        "marker": "o", "ms": 7, "color": style.INK, "ls": "none", "zorder": 4,
    },
    "best": {
        "marker": "*", "ms": 14, "mfc": "white", "mec": "#D55E00", "mew": 1.5, "ls": "none",
        "zorder": 5,
    },
}  # fmt: skip
TEXTS = {"optimum": "optimum where it was tuned", "best": "best cell that ran at the target"}
RULE_LOOKS = {  # colour and dash
    ZERO_SHOT: (style.FAINT, ":"),
    DEPTH_MUP: ("#009E73", "--"),
    EXPONENTS: ("#CC79A7", "-."),
    FITTED: (BAND, "none"),
}
OTHER_RULE = ("#E69F00", "--")


def points(
    runs: pd.DataFrame, verdicts: pd.DataFrame, measured: pd.DataFrame, variant: str
) -> pd.DataFrame:
    """Return all points of the panels of `variant`, in `COLUMNS`; missing bounds are NaN.

    Kinds: "optimum", the optimum of a tuned shape, between cells where a law was fitted, else the
    best cell; "law", the fitted law; "predicted", the rates of a rule at a target; "best", the best
    cell that ran at a target.
    """
    import pandas as pd

    mine = verdicts[verdicts["variant"].eq(variant)]
    tuned = tuned_shape(runs, verdicts, variant)
    rows: list[Row] = []
    for rate in rates_in(records(mine)):
        rows += _fitted_points(measured[measured["variant"].eq(variant)], rate)
        if tuned is not None and not any(
            r["rate"] == rate and r["kind"] == "optimum" for r in rows
        ):
            best = best_cell(at_shape(runs[runs["variant"].eq(variant)], tuned))
            rows += [_point("optimum", "", rate, tuned, best.get(rate))] if best else []
        for row in map(with_rates, records(mine)):
            shape, rule = Shape(int(row["width"]), int(row["depth"])), row["rule"]
            bounds = row[f"{rate}_low"], row[f"{rate}_high"]
            rows.append(_point("predicted", rule, rate, shape, row[rate], *bounds))
            rows.append(_point("best", "", rate, shape, row[f"best_{rate}"]))
            if tuned is not None and rule != FITTED:  # its line starts at the tuned shape
                rows.append(_point("predicted", rule, rate, tuned, _base(row, rate, tuned)))
    numbers = dict.fromkeys(["width", "depth", "value", "low", "high"], "float64")
    found = pd.DataFrame(rows, columns=COLUMNS).astype(numbers)
    return found[found["value"].notna()].drop_duplicates(COLUMNS[:5]).reset_index(drop=True)


def _point(
    kind: str,
    rule: str,
    rate: str,
    shape: Shape,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
) -> Row:
    return dict(
        zip(COLUMNS, (kind, rule, rate, shape.width, shape.depth, value, low, high), strict=True)
    )


def _fitted_points(measured: pd.DataFrame, rate: str) -> list[Row]:
    """Return the optima that a law of one rate was fitted to, and the rates of the law."""
    found = []
    for shape in shapes(measured):
        here = at_shape(measured, shape)
        values = dict(zip(here["quantity"], here["value"], strict=True))
        for kind, rule, name in (("optimum", "", "optimal"), ("law", FITTED, "law")):
            ends = [values.get(f"{name}_{rate}{end}") for end in ("", "_low", "_high")]
            found.append(_point(kind, rule, rate, shape, *ends))
    return [point for point in found if point["value"] is not None]


def _base(verdict: Row, rate: str, tuned: Shape) -> float:
    """Return the tuned rate from which a prescribed law predicted the rate of a verdict."""
    grown = 1.0
    for size, more in (("depth", 1), ("width", 0)):
        exponent = verdict[f"{rate}_{size}_exponent"]
        if exponent is not None and isfinite(exponent):
            grown *= ((verdict[size] + more) / (getattr(tuned, size) + more)) ** exponent
    return float(verdict[rate]) / grown


@dataclass(frozen=True)
class Panel:
    """One variant, rate and sweep, and its rows of `points`."""

    variant: str
    rate: str
    sweep: Sweep
    points: pd.DataFrame


def panels(
    runs: pd.DataFrame, verdicts: pd.DataFrame, measured: pd.DataFrame, tuned: Shape
) -> list[list[Panel]]:
    """Return rows of panels, each row of one rate.

    With several variants, a row is a sweep with a panel per variant; with one, a row has a panel
    per sweep. A sweep has at least two shapes.
    """
    import pandas as pd

    names = sorted(verdicts["variant"].unique(), key=style.rank)
    data = {name: points(runs, verdicts, measured, name) for name in names}
    everything = pd.concat(data.values())
    rows: list[list[Panel]] = []
    for rate in rates_in(records(verdicts)):
        mine = everything[everything["rate"].eq(rate)]
        of_rate = []
        for sweep in sweeps(mine, tuned) if len(shapes(mine)) > 1 else ():
            fixed = "width" if sweep.axis == "depth" else "depth"
            row = []
            for name, some in data.items():
                along = some[some["rate"].eq(rate) & some[fixed].eq(sweep.at)]
                row.append(Panel(name, rate, sweep, along.sort_values(sweep.axis)))
            of_rate.append([panel for panel in row if not panel.points.empty])
        rows += of_rate if len(names) > 1 else [[p for row in of_rate for p in row]]
    return [row for row in rows if row]


def draw(rows: list[list[Panel]]) -> Figure:
    """Return the figure of `rows`, which have at least one panel."""
    columns = max(len(row) for row in rows)
    with style.styled():
        figure = style.new_figure(max(4.1 * columns, 5.6), 3.5 * len(rows) + 0.8)
        for place, row in enumerate(rows):
            first: Axes | None = None
            values = [v for p in row for v in p.points[["value", "low", "high"]].to_numpy().ravel()]
            low, high = style.loss_range(values)
            for column, panel in enumerate(row):
                number = place * columns + column + 1
                axes = figure.add_subplot(len(rows), columns, number, sharey=first)
                _panel(axes, panel)
                axes.set_title(f"{style.label(panel.variant)}, {panel.sweep.title}")
                if first is None:
                    axes.set_ylabel(rate_label(panel.rate))
                    _rates(axes, low / 1.2, high * 1.2)
                else:
                    axes.tick_params(labelleft=False)
                first = first or axes
        shown = [point for row in rows for panel in row for point in records(panel.points)]
        marks.below(figure, _handles({(point["kind"], point["rule"]) for point in shown}), 2.6)
    return figure


def _panel(axes: Axes, panel: Panel) -> None:
    data, axis = panel.points, panel.sweep.axis
    # at L = H + 1, in which a power law is a straight line
    data = data.assign(x=data[axis] + (axis == "depth"))
    law = data[data["kind"].eq("law")]
    axes.fill_between(law["x"], law["low"], law["high"], color=BAND, alpha=0.16, lw=0)
    axes.plot(law["x"], law["value"], color=BAND, lw=1.8)
    predicted = data[data["kind"].eq("predicted")]
    for rule in predicted["rule"].unique():
        mine = predicted[predicted["rule"].eq(rule)]
        axes.plot(mine["x"], mine["value"], **_look(rule))
    for kind, look in POINTS.items():
        some = data[data["kind"].eq(kind)]
        below, above = some["value"] - some["low"], some["high"] - some["value"]
        spread = [below.clip(lower=0).fillna(0), above.clip(lower=0).fillna(0)]
        axes.errorbar(some["x"], some["value"], yerr=spread, capsize=3, **look)
    sizes = sorted(data[axis].unique())
    places = [size + (axis == "depth") for size in sizes]
    axes.set_xscale("log", base=2)
    axes.set_xlim(places[0] / 2**0.4, places[-1] * 2**0.4)
    axes.set_xticks(places, [f"{size:.0f}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel(AXIS_LABELS[axis])


def _rates(axes: Axes, low: float, high: float) -> None:
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = style.log_ticks(low, high)
    axes.set_yticks(ticks, [style.rate_text(tick) for tick in ticks])
    axes.minorticks_off()


def _look(rule: str) -> marks.Look:
    color, dash = RULE_LOOKS.get(rule, OTHER_RULE)
    return {"color": color, "ls": dash, "lw": 1.6, "marker": "D", "ms": 6, "mfc": "white"}


def _handles(seen: set[tuple[str, str]]) -> list[Artist]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    kinds = {kind for kind, _ in seen}
    handles: list[Artist] = [
        Line2D([], [], **look, label=TEXTS[kind]) for kind, look in POINTS.items() if kind in kinds
    ]
    if "law" in kinds:
        handles.append(Patch(color=BAND, alpha=0.3, lw=0, label="fitted law, 95 % interval"))
    rules = {rule for kind, rule in seen if kind == "predicted"}
    order = [rule for rule in RULE_LOOKS if rule in rules]
    order += sorted(rules.difference(order))
    handles += [Line2D([], [], **_look(rule), label=f"by rule {rule}") for rule in order]
    return handles
