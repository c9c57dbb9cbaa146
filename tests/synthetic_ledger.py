"""Synthetic runs and ledgers: a log-quadratic bowl with regions of divergence and chance."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import exp, log, log2
from typing import Any

import numpy as np
import pandas as pd

from results.identity import run_id
from results.storage.proof import SETTINGS

ETAS = [0.5, 0.1, 0.05, 0.01]
BETAS = [1000, 500, 100, 50, 10, 5, 1, 0.5, 0.1, 0.05, 0.01]
START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@dataclass
class FakeLedger:
    """Frames behind the query methods of a ledger."""

    run_rows: list[dict[str, Any]] = field(default_factory=list)
    curve_rows: list[dict[str, Any]] = field(default_factory=list)
    verdict_rows: list[dict[str, Any]] = field(default_factory=list)
    measured_rows: list[dict[str, Any]] = field(default_factory=list)
    layer_rows: list[dict[str, Any]] = field(default_factory=list)

    def experiments(self) -> list[str]:
        return sorted({row["experiment"] for row in [*self.run_rows, *self.verdict_rows]})

    def runs(self, **filters: Any) -> pd.DataFrame:
        return _filtered(pd.DataFrame(self.run_rows, columns=RUN_COLUMNS), filters)

    def curves(self, **filters: Any) -> pd.DataFrame:
        return _filtered(pd.DataFrame(self.curve_rows, columns=CURVE_COLUMNS), filters)

    def layers(self, **filters: Any) -> pd.DataFrame:
        return _filtered(pd.DataFrame(self.layer_rows, columns=LAYER_COLUMNS), filters)

    def verdicts(self, latest: bool = True, **filters: Any) -> pd.DataFrame:
        return _filtered(pd.DataFrame(self.verdict_rows, columns=VERDICT_COLUMNS), filters)

    def measurements(self, latest: bool = True, **filters: Any) -> pd.DataFrame:
        return _filtered(pd.DataFrame(self.measured_rows, columns=MEASURED_COLUMNS), filters)


def _filtered(frame: pd.DataFrame, filters: dict[str, Any]) -> pd.DataFrame:
    for column, value in filters.items():
        allowed = value if isinstance(value, list) else [value]
        frame = frame[frame[column].isin(allowed)]
    return frame


def run(
    weight_lr: float = 0.1,
    activity_lr: float | None = 0.5,
    loss: float | None = 0.1,
    *,
    outcome: str = "trained",
    seed: int = 0,
    depth: int = 8,
    width: int = 32,
    variant: str = "mupc",
    experiment: str = "digits-relu",
    **others: Any,
) -> dict[str, Any]:
    """Return a row of the runs table."""
    text = json.dumps([experiment, variant, width, depth, weight_lr, activity_lr, seed, others])
    trained = outcome == "trained"
    row: dict[str, Any] = {
        "experiment": experiment,
        "phase": "tune" if depth == 8 and width == 32 else "transfer",
        "variant": variant,
        "dataset": "digits",
        "activation": "relu",
        "width": width,
        "depth": depth,
        "weight_lr": weight_lr,
        "activity_lr": activity_lr,
        "batch_size": 64,
        "seed": seed,
        "outcome": outcome,
        "final_train_loss": loss if outcome == "trained" else None,
        "min_train_loss": None if loss is None else 0.6 * loss,
        "test_accuracy": (1 - 0.9 * loss) if trained and loss else 0.1,
        "seconds": 2.5,
        "test_loss": 1.1 * loss if trained and loss else None,
        "steps_done": 200,
        "diverged_step": 31 if outcome == "diverged" else None,
        "cause": "worker lost: out of memory" if outcome == "failed" else None,
        "residual": True,
        "parameterisation": {"bp": "mupc"}.get(variant, variant),
        "output": "mse",
        "rule": "bp" if variant == "bp" else "pc",
        "inference": None if variant == "bp" else "gradient_descent",
        "inference_steps": None if variant == "bp" else depth,
        "optimiser": "adam",
        "optimiser_options": '{"b1": 0.9, "b2": 0.999, "eps": 1e-08}',
        "steps": 200,
        "eval_every": 20,
        "dataset_digest": hashlib.sha256(experiment.encode()).hexdigest(),
        "conventions": 1,
        "device": "cpu",
        "host": "node-a",
        "pid": 4242,
        "started": START + timedelta(seconds=int(text.encode().hex()[:6], 16) % 900),
        "lanes": 12,
        "mupc_version": "0.1.0",
        "jax_version": "0.10.2",
        "layers": depth + 1,
        "layers_learned": min(depth + 1, 32),
    }
    if outcome in ("diverged", "failed"):
        row["test_accuracy"] = row["layers_learned"] = None
    return {"run_id": id_of(row | others)} | row | others


def id_of(row: dict[str, Any]) -> str:
    """Return the id of a run with the settings in its row."""
    return run_id(
        {
            name: row.get(name)
            for name, column in SETTINGS.items()
            if column.since == 1 or row.get(name) is not None
        }
    )


def verdict(word: str = "held", depth: int = 128, **others: Any) -> dict[str, Any]:
    """Return a row of the verdicts table."""
    row: dict[str, Any] = {
        "experiment": "digits-relu",
        "variant": "mupc",
        "dataset": "digits",
        "activation": "relu",
        "tune_width": 32,
        "tune_depth": 8,
        "width": 32,
        "depth": depth,
        "weight_lr": 0.1,
        "activity_lr": 0.5,
        "loss": 0.11,
        "accuracy": 0.9,
        "accuracy_std": 0.01,
        "best_weight_lr": 0.1,
        "best_activity_lr": 1.0,
        "best_loss": 0.1,
        "regret": log(1.1),
        "regret_low": log(1.05),
        "regret_high": log(1.2),
        "drift_weight_lr": 0.0,
        "drift_weight_lr_low": 0.0,
        "drift_weight_lr_high": 0.0,
        **{
            f"{name}_{rate}{end}": None
            for name in ("optimum", "tune_optimum")
            for rate in ("weight_lr", "activity_lr")
            for end in ("", "_low", "_high")
        },
        "collapsed": None,
        "added": None,
        "drift_activity_lr": 1.0,
        "drift_activity_lr_low": 0.0,
        "drift_activity_lr_high": 1.0,
        "min_train_loss": 0.06,
        "seeds": 3,
        "cells": 9,
        "runs_trained": 24,
        "runs_at_chance": 0,
        "runs_diverged": 3,
        "runs_failed": 0,
        "verdict": word,
        "reason": f"The loss at {depth} layers is 10 % above the best found there.",
        "created": START,
        "spec": "{}",
        "rule": "zero_shot",
        "layers": None,
        "layers_learned": None,
        "shallow": None,
    }
    for rate in ("weight_lr", "activity_lr"):
        for name in (rate, f"{rate}_depth_exponent", f"{rate}_width_exponent"):
            row |= {f"{name}_low": None, f"{name}_high": None}
        row |= {f"{rate}_depth_exponent": 0.0, f"{rate}_width_exponent": 0.0}
    return row | others


RUN_COLUMNS = list(run())
CURVE_COLUMNS = ["run_id", "step", "train_loss", "test_loss", "test_accuracy"]
LAYER_COLUMNS = ["run_id", "layer", "change"]
VERDICT_COLUMNS = list(verdict())
MEASURED_COLUMNS = ["experiment", "quantity", "variant", "dataset", "activation", "width", "depth"]
MEASURED_COLUMNS += ["value"]


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return runs as sections of the report hold them."""
    typed = pd.DataFrame(list(rows), columns=RUN_COLUMNS)
    return typed.astype({"activity_lr": float, "final_train_loss": float, "test_accuracy": float})


def verdicts(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return verdicts as sections of the report hold them."""
    typed = pd.DataFrame(list(rows), columns=VERDICT_COLUMNS)
    words = ["experiment", "variant", "dataset", "activation", "verdict", "reason", "created"]
    words.append("rule")
    return typed.astype({name: float for name in typed if name not in [*words, "spec"]})


def seeds(
    weight_lr: float, activity_lr: float | None, *losses: float | str, **others: Any
) -> list[dict[str, Any]]:
    """Return runs of one cell, one per seed; a string instead of a loss is an outcome."""
    return [
        run(weight_lr, activity_lr, None, outcome=loss, seed=s, **others)
        if isinstance(loss, str)
        else run(weight_lr, activity_lr, loss, seed=s, **others)
        for s, loss in enumerate(losses)
    ]


def at_chance(
    weight_lr: float, activity_lr: float | None, seed: int = 0, **others: Any
) -> dict[str, Any]:
    """Return a run at chance."""
    return run(weight_lr, activity_lr, 0.45, outcome="at_chance", seed=seed, **others)


def curve(row: dict[str, Any], points: int = 10) -> list[dict[str, Any]]:
    """Return a training curve that ends at the final loss of the run, or diverges."""
    final = row["final_train_loss"] or 0.4
    rows = []
    for k in range(1, points + 1):
        loss = final + (0.5 - final) * exp(-5 * k / points)
        accuracy: float | None = 1 - 0.9 * loss if row["outcome"] == "trained" else 0.1
        if row["outcome"] == "diverged" and k > 4:
            break
        if row["outcome"] == "diverged" and k == 4:
            loss, accuracy = 30.0, None
        rows.append(
            {
                "run_id": row["run_id"],
                "step": 20 * k,
                "train_loss": loss,
                "test_loss": 1.1 * loss,
                "test_accuracy": accuracy,
            }
        )
    return rows


def layers(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the changes of a run whose top `layers_learned` layers learned."""
    if row["layers_learned"] is None:
        return []
    idle = row["layers"] - row["layers_learned"]
    return [
        {"run_id": row["run_id"], "layer": layer, "change": 0.0 if layer <= idle else 0.5}
        for layer in range(1, row["layers"] + 1)
    ]


def landscape_run(
    variant: str, width: int, depth: int, eta: float, beta: float | None, seed: int, **others: Any
) -> dict[str, Any]:
    """Return a run on the synthetic landscape, in which the optimum of SP moves with depth."""
    noise = np.random.default_rng([width, depth, seed, int(1e6 * eta), int(1e3 * (beta or 0))])
    moved = log2(depth / 8) if variant == "sp" else 0.15 * log2(depth / 8)
    u = log2(eta / 0.08) + 0.4 * moved
    v = 0.0 if beta is None else log2(beta / 0.7) + 0.8 * moved
    floor = {"mupc": 0.055, "sp": 0.075, "bp": 0.05}[variant] * (1 + 0.12 * log2(depth / 8))
    loss = floor * exp(0.05 * u * u + 0.045 * v * v + 0.05 * noise.standard_normal())
    cliff = u + 0.35 * v + 0.25 * noise.standard_normal()
    common = {"width": width, "depth": depth, "variant": variant, "seed": seed, **others}
    if cliff > 3.4 or v > 7.6:
        return run(eta, beta, None, outcome="diverged", **common)
    if loss > 0.42 or (variant == "sp" and depth >= 64):
        return run(eta, beta, 0.45, outcome="at_chance", **common)
    return run(eta, beta, loss, **common)


def thesis_like(
    experiment: str = "digits-relu", depths: tuple[int, ...] = (16, 32, 64, 128), seeds: int = 3
) -> FakeLedger:
    """Return a ledger of muPC, SP and BP tuned at depth 8 and transferred to `depths`."""
    ledger = FakeLedger()
    for variant in ("mupc", "sp", "bp"):
        _variant(ledger, experiment, variant, depths, seeds)
    return ledger


def _variant(
    ledger: FakeLedger, experiment: str, variant: str, depths: tuple[int, ...], seeds: int
) -> None:
    betas: list[float | None] = [None] if variant == "bp" else list(BETAS)
    etas = [0.1, 0.03, 0.01, 0.003, 0.5] if variant == "bp" else ETAS
    cells = [(eta, beta) for eta in etas for beta in betas]

    def train(depth: int, wanted: list[tuple[float, float | None]]) -> pd.DataFrame:
        rows = [
            landscape_run(variant, 32, depth, eta, beta, seed, experiment=experiment)
            for eta, beta in wanted
            for seed in range(seeds)
        ]
        ledger.run_rows += rows
        return pd.DataFrame(rows, columns=RUN_COLUMNS)

    tuned = train(8, cells)
    best = _best(tuned)
    order_e, order_b = sorted(etas), sorted(b for b in betas if b is not None)
    e = order_e.index(best[0])
    near_e = order_e[max(e - 1, 0) : e + 2]
    near_b: list[float | None] = [None]
    if best[1] is not None:
        b = order_b.index(best[1])
        near_b = [*order_b[max(b - 1, 0) : b + 2]]
    for depth in depths:
        there = train(depth, [(eta, beta) for eta in near_e for beta in near_b])
        ledger.verdict_rows.append(_judged(there, best, experiment, variant, depth))
    for row in ledger.run_rows:
        if row["variant"] == variant and (row["weight_lr"], row["activity_lr"]) == best:
            ledger.curve_rows += curve(row)


def _best(runs: pd.DataFrame) -> tuple[float, float | None]:
    means: dict[tuple[float, float | None], list[float]] = {}
    for row in runs.to_dict("records"):
        beta = row["activity_lr"]
        key = (row["weight_lr"], None if beta is None or beta != beta else beta)
        bad = row["outcome"] != "trained"
        means.setdefault(key, []).append(1e9 if bad else row["final_train_loss"])
    return min(means, key=lambda key: sum(means[key]))


def _judged(
    runs: pd.DataFrame, best: tuple[float, float | None], experiment: str, variant: str, depth: int
) -> dict[str, Any]:
    counts = {
        f"runs_{o}": int((runs["outcome"] == o).sum())
        for o in ("trained", "at_chance", "diverged", "failed")
    }
    common = {"experiment": experiment, "variant": variant, **counts}
    common |= {"weight_lr": best[0], "activity_lr": best[1]}
    if not counts["runs_trained"]:
        nothing = [
            c for c in VERDICT_COLUMNS if c.startswith(("drift", "regret", "best", "accuracy"))
        ]
        empty = dict.fromkeys([*nothing, "loss", "min_train_loss"], None)
        reason = f"No cell trained at N = 32, H = {depth}: all {len(runs)} runs stayed at chance."
        return verdict("inconclusive", depth, reason=reason, **common, **empty)
    there = _best(runs)
    at = runs[(runs["weight_lr"] == best[0])]
    found = runs[(runs["weight_lr"] == there[0])]
    if best[1] is not None:
        at, found = at[at["activity_lr"] == best[1]], found[found["activity_lr"] == there[1]]
    trained = at[at["outcome"] == "trained"]
    loss, lowest = trained["final_train_loss"].mean(), found["final_train_loss"].mean()
    regret = log(loss / lowest) if loss == loss else None
    word = "drifted" if regret is None or regret > log(1.1) else "held"
    drift = 0.0 if best[1] is None else log2(there[1] / best[1])
    return verdict(
        word, depth, loss=loss, best_loss=lowest, regret=regret,
        regret_low=None if regret is None else regret - 0.03,
        regret_high=None if regret is None else regret + 0.04,
        accuracy=trained["test_accuracy"].mean(), accuracy_std=trained["test_accuracy"].std(),
        best_weight_lr=there[0], best_activity_lr=there[1],
        drift_weight_lr=log2(there[0] / best[0]), drift_activity_lr=drift,
        drift_weight_lr_low=-1.0, drift_weight_lr_high=0.0,
        drift_activity_lr_low=drift - 1, drift_activity_lr_high=drift,
        min_train_loss=0.6 * (loss if loss == loss else 0.3),
        reason=f"Loss {loss:.3g} at the transferred cell against {lowest:.3g} at the best one.",
        **common,
    )  # fmt: skip
