"""Judgements as rows of the `verdicts` table."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from pccore import CONVENTIONS, Status
from results.landscape import Cell, Landscape
from results.shapes import Shape
from results.vocabulary import RATES, SIZES, ZERO_SHOT
from transfer.engine.plan import Arm, Plan
from transfer.judge.bootstrap import Estimate
from transfer.judge.law import Fitted, Law, RulePredictions
from transfer.judge.verdict import Judgement


def verdict_row(
    plan: Plan,
    arm: Arm,
    shape: Shape,
    route: RulePredictions,
    judgement: Judgement,
    target: Landscape,
) -> dict[str, Any]:
    """The row of `arm` at `shape` by one rule.

    A regret without bound is null, like one that does not exist: the reason tells them apart.

    Args:
        target: the runs at the target, by all rules.
    """
    tune = plan.experiment.tune
    drift = judgement.drift or {}
    predicted = route.predicted[shape].rates if shape in route.predicted else {}
    exponents = route.law.exponents if route.law else {}
    return {
        "experiment": plan.experiment.name,
        "variant": arm.variant.name,
        "dataset": plan.experiment.dataset,
        "activation": arm.activation,
        "tune_width": tune.width,
        "tune_depth": tune.depth,
        "width": shape.width,
        "depth": shape.depth,
        **_cell("", judgement.cell),
        "loss": judgement.loss,
        "accuracy": judgement.accuracy,
        "accuracy_std": judgement.accuracy_std,
        **_cell("best_", judgement.best),
        "best_loss": judgement.best_loss,
        **_estimate("regret", judgement.regret),
        **_estimate("drift_weight_lr", drift.get("weight_lr")),
        **_estimate("drift_activity_lr", drift.get("activity_lr")),
        "min_train_loss": judgement.minimum,
        "seeds": len(plan.seeds),
        "cells": len(target.cells),
        **{f"runs_{status}": target.count(status) for status in Status},
        "verdict": str(judgement.label),
        "reason": judgement.reason,
        "created": datetime.now(UTC),
        "spec": json.dumps(plan.experiment.to_dict(), sort_keys=True),
        "rule": route.rule,
        **{
            name: value
            for rate in RATES
            for name, value in _estimate(rate, predicted.get(rate)).items()
            if name != rate  # the rate that ran, which is rounded, is above
        },
        **{
            name: value
            for rate in RATES
            for size in SIZES
            for name, value in _estimate(
                f"{rate}_{size}_exponent", exponents.get(rate, {}).get(size)
            ).items()
        },
    }


def law_rows(plan: Plan, arm: Arm, law: Law | None) -> list[dict[str, Any]]:
    """Rows of `measurements` of a fitted law: the optima it was fitted to, and what it says there
    and at the targets, each with its bounds."""
    if not isinstance(law, Fitted):
        return []
    shapes = dict.fromkeys((*plan.experiment.tuned, *plan.experiment.targets))
    found = [
        (shape, f"optimal_{rate}", best.rate(rate))
        for shape, best in law.optima.items()
        for rate in law.coefficients
    ]
    found += [(s, f"law_{rate}", law.rate(rate, s)) for s in shapes for rate in law.coefficients]
    now = datetime.now(UTC)
    return [
        {
            "quantity": name,
            "experiment": plan.experiment.name,
            "variant": arm.variant.name,
            "dataset": plan.experiment.dataset,
            "activation": arm.activation,
            "width": shape.width,
            "depth": shape.depth,
            "batch_size": plan.experiment.training.batch_size,
            "conventions": CONVENTIONS,
            "value": value,
            "source": "transfer.judge.law, fitted to the runs of the search",
            "mupc_version": version("mupc"),
            "created": now,
        }
        for shape, quantity, estimate in found
        for name, value in _estimate(quantity, estimate).items()
        if value is not None
    ]


def _cell(prefix: str, cell: Cell | None) -> dict[str, float | None]:
    return {
        f"{prefix}weight_lr": cell.weight_lr if cell else None,
        f"{prefix}activity_lr": cell.activity_lr if cell else None,
    }


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


def summary(rows: Sequence[Mapping[str, Any]], skipped: Mapping[str, int]) -> str:
    """Verdicts in plain text, a line each, and one for each arm of which runs were skipped."""
    alone = {row["rule"] for row in rows} <= {ZERO_SHOT}
    lines = [
        f"{row['variant']} {row['activation']}, width {row['width']}, depth {row['depth']}"
        f"{'' if alone else ', ' + row['rule']}: {row['verdict']}: {row['reason']}"
        for row in rows
    ]
    lines += [f"{arm}: {runs} runs skipped as unstable" for arm, runs in skipped.items()]
    return "\n".join(lines)
