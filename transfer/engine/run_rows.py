"""Finished runs as rows of the ledger's tables."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from importlib.metadata import version

import jax
import numpy as np

from pccore import Outcome
from results.landscape import mean
from transfer.engine.pool import GroupResult
from transfer.engine.runs import AnyRun

Row = dict[str, object]

MEASURED_SETTINGS = (
    *("dataset", "activation", "residual", "parameterisation", "width", "depth", "batch_size"),
    *("weight_lr", "activity_lr", "seed", "conventions"),
)
"""The settings of a run that its measurements repeat."""


def run_row(run: AnyRun, outcome: Outcome, result: GroupResult, experiment: str, phase: str) -> Row:
    """Return the run's row of the `runs` table, once its group is done."""
    return {
        "run_id": run.run_id,
        "experiment": experiment,
        "phase": phase,
        "variant": run.variant,
        **run.determinants,
        "outcome": str(outcome.status),
        "final_train_loss": outcome.final_train_loss,
        "min_train_loss": outcome.min_train_loss,
        "test_accuracy": outcome.test_accuracy,
        "test_loss": outcome.test_loss,
        "steps_done": outcome.steps,
        "diverged_step": outcome.diverged_step,
        "cause": outcome.cause,
        "layers": outcome.layers,
        "layers_learned": outcome.layers_learned,
        **_quarters(outcome.layer_changes),
        "seconds": result.seconds / len(result.group.lanes),
        "lanes": len(result.group.lanes),
        "started": result.started,
        "path": result.path,
        **versions(),
        **{name: value for name, value in asdict(result.worker).items() if value is not None},
    }


def measurement_rows(run: AnyRun, outcome: Outcome, experiment: str) -> list[Row]:
    """Return the rows of the `measurements` table that hold the readings of the run's probes."""
    known = {
        "experiment": experiment,
        "run_id": run.run_id,
        "variant": run.variant,
        **{setting: run.determinants[setting] for setting in MEASURED_SETTINGS},
        **versions(),
    }
    return [
        {**known, **reading._asdict(), "value": _number(reading.value)}
        for reading in outcome.readings
    ]


def curve_rows(run: AnyRun, outcome: Outcome) -> Iterator[Row]:
    """Yield the run's rows of the `curves` table, one per evaluation."""
    curve = outcome.curve
    columns = (curve.step, curve.train_loss, curve.test_loss, curve.test_accuracy)
    for step, train_loss, test_loss, test_accuracy in zip(*columns, strict=True):
        yield {
            "run_id": run.run_id,
            "step": int(step),
            "train_loss": _number(train_loss),
            "test_loss": _number(test_loss),
            "test_accuracy": _number(test_accuracy),
        }


def layer_rows(run: AnyRun, outcome: Outcome) -> Iterator[Row]:
    """Yield the run's rows of the `layers` table, one per weight matrix, unless it diverged."""
    for layer, change in enumerate(outcome.layer_changes, 1):
        if not math.isnan(change):
            yield {"run_id": run.run_id, "layer": layer, "change": float(change)}


def _quarters(changes: np.ndarray) -> dict[str, float | None]:
    """Return the mean change of each quarter of the layers; layer l is in quarter ceil(4 l / L)."""
    layers = len(changes)
    quarters = -(-4 * np.arange(1, layers + 1) // max(1, layers))
    return {
        f"change_quarter_{quarter}": mean(changes[quarters == quarter]) for quarter in range(1, 5)
    }


def _number(value: float) -> float | None:
    """Return a number; None for NaN, which stands for a value that does not exist."""
    return None if math.isnan(value) else float(value)


@cache
def versions() -> dict[str, str]:
    """Return the versions of mupc and JAX, as rows record them."""
    return {"mupc_version": version("mupc"), "jax_version": jax.__version__}
