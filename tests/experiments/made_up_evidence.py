"""Evidence written by hand for judges with a known verdict."""

import pandas as pd

from experiments.evidence import OF_RUN, Evidence

RUN = {
    "dataset": "mnist", "variant": "mupc", "activation": "relu", "width": 64, "depth": 8,
    "weight_lr": 0.1, "activity_lr": 10.0, "seed": 0, "steps": 200, "outcome": "trained",
    "final_train_loss": 0.1, "min_train_loss": 0.05, "test_accuracy": 0.9, "test_loss": 0.1,
    "seconds": 1.0, "batch_size": 64, "inference_steps": 8, "layers": 9, "layers_learned": 9,
}  # fmt: skip
VERDICT = {
    "activation": "relu", "tune_width": 32, "tune_depth": 8, "width": 32, "depth": 16,
    "verdict": "held", "regret": 0.0,
}  # fmt: skip
MEASUREMENT = ("quantity", "value", "width", "depth", "activation")


def seeds(count=3, **values):
    """Return the same run with several seeds."""
    return [{**values, "seed": seed} for seed in range(count)]


def evidence(runs=(), curves=(), verdicts=()):
    """Return frames like those of `gather`; a curve is a run's index and its columns' values."""
    frame = pd.DataFrame([{**RUN, **run} for run in runs], columns=["run_id", *RUN])
    frame["run_id"] = pd.Series([str(place) for place in range(len(frame))], dtype=object)
    points = [pd.DataFrame({"run_id": str(place), **columns}) for place, columns in curves]
    empty = pd.DataFrame(columns=["run_id", "step", "train_loss", "test_loss", "test_accuracy"])
    curve = pd.concat(points or [empty]).merge(frame[["run_id", *OF_RUN]], on="run_id")
    judged = pd.DataFrame([{**VERDICT, **verdict} for verdict in verdicts], columns=list(VERDICT))
    return Evidence(frame, curve, pd.DataFrame(columns=list(MEASUREMENT)), judged)


NOTHING = evidence()
