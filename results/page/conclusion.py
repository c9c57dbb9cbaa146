"""One sentence that sums up an experiment, and what to do next: from the rows of its verdicts.

The report, the dashboard and the end of `mupc run` say the same words.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import expm1, isclose, isfinite, nan

from results.figures.cells import cell_of
from results.figures.style import label, rank
from results.landscape import Cell
from results.page.wording import listing, number, percent, rates, size
from results.row import Row
from results.shapes import Shape
from results.vocabulary import COLLAPSED, RATES, SHALLOW, ZERO_SHOT, VerdictLabel, rate_symbol

UNJUDGED = "No target has been judged yet."
MOST_REMARKS = 3
"""Variants and rules up to which the sentence says what the other verdicts are."""
COUNTED: dict[str, str] = {
    VerdictLabel.DRIFTED: "drifted",
    VerdictLabel.INCONCLUSIVE: "inconclusive",
    VerdictLabel.UNTRAINED: "untrained",
    VerdictLabel.EDGE: "at the edge of the grid",
}


@dataclass(frozen=True)
class Step:
    """What to do next about a verdict.

    Attributes:
        about: the variant and the targets.
        label: the label of the verdict, or "shallow".
        advice: one sentence.
    """

    about: str
    label: str
    advice: str


def conclusion(verdicts: Sequence[Row]) -> str:
    """Return one sentence: at how many targets the tuned rates held, by variant, and how well."""
    if not verdicts:
        return UNJUDGED
    groups = named_groups(verdicts)
    tuned = {(row["tune_width"], row["tune_depth"]) for row in verdicts}
    where = ""
    if len(tuned) == 1 and all(isfinite(_number(each)) for each in next(iter(tuned))):
        width, depth = next(iter(tuned))
        where = f" tuned at {size(Shape(int(width), int(depth)))}"
    clauses = [
        f"{_held(rows, first=place == 0)} for {name}"
        f"{_remark(rows, first=place == 0) if len(groups) <= MOST_REMARKS else ''}"
        for place, (name, rows) in enumerate(groups)
    ]
    start = f"The learning rates{where}" if where else "The tuned learning rates"
    return f"{start} held {listing(clauses)}."


def next_steps(verdicts: Sequence[Row]) -> list[Step]:
    """Return what to do next: for every target that did not hold, and for the largest that did.

    Targets of a variant with the same advice share a step.
    """
    found = []
    for name, rows in named_groups(verdicts):
        held = [row for row in rows if row["verdict"] == VerdictLabel.HELD]
        largest = max(held, key=lambda row: (row["depth"], row["width"]), default=None)
        alike: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if row["verdict"] != VerdictLabel.HELD or row is largest:
                alike.setdefault((row["verdict"], next_step(row)), []).append(row)
        for (word, advice), some in alike.items():
            found.append(Step(f"{name} at {_shapes(some)}", word, advice))
        if any(row["shallow"] is True for row in rows):
            found.append(Step(name, SHALLOW, SHALLOW_ADVICE))
        if any(row.get(COLLAPSED) is True for row in rows):
            found.append(Step(name, COLLAPSED, COLLAPSED_ADVICE))
    return found


def next_step(verdict: Row) -> str:
    """Return what to do next about one verdict, in a sentence."""
    advice: dict[str, Callable[[Row], str]] = {
        VerdictLabel.HELD: _use,
        VerdictLabel.DRIFTED: _follow,
        VerdictLabel.EDGE: _widen,
        VerdictLabel.INCONCLUSIVE: lambda row: (
            f"Add seeds (now {number(_number(row['seeds']))}), or tolerate a larger excess; the "
            "reason says what is missing."
        ),
        VerdictLabel.UNTRAINED: lambda row: (
            "Search smaller learning rates, train longer, or try a target between this and the "
            "tuned shape."
        ),
    }
    return advice.get(verdict["verdict"], lambda row: "Read the reason.")(verdict)


SHALLOW_ADVICE = (
    "Fewer than half of the layers learned: take an inference that reaches all layers, such as "
    "nesterov, augmented_lagrangian, equilibrium or error_based."
)


COLLAPSED_ADVICE = (
    "The accuracy is far below that of the tuned shape, so that no cell may be worth using: train "
    "longer, or take another inference, parameterisation or target."
)


def named_groups(verdicts: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Return the verdicts by variant, activation and rule, with a name for each group."""
    activations = {row["activation"] for row in verdicts}
    rules = {row["rule"] for row in verdicts}
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in verdicts:
        key = (str(row["variant"]), str(row["activation"]), str(row["rule"]))
        groups.setdefault(key, []).append(row)
    named = []
    for variant, activation, rule in sorted(groups, key=lambda key: rank(key[0])):
        name = label(variant)
        name += f" with {activation}" if len(activations) > 1 else ""
        name += f" by {rule.replace('_', ' ')}" if rules != {ZERO_SHOT} else ""
        named.append((name, groups[variant, activation, rule]))
    return named


def _held(rows: list[Row], *, first: bool) -> str:
    held = sum(row["verdict"] == VerdictLabel.HELD for row in rows)
    if held == len(rows) == 1:
        return f"at {_shape(rows[0])}"
    targets = f" target{'s' if len(rows) > 1 else ''}" if first else ""
    if held == len(rows):
        return f"at all {held}{targets}"
    return f"at {held or 'none'} of {len(rows)}{targets}"


def _remark(rows: list[Row], *, first: bool) -> str:
    """Return what the other verdicts are and how far losses are above the best, in brackets."""
    counts = Counter(row["verdict"] for row in rows)
    parts = [
        text if len(rows) == 1 else f"{counts[word]} {text}"
        for word, text in COUNTED.items()
        if counts[word]
    ]
    regrets = [_number(row["regret"]) for row in rows]
    if all(map(isfinite, regrets)):
        tail = " the best found" if first else ""
        most = "at most " if len(rows) > 1 else ""
        worst = 100 * expm1(max(regrets))
        bare = "no better cell was found" if worst < 0.05 else ""
        parts.append(bare or f"loss {most}{worst:.1f} % above{tail}")
    elif not any(isfinite(_number(row["loss"])) for row in rows):
        parts.append("none trained there" if len(rows) > 1 else "it did not train there")
    return f" ({'; '.join(parts)})" if parts else ""


def _use(verdict: Row) -> str:
    accuracy = _number(verdict["accuracy"])
    reached = f"; it reached {percent(accuracy)} test accuracy" if isfinite(accuracy) else ""
    return f"Train this size at {_cell(verdict)}{reached}."


def _follow(verdict: Row) -> str:
    best = _cell(verdict, "best_")
    there = f" The best cell that ran there is {best}." if best else ""
    if verdict["rule"] == ZERO_SHOT:
        return (
            "Tune nearer to this size, or search several shapes and let a rule (fitted, depth_mup) "
            f"scale the rates.{there}"
        )
    return f"Search more shapes for the rule, or tune nearer to this size.{there}"


def _widen(verdict: Row) -> str:
    """Name the lists of the spec that end at an optimum, and the side."""
    sides = list(dict.fromkeys(side for side in _sides(verdict)))
    if not sides:
        return "Widen the grid beyond the cell that the reason names, and run the spec again."
    return f"Add {listing(sides)}, and run the spec again: finished runs are kept."


def _sides(verdict: Row) -> list[str]:
    try:
        tune = json.loads(verdict["spec"] or "{}")["tune"]
        lists = {**tune.pop("rates", {}), **tune}  # those of training functions are in `rates`
        cells = [_cell_of(verdict, prefix) for prefix in ("", "best_")]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return []
    found = []
    for rate in dict.fromkeys(rate for cell in cells if cell for rate in cell):
        values = lists.get(rate)
        if not isinstance(values, list) or len(values) < 2:
            continue
        if not all(isinstance(value, int | float) for value in values):
            continue
        key = f"tune.{rate}" if rate in RATES else f"tune.rates.{rate}"
        symbol = f" ({rate_symbol(rate)})" if rate in RATES else ""
        for value in (cell[rate] for cell in cells if cell and rate in cell):
            for end, word in ((min(values), "below"), (max(values), "above")):
                if isclose(value, end, rel_tol=1e-9):
                    found.append(f"values {word} {number(end, 4)} to {key}{symbol}")
    return found


def _cell_of(verdict: Row, prefix: str) -> Cell | None:
    ours = {f"{prefix}{rate}": _number(verdict.get(f"{prefix}{rate}")) for rate in RATES}
    return cell_of({**verdict, **ours}, prefix)


def _cell(verdict: Row, prefix: str = "") -> str:
    cell = _cell_of(verdict, prefix)
    return "" if cell is None else rates(cell)


def _shape(verdict: Row) -> str:
    return size(Shape(int(verdict["width"]), int(verdict["depth"])))


def _shapes(verdicts: list[Row]) -> str:
    """Return shapes in a list: "N = 16, H = 8 and 32" if they are of one width."""
    if len(verdicts) == 1 or len({row["width"] for row in verdicts}) > 1:
        return listing([_shape(row) for row in verdicts])
    first, *others = sorted(int(row["depth"]) for row in verdicts)
    start = size(Shape(int(verdicts[0]["width"]), first))
    return listing([start, *map(str, others)])


def _number(value: object) -> float:
    return nan if value is None else float(value)  # type: ignore[arg-type]
