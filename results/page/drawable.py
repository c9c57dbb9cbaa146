"""What figures and tables can show: rows and numbers beyond it are left out, and counted.

The numbers of a ledger are what a computation returned, or what somebody wrote: an infinite
learning rate has no place on a logarithmic axis, and 1e308 has no exponential.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from results.figures.style import RATE_RANGE

if TYPE_CHECKING:
    import pandas as pd

SIZES = (1.0, 1e9)
COUNTS = (0.0, 1e15)
LOGARITHMS = (-100.0, 100.0)
NUMBERS = (-1e100, 1e100)
SMALLEST = 1e-100
"""The smallest distance from zero of a number other than zero."""

_SIZES = ("width", "depth", "tune_width", "tune_depth")
_COUNTS = (
    "seconds", "steps", "step", "layers", "layer", "seeds", "cells", "runs_", "batch_size",
    "inference_steps", "eval_every", "diverged_step", "lanes", "test_accuracy", "accuracy",
    "change",
)  # fmt: skip
_LOGARITHMS = (
    "regret", "drift_", "weight_lr_depth", "weight_lr_width", "activity_lr_depth",
    "activity_lr_width",
)  # fmt: skip
_RATES = ("weight_lr", "activity_lr", "best_weight_lr", "best_activity_lr", "value")


def drawable(frame: pd.DataFrame, place: tuple[str, ...]) -> tuple[pd.DataFrame, int, int]:
    """Return the rows that can be shown, with a null for each number that cannot.

    Args:
        frame: numbers as float64, NaN where there is none.
        place: columns that say where a row is shown. A row whose number there cannot be shown is
            left out.

    Returns:
        The rows, the number of rows that are left out, and of finite values that are replaced.
        Infinities count as no value except in `place`, and stay among the changes of layers.
    """
    import numpy as np

    kept = np.ones(len(frame), bool)
    replaced = 0
    shown = {}
    for name in frame.columns:
        if frame[name].dtype != "float64":
            continue
        values = frame[name].to_numpy()
        low, high = _bounds(str(name))
        size = np.abs(values)
        beyond = (values < low) | (values > high) | ((size > 0) & (size < SMALLEST))
        if name in place:
            kept &= ~beyond
        else:
            replaced += int((beyond & np.isfinite(values)).sum())
        shown[name] = np.where(beyond, np.inf if name == "change" else np.nan, values)
    return frame.assign(**shown)[kept], int((~kept).sum()), replaced


def _bounds(name: str) -> tuple[float, float]:
    """Return the least and the largest number of a column that can be shown."""
    if (
        name.startswith("rate ")
        or name in _RATES
        or name.removesuffix("_low").removesuffix("_high") in _RATES
    ):
        return RATE_RANGE
    if name in _SIZES:
        return SIZES
    if name.startswith(_LOGARITHMS):
        return LOGARITHMS
    return COUNTS if name.startswith(_COUNTS) else NUMBERS
