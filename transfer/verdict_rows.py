"""Judgements as rows of the `verdicts` table."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pccore import Status
from transfer.landscape import Landscape
from transfer.plan import Arm, Plan
from transfer.runs import Cell
from transfer.spec import Shape
from transfer.verdict import Estimate, Judgement


def verdict_row(
    plan: Plan, arm: Arm, shape: Shape, judgement: Judgement, target: Landscape | None
) -> dict[str, Any]:
    """The row of `arm` at `shape`.

    A regret without bound is null, like one that does not exist: the reason tells them apart.

    Args:
        target: the runs at the target; None if there was no optimum to run there.
    """
    tune = plan.experiment.tune
    drift = judgement.drift or {}
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
        "cells": len(target.cells) if target else 0,
        **{f"runs_{status}": target.count(status) if target else 0 for status in Status},
        "verdict": str(judgement.word),
        "reason": judgement.reason,
        "created": datetime.now(UTC),
        "spec": json.dumps(plan.experiment.to_dict(), sort_keys=True),
    }


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
    lines = [
        f"{row['variant']} {row['activation']}, width {row['width']}, depth {row['depth']}: "
        f"{row['verdict']}: {row['reason']}"
        for row in rows
    ]
    lines += [f"{arm}: {runs} runs skipped as unstable" for arm, runs in skipped.items()]
    return "\n".join(lines)
