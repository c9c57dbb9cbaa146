"""Verdicts as rows of the `verdicts` table, fitted laws as rows of `measurements`."""

import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import pandas as pd

from pccore import CONVENTIONS
from results.landscape import NOT_RUN, Landscape
from results.rates import rates_in, with_rates
from results.shapes import Shape
from results.vocabulary import (
    NO_ACTIVATION,
    RATES,
    SIZES,
    ZERO_SHOT,
    OutcomeLabel,
    flags,
    rate_name,
)
from transfer.engine.any_plan import AnyPlan, Arm, NamedFunction
from transfer.engine.costs import Costs
from transfer.engine.extension import Extended
from transfer.engine.run_rows import Row
from transfer.engine.target_runs import TargetRuns
from transfer.judge.estimate import Estimate
from transfer.judge.law import Fitted, Law, RulePredictions
from transfer.judge.verdict import Verdict

TABLE_COLUMNS = (
    ("loss", 3, "loss"),
    ("accuracy", 3, "accuracy"),
    ("regret", 2, "regret"),
)
"""Columns of the `verdicts` table, significant digits and headings, for a table to print, after
those of the rates."""
MAYBE_ABSENT = ("accuracy", "layers_learned")
RATE_DIGITS = 4


def verdict_row(
    plan: AnyPlan,
    arm: Arm,
    there: TargetRuns,
    rule: RulePredictions,
    verdict: Verdict,
    target: Landscape,
    run_ids: Sequence[str],
) -> Row:
    """Return the row of `arm` at a target by one rule.

    An infinite bound, of an open side, is null, like one that does not exist.

    Args:
        plan: the plan of the experiment.
        arm: the arm.
        there: the runs at the target, and which were added.
        rule: the predictions of the rule.
        verdict: the verdict.
        target: their landscape, of all rules.
        run_ids: of one run at every shape of the experiment.
    """
    tune, shape = plan.experiment.tune, there.shape
    of_rates = _of_rates(arm, shape, rule, verdict)
    return {
        "experiment": plan.experiment.name,
        "variant": arm.variant.name,
        "dataset": plan.dataset(arm),
        "activation": arm.activation,
        "tune_width": tune.width,
        "tune_depth": tune.depth,
        "width": shape.width,
        "depth": shape.depth,
        **of_rates,
        "loss": verdict.loss,
        "accuracy": verdict.accuracy,
        "accuracy_std": verdict.accuracy_std,
        "best_loss": verdict.best_loss,
        **_estimate("regret", verdict.regret),
        "held_probability": verdict.probability,
        **_estimate("regret_achievable", verdict.achievable),
        "min_train_loss": verdict.minimum,
        "seeds": there.seeds[verdict.cell] if verdict.cell else plan.first_seeds,
        **_added(plan, there),
        "seeds_needed": verdict.seeds_needed,
        "tune_accuracy": verdict.tuned_accuracy,
        "collapsed": verdict.collapsed,
        "cells": int((target.statuses != NOT_RUN).any(axis=1).sum()),
        **{
            f"runs_{outcome}": target.count(outcome)
            for outcome in OutcomeLabel
            if outcome is not OutcomeLabel.PRUNED  # no run at a target is
        },
        "layers": verdict.layers,
        "layers_learned": verdict.layers_learned,
        "shallow": verdict.shallow,
        "verdict": str(verdict.label),
        "reason": verdict.reason,
        "spec": json.dumps(_determining(plan.experiment.recorded()), sort_keys=True),
        "rule": rule.rule,
        "run_ids": json.dumps(run_ids),
    }


def _added(plan: AnyPlan, there: TargetRuns) -> Row:
    """Return how many runs were added at a target, and to which cells, and why."""
    if not plan.adds_seeds:
        return {"seeds_added": None, "added": None}
    added = [
        {"rates": dict(cell), "seeds": count, "why": str(why)}
        for (cell, why), count in there.added.items()
    ]
    return {"seeds_added": sum(there.added.values()), "added": json.dumps(added)}


def further_columns(
    plan: AnyPlan, searched: Mapping[Shape, Extended], took: Costs | None, left_out: int
) -> Row:
    """Return what all rules share: the work, the extension, and what the budget left out."""
    added = [
        {"width": shape.width, "depth": shape.depth, "rate": rate, "values": values}
        for shape, found in searched.items()
        for rate, values in found.added.items()
    ]
    return {
        "operations": took.operations if took else None,
        "operations_direct": took.direct if took else None,
        "runs_left_out": left_out if plan.experiment.budget else None,
        "values_added": json.dumps(added) if plan.experiment.tune.extend else None,
    }


def _determining(spec: Mapping[str, object]) -> dict[str, object]:
    """Return the keys of a spec on which results depend: not `keep` and `budget`."""
    return {key: value for key, value in spec.items() if key not in ("keep", "budget")}


def _of_rates(
    arm: Arm, shape: Shape, rule: RulePredictions, verdict: Verdict
) -> dict[str, float | None] | dict[str, str]:
    """Return the columns about rates; those of a training function are in one, as JSON."""
    if isinstance(arm.variant, NamedFunction):
        columns = _columns(list(arm.space.searched), shape, rule, verdict)
        return {"rates": json.dumps(columns)}
    return _columns(RATES, shape, rule, verdict)


def _columns(
    names: Sequence[str], shape: Shape, rule: RulePredictions, verdict: Verdict
) -> dict[str, float | None]:
    """Return the transferred rates and the best ones, their drift, and the law's exponents."""
    rates = rule.predicted[shape].rates if shape in rule.predicted else {}
    exponents = rule.law.exponents if rule.law else {}
    drift, optimum = verdict.drift or {}, verdict.optimum or {}
    found: dict[str, float | None] = {}
    for rate in names:
        found |= _estimate(rate, rates.get(rate))
        found[rate] = verdict.cell.get(rate) if verdict.cell else None  # rounded, as it ran
        found[f"best_{rate}"] = verdict.best.get(rate) if verdict.best else None
        found |= _estimate(f"drift_{rate}", drift.get(rate))
        found |= _estimate(f"optimum_{rate}", optimum.get(rate))
        found |= _estimate(f"tune_optimum_{rate}", (verdict.tuned_optimum or {}).get(rate))
        for size in SIZES:
            power = exponents.get(rate, {}).get(size)
            found |= _estimate(f"{rate}_{size}_exponent", power)
    return found


def law_rows(plan: AnyPlan, arm: Arm, law: Law | None) -> list[Row]:
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
            "dataset": plan.dataset(arm),
            "activation": arm.activation,
            "width": shape.width,
            "depth": shape.depth,
            "batch_size": plan.batch_size,
            "conventions": CONVENTIONS,
            "value": value,
            "source": "transfer.judge.law, fitted to the runs of the search",
            "mupc_version": version("mupc"),
        }
        for shape, quantity, estimate in found
        for name, value in _estimate(quantity, estimate).items()
        if value is not None
    ]


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
        arm = " ".join(str(row[n]) for n in ("variant", "activation") if row[n] != NO_ACTIVATION)
        target = f"{arm}, width {row['width']}, depth {row['depth']}"
        label = ", ".join((str(row["verdict"]), *flags(row)))
        lines.append(f"{target}{rule}: {label}: {row['reason']}")
    lines += [f"{arm}: {runs} runs skipped as unstable" for arm, runs in skipped.items()]
    return "\n".join(lines)


def verdict_table(rows: Sequence[Mapping[str, object]], *, reason: bool) -> pd.DataFrame:
    """Return verdicts in a few columns: rates, loss, accuracy, regret, how many layers learned.

    Args:
        rows: rows of the `verdicts` table.
        reason: whether to add the reasons.
    """
    names = [name for name in ("activation", "rule") if len({row[name] for row in rows}) > 1]
    rows = [with_rates(row) for row in rows]
    columns = [(rate, RATE_DIGITS, rate_name(rate)) for rate in rates_in(rows)]
    # Training functions may return no accuracy, and have no layers that mupc could compare.
    absent = {name for name in MAYBE_ABSENT if all(row[name] is None for row in rows)}
    columns += [each for each in TABLE_COLUMNS if each[0] not in absent]
    return pd.DataFrame(
        {
            "variant": row["variant"],
            **{name: row[name] for name in names},
            "N x H": f"{row['width']} x {row['depth']}",
            **{label: _rounded(row.get(name), digits) for name, digits, label in columns},
            **({} if "layers_learned" in absent else {"learned": _share(row)}),
            "verdict": ", ".join((str(row["verdict"]), *flags(row))),
            **({"reason": row["reason"]} if reason else {}),
        }
        for row in rows
    )


def _rounded(value: object, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}g}"


def _share(row: Mapping[str, object]) -> str:
    count = row["layers_learned"]
    return "-" if count is None else f"{count}/{row['layers']}"
