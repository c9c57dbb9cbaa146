"""A pruned search and the full grid, both trained: updates, busy time, cells and verdicts.

    python benchmarks/live_search.py [--dataset digits] [--searches 20] [--pruner halving] [--json]

Search k has the seeds 3k, 3k + 1 and 3k + 2, and trains twice, each time in a ledger of its own:
the full grid, and with `tune.prune`. Both then transfer. As good means that the chosen cell's loss,
averaged over the full grids of all searches, is at most 5 % above that of the best cell, or no
worse than the choice of the full grid of the same search.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

import mupc
from results.landscape import Cell
from search_cost import REGRET, SEEDS, as_good, regret

Losses = dict[Cell, list[float]]

SPECS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "digits": ({"steps": 100, "eval_every": 10}, {"width": 32, "depth": 8}, 16),
    "mnist": ({"steps": 300, "eval_every": 30}, {"width": 64, "depth": 8}, 16),
    "quick": ({"steps": 20, "eval_every": 2}, {"width": 4, "depth": 2}, 3),
}
"""By name: training, tuned shape, and the depth of the target. Quick: digits, on 2 x 2 cells."""


def experiment(name: str, search: int, pruner: Any) -> mupc.Experiment:
    """Return the thesis's grid of both rates (C.4) on a data set, with the seeds of a search."""
    training, tune, target = SPECS[name]
    first = SEEDS * search
    space: dict[str, Any] = {
        "weight_lr": [0.5, 0.1, 0.05, 0.01],
        "activity_lr": [1e3, 5e2, 1e2, 50, 10, 5, 1, 0.5, 0.1, 0.05, 0.01],
    }
    if name == "quick":
        space = {"weight_lr": [0.1, 0.01], "activity_lr": [10, 1]}
    return mupc.Experiment.from_dict(
        {
            "name": "search",
            "dataset": "mnist" if name == "mnist" else "digits",
            "network": {"activation": "relu"},
            "training": {"batch_size": 64, **training},
            "tune": {**tune, **space, "seeds": [first + seed for seed in range(SEEDS)]}
            | ({} if pruner is None else {"prune": pruner}),
            "transfer": {"depths": [target]},
            "keep": "none",
        }
    )


@dataclass
class Trained:
    """What a search that trained took and found.

    Attributes:
        cell: the optimum.
        verdicts: the labels at the target.
        updates: weight updates of the search, over all its runs.
        seconds: busy time of the workers, with the runs at the target.
        losses: the final losses of every cell of the search, in the order of seeds.
    """

    cell: Cell | None
    verdicts: tuple[str, ...]
    updates: int
    seconds: float
    losses: Losses


def search(spec: mupc.Experiment, workers: int | None) -> Trained:
    """Tune, transfer and judge in a ledger that is thrown away."""
    with tempfile.TemporaryDirectory() as folder, mupc.LocalPool(workers) as pool:
        ledger = mupc.open_ledger(folder, create=True)
        found = mupc.run(spec, ledger, pool)
        runs, spent = ledger.runs(), ledger.measurements()
    tuned = runs[runs["phase"] == "tune"].sort_values("seed")
    busy = spent.loc[spent["quantity"] == "worker_busy_seconds", "value"]
    (optimum,) = found.optima.values()
    return Trained(
        cell=optimum.cell,
        verdicts=tuple(str(row["verdict"]) for row in found.verdicts),
        updates=int(tuned["steps_done"].sum()),
        seconds=float(busy.sum()),
        losses=losses(tuned),
    )


def losses(tuned: pd.DataFrame) -> Losses:
    """Return the final losses of every cell; infinite where a run has none."""
    found: Losses = {}
    for row in tuned.to_dict("records"):
        cell = Cell(weight_lr=row["weight_lr"], activity_lr=row["activity_lr"])
        loss = row["final_train_loss"]
        found.setdefault(cell, []).append(math.inf if math.isnan(loss) else loss)
    return found


def means(searches: Sequence[Trained]) -> Mapping[Cell, float]:
    """Return the mean loss of every cell over all full grids."""
    pooled: Losses = {}
    for each in searches:
        for cell, values in each.losses.items():
            pooled.setdefault(cell, []).extend(values)
    return {cell: sum(values) / len(values) for cell, values in pooled.items()}


def compare(full: Sequence[Trained], pruned: Sequence[Trained]) -> dict[str, float]:
    """Return what pruned searches took and found beside full grids."""
    truth = means(full)
    chosen = [each.cell for each in full]
    same = [a.verdicts == b.verdicts for a, b in zip(full, pruned, strict=True)]
    within = [regret(cell, truth) <= REGRET for cell in chosen]
    return {
        "cells": len(truth),
        "fewer_updates": sum(f.updates for f in full) / sum(p.updates for p in pruned),
        "less_time": sum(f.seconds for f in full) / sum(p.seconds for p in pruned),
        "full_within": sum(within) / len(within),
        "as_good": as_good([each.cell for each in pruned], chosen, truth),
        "same_verdicts": sum(same) / len(same),
    }


def main() -> None:
    """Train, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=["digits", "mnist"], default="digits")
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--pruner", default="halving", help="a name, or a mapping in JSON")
    parser.add_argument("--workers", type=int, help="groups trained at the same time")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    name = "quick" if chosen.quick else chosen.dataset
    pruner = json.loads(chosen.pruner) if chosen.pruner.startswith("{") else chosen.pruner
    full, pruned = [], []
    for number in range(1 if chosen.quick else chosen.searches):
        full.append(search(experiment(name, number, None), chosen.workers))
        pruned.append(search(experiment(name, number, pruner), chosen.workers))
        if not chosen.json:
            print(number, full[-1].verdicts, pruned[-1].verdicts, flush=True)
    found = compare(full, pruned)
    if chosen.json:
        print(json.dumps(found))
        return
    for quantity, value in found.items():
        print(f"{quantity:14} {value:.3g}")


if __name__ == "__main__":
    main()
