"""Verdicts as rows of the `verdicts` table, fitted laws as rows of `measurements`."""

import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import pandas as pd

from pccore import CONVENTIONS
from results.landscape import Cell, Landscape
from results.shapes import Shape
from results.vocabulary import RATES, SHALLOW, SIZES, ZERO_SHOT, OutcomeLabel
from transfer.engine.plan import Arm, Plan
from transfer.engine.run_rows import Row
from transfer.judge.estimate import Estimate
from transfer.judge.law import Fitted, Law, RulePredictions
from transfer.judge.verdict import Verdict

TABLE_COLUMNS = (
    ("weight_lr", 4, "eta"),
    ("activity_lr", 4, "beta"),
    ("loss", 3, "loss"),
    ("accuracy", 3, "accuracy"),
    ("regret", 2, "regret"),
)
"""Columns of the `verdicts` table, significant digits and headings, for a table to print."""


def verdict_row(
    plan: Plan,
    arm: Arm,
    shape: Shape,
    rule: RulePredictions,
    verdict: Verdict,
    target: Landscape,
    run_ids: Sequence[str],
) -> Row:
    """Return the row of `arm` at `shape` by one rule.

    An infinite bound, of an open side, is null, like one that does not exist.

    Args:
        plan: the plan of the experiment.
        arm: the arm.
        shape: the target.
        rule: the predictions of the rule.
        verdict: the verdict.
        target: the runs at the target, those of all rules.
        run_ids: of one run at every shape of the experiment.
    """
    tune = plan.experiment.tune
    drift, optimum = verdict.drift or {}, verdict.optimum or {}
    return {
        "experiment": plan.experiment.name,
        "variant": arm.variant.name,
        "dataset": plan.data.name,
        "activation": arm.activation,
        "tune_width": tune.width,
        "tune_depth": tune.depth,
        "width": shape.width,
        "depth": shape.depth,
        **_cell("", verdict.cell),
        "loss": verdict.loss,
        "accuracy": verdict.accuracy,
        "accuracy_std": verdict.accuracy_std,
        **_cell("best_", verdict.best),
        "best_loss": verdict.best_loss,
        **_estimate("regret", verdict.regret),
        "held_probability": verdict.probability,
        **_estimate("regret_achievable", verdict.achievable),
        **{
            name: value
            for rate in RATES
            for kind, found in (("drift", drift), ("optimum", optimum))
            for name, value in _estimate(f"{kind}_{rate}", found.get(rate)).items()
        },
        "min_train_loss": verdict.minimum,
        "seeds": len(plan.seeds),
        "cells": len(target.cells),
        **{f"runs_{outcome}": target.count(outcome) for outcome in OutcomeLabel},
        "layers": verdict.layers,
        "layers_learned": verdict.layers_learned,
        "shallow": verdict.shallow,
        "verdict": str(verdict.label),
        "reason": verdict.reason,
        "spec": json.dumps(_determining(plan.experiment.recorded()), sort_keys=True),
        "rule": rule.rule,
        **_prediction(rule, shape),
        "run_ids": json.dumps(run_ids),
    }


def _determining(spec: Mapping[str, object]) -> dict[str, object]:
    """Return the keys of a spec on which results depend; with another `keep` they are the same."""
    return {key: value for key, value in spec.items() if key != "keep"}


def _prediction(rule: RulePredictions, shape: Shape) -> dict[str, float | None]:
    """Return the bounds of the predicted rates, and the exponents of the law with theirs."""
    rates = rule.predicted[shape].rates if shape in rule.predicted else {}
    exponents = rule.law.exponents if rule.law else {}
    found: dict[str, float | None] = {}
    for rate in RATES:
        found |= _estimate(rate, rates.get(rate))
        del found[rate]  # the row has the rounded rate, which ran
        for size in SIZES:
            power = exponents.get(rate, {}).get(size)
            found |= _estimate(f"{rate}_{size}_exponent", power)
    return found


def law_rows(plan: Plan, arm: Arm, law: Law | None) -> list[Row]:
    """Return the rows of `measurements` of a fitted law.

    They are the optima that it was fitted to, and its rates at their shapes and at the targets,
    each with its bounds.
    """
    if not isinstance(law, Fitted):
        return []
    shapes = dict.fromkeys((*plan.experiment.tuned, *plan.experiment.targets))
    found = [
        (shape, f"optimal_{rate}", best.rate(rate))
        for shape, best in law.optima.items()
        for rate in law.coefficients
    ]
    found += [(s, f"law_{rate}", law.rate(rate, s)) for s in shapes for rate in law.coefficients]
    return [
        {
            "quantity": name,
            "experiment": plan.experiment.name,
            "variant": arm.variant.name,
            "dataset": plan.data.name,
            "activation": arm.activation,
            "width": shape.width,
            "depth": shape.depth,
            "batch_size": plan.experiment.training.batch_size,
            "conventions": CONVENTIONS,
            "value": value,
            "source": "transfer.judge.law, fitted to the runs of the search",
            "mupc_version": version("mupc"),
        }
        for shape, quantity, estimate in found
        for name, value in _estimate(quantity, estimate).items()
        if value is not None
    ]


def _cell(prefix: str, cell: Cell | None) -> dict[str, float | None]:
    return {f"{prefix}{rate}": getattr(cell, rate, None) for rate in RATES}


def _estimate(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    values = (
        {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        if estimate
        else dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    )
    return {
        key: value if value is not None and math.isfinite(value) else None
        for key, value in values.items()
    }


def summary(rows: Sequence[Row], skipped: Mapping[str, int]) -> str:
    """Return verdicts in plain text, a line each, and a line for each arm with skipped runs."""
    several_rules = any(row["rule"] != ZERO_SHOT for row in rows)
    lines = []
    for row in rows:
        rule = f", {row['rule']}" if several_rules else ""
        target = f"{row['variant']} {row['activation']}, width {row['width']}, depth {row['depth']}"
        label = f"{row['verdict']}, {SHALLOW}" if row["shallow"] else row["verdict"]
        lines.append(f"{target}{rule}: {label}: {row['reason']}")
    lines += [f"{arm}: {runs} runs skipped as unstable" for arm, runs in skipped.items()]
    return "\n".join(lines)


def verdict_table(rows: Sequence[Row], *, reason: bool) -> pd.DataFrame:
    """Return verdicts in a few columns: rates, loss, accuracy, regret, how many layers learned.

    Args:
        rows: rows of the `verdicts` table.
        reason: whether to add the reasons.
    """
    names = [name for name in ("activation", "rule") if len({row[name] for row in rows}) > 1]
    return pd.DataFrame(
        {
            "variant": row["variant"],
            **{name: row[name] for name in names},
            "N x H": f"{row['width']} x {row['depth']}",
            **{label: _rounded(row[name], digits) for name, digits, label in TABLE_COLUMNS},
            "learned": _share(row),
            "verdict": f"{row['verdict']}, {SHALLOW}" if row["shallow"] else row["verdict"],
            **({"reason": row["reason"]} if reason else {}),
        }
        for row in rows
    )


def _rounded(value: Any, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}g}"


def _share(row: Row) -> str:
    count = row["layers_learned"]
    return "-" if count is None else f"{count}/{row['layers']}"
