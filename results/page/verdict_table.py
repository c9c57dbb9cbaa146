"""The report's table of verdicts, as text cells ready for a template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import TYPE_CHECKING

from results.figures.cells import cell_of, records
from results.figures.style import label, rank
from results.landscape import Cell
from results.page.wording import (
    NOTHING,
    excess,
    interval,
    law,
    learned_of,
    loss,
    octaves,
    percent,
    rates,
    size,
    whole,
)
from results.rates import with_rates
from results.row import Row
from results.shapes import Shape
from results.vocabulary import (
    COLLAPSED,
    SHALLOW,
    ZERO_SHOT,
    AddedFor,
    OutcomeLabel,
    VerdictLabel,
    flags,
    rate_symbol,
)

if TYPE_CHECKING:
    from results.page.sections import Section


@dataclass(frozen=True)
class VerdictRow:
    """One verdict.

    Attributes:
        target: the shape.
        label: the verdict label.
        flags: what stands beside the label, such as shallow.
        numbers: in the order of `verdict_columns`, each (value, 95% interval or other remark,
            which may be empty).
        reason: the sentence that the judge gave.
    """

    target: str
    label: str
    flags: list[str]
    numbers: list[tuple[str, str]]
    reason: str


@dataclass(frozen=True)
class VerdictGroup:
    """The verdicts on one variant by one rule, and a title for them."""

    title: str
    rows: list[VerdictRow]


BADGES: dict[str, str] = {
    VerdictLabel.HELD: "✓",
    VerdictLabel.DRIFTED: "⇄",
    VerdictLabel.INCONCLUSIVE: "?",
    VerdictLabel.UNTRAINED: "∅",
    VerdictLabel.EDGE: "⊣",
    SHALLOW: "↥",
    COLLAPSED: "↧",
}


def verdict_columns(rates: Sequence[str]) -> list[str]:
    """Return the columns of the numbers of verdicts about these rates."""
    return [
        "loss at the transferred cell",
        "best loss found",
        "loss above best",
        *(f"drift of {rate_symbol(rate)}, octaves" for rate in rates),
        "test accuracy",
        "layers that learned",
        "min. loss (thesis)",
        "runs",
    ]


def verdict_groups(section: Section) -> list[VerdictGroup]:
    """Return the verdicts by variant, tuned shape and rule; zero-shot ones by transferred cell."""
    import numpy as np

    verdicts = section.verdicts
    fixed = verdicts["rule"].eq(ZERO_SHOT)  # the same cell at all targets
    cell = [
        repr(cell_of(row)) if same else ""
        for row, same in zip(records(verdicts), fixed, strict=True)
    ]
    keys = ["variant", "tune_width", "tune_depth", "rule", np.array(cell, object)]
    groups = [some for _, some in verdicts.groupby(keys, dropna=False, sort=False)]
    groups.sort(key=lambda some: rank(some["variant"].iloc[0]))
    return [_verdict_group(records(some), section.rates) for some in groups]


def _verdict_group(verdicts: list[Row], names: Sequence[str]) -> VerdictGroup:
    v = verdicts[0]
    cell = cell_of(v)
    moved = "no cell to transfer" if cell is None else f"transferred cell {rates(cell)}"
    if v["rule"] != ZERO_SHOT:
        moved = f"by rule {v['rule']}, {law(v)}"
    tuned = ""
    if isfinite(v["tune_width"]) and isfinite(v["tune_depth"]):
        tuned = f", tuned at {size(Shape(int(v['tune_width']), int(v['tune_depth'])))}"
    title = f"{label(v['variant'])}: {moved}{tuned}"
    return VerdictGroup(title, [_verdict_row(row, names) for row in verdicts])


def _verdict_row(v: Row, names: Sequence[str]) -> VerdictRow:
    by_outcome = [
        f"{whole(v[f'runs_{outcome}'])} {outcome.text}"
        for outcome in OutcomeLabel
        if outcome is not OutcomeLabel.PRUNED and v[f"runs_{outcome}"] > 0
    ]
    seeds = f"{whole(v['seeds'])} seeds, {whole(v['cells'])} cells{_added(v)}"
    numbers = [
        (loss(v["loss"]), _predicted(v)),
        (loss(v["best_loss"]), f"at {rates(cell_of(v, 'best_'))}"),
        (excess(v["regret"]), interval(v["regret_low"], v["regret_high"], ratio=True)),
        *(_drift(with_rates(v), rate) for rate in names),
        (percent(v["accuracy"], v["accuracy_std"]), ""),
        (learned_of(v["layers_learned"], v["layers"]), ""),
        (loss(v["min_train_loss"]), ""),
        (", ".join(by_outcome) or NOTHING, seeds),
    ]
    shape = size(Shape(int(v["width"]), int(v["depth"])))
    if numbers[0][0] == NOTHING and numbers[0][1]:  # the cell, where it has no loss
        numbers[0] = (numbers[0][1], "did not train")
    shown = [(value, "" if value == NOTHING else remark) for value, remark in numbers]
    return VerdictRow(shape, str(v["verdict"]), flags(v), shown, str(v["reason"]))


def _added(v: Row) -> str:
    """Return which runs were added at the target, and why; "" if none were."""
    try:
        added = json.loads(v["added"]) if isinstance(v.get("added"), str) else []
        parts = [
            f"{int(each['seeds'])} at {rates(Cell(**each['rates']))} ({AddedFor(each['why']).text})"
            for each in added
        ]
    except (ValueError, TypeError, KeyError):  # the row is not ours
        return ""
    return f"; added: {', '.join(parts)}" if parts else ""


def _predicted(v: Row) -> str:
    """Return the cell that a rule predicts for the target; the title names a zero-shot one."""
    cell = cell_of(v)
    return "" if v["rule"] == ZERO_SHOT or cell is None else f"at {rates(cell)}"


def _drift(v: Row, rate: str) -> tuple[str, str]:
    value, low, high = (_real(v.get(f"drift_{rate}{end}")) for end in ("", "_low", "_high"))
    return octaves(value), interval(low, high)


def _real(value: float | None) -> float:
    return nan if value is None else value
