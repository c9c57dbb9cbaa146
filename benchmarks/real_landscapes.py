"""Measured landscapes with many seeds, and worlds drawn from them.

    python benchmarks/real_landscapes.py LEDGER > benchmarks/real_landscapes.json

writes the landscapes of a ledger with at least `FEWEST` seeds. Those in the repository are digits:
muPC and SP, ReLU and tanh, N = 24 to 32, tuned at 3 or 4 layers, targets of 6 to 16, ten seeds
(`docs/verdicts.md` has the spec).
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

import results
from results.landscape import Cell, Landscape, optimum
from results.vocabulary import OutcomeLabel
from transfer.judge.observations import without_seeds
from worlds import SEED_SHIFT

FEWEST = 6
FILE = Path(__file__).with_suffix(".json")
DIGITS = 3


@dataclass(frozen=True)
class Real:
    """The measured landscapes of a tuned shape and a target.

    Attributes:
        name: experiment, variant, activation and target.
        tuned: the runs at the tuned shape.
        target: those at the target, all with the same rates as cells of the tuned shape.
    """

    name: str
    tuned: Landscape
    target: Landscape

    def observe(
        self, seeds: int, draw: np.random.Generator
    ) -> tuple[Landscape, Landscape, Cell] | None:
        """Return runs drawn at both shapes, and the transferred cell; None if it did not run.

        A cell's mean log loss is that of all its seeds. The residuals are drawn from its own, and a
        run fails to train as often as the cell's did.
        """
        tuned = drawn(self.tuned, seeds, draw)
        cell = optimum(tuned)
        if cell is None or cell not in self.target.cells:
            return None
        return tuned, drawn(self.target, seeds, draw), cell

    def regret(self, target: Landscape, cell: Cell) -> float:
        """Return the true regret of a cell against the best cell that ran and trained."""
        means = _means(self.target)
        rivals = target.complete
        rivals[target.place(cell)] = True
        return float(means[target.place(cell)] - np.nanmin(means[rivals]))


def drawn(landscape: Landscape, seeds: int, draw: np.random.Generator) -> Landscape:
    """Return a landscape of new seeds."""
    logs = np.log(landscape.losses)
    means = _means(landscape)
    whole = np.isfinite(logs).all(axis=1)
    residuals = logs - means[:, None]  # cells that did not always train: the seeds' shifts too
    residuals[whole] = without_seeds(logs[whole])[1]
    shifts = draw.normal(0, SEED_SHIFT, seeds)
    losses = np.full((len(logs), seeds), np.nan)
    for place, row in enumerate(residuals):
        own = row[np.isfinite(row)]
        if len(own) > 1:
            noise = np.sqrt(len(own) / (len(own) - 1)) * draw.choice(own, seeds)
            trained = draw.random(seeds) < len(own) / len(row)
            losses[place, trained] = np.exp(means[place] + shifts + noise)[trained]
    return Landscape.of_losses(landscape.cells, losses)


def _means(landscape: Landscape) -> ndarray:
    exists = np.isfinite(landscape.losses)
    logs = np.where(exists, np.log(np.where(exists, landscape.losses, 1.0)), 0.0)
    counts = exists.sum(axis=1)
    return np.divide(logs.sum(axis=1), counts, out=np.full(len(logs), np.nan), where=counts > 1)


def measured() -> Iterator[list[Real]]:
    """Yield the landscapes of the repository."""
    if FILE.exists():
        yield [
            Real(one["name"], _landscape(one["tuned"]), _landscape(one["target"]))
            for one in json.loads(FILE.read_text())
        ]


def of_ledger(path: Path) -> list[Real]:
    """Return the landscapes of a ledger that have verdicts and at least `FEWEST` seeds."""
    ledger = results.open(path)
    verdicts = ledger.verdicts()
    keys = ["experiment", "variant", "activation"]
    found = []
    for _, verdict in verdicts.drop_duplicates([*keys, "width", "depth"]).iterrows():
        runs = ledger.runs(**{key: verdict[key] for key in keys})
        tuned = _of_rows(runs, verdict["tune_width"], verdict["tune_depth"])
        target = _of_rows(runs, verdict["width"], verdict["depth"])
        if min(tuned.seeds, target.seeds) >= FEWEST and optimum(target) is not None:
            arm = " ".join(str(verdict[key]) for key in keys)
            found.append(Real(f"{arm}, {verdict['width']} x {verdict['depth']}", tuned, target))
    return found


def _of_rows(runs: Any, width: float, depth: float) -> Landscape:
    """Return the landscape of rows of `runs` at a shape."""
    here = runs[runs["width"].eq(width) & runs["depth"].eq(depth)].copy()
    here["activity_lr"] = here["activity_lr"].fillna(0.0)
    here["loss"] = here["final_train_loss"].where(here["outcome"].eq(OutcomeLabel.TRAINED))
    table = here.pivot_table(
        index=["weight_lr", "activity_lr"],
        columns="seed",
        values="loss",
        dropna=False,
        aggfunc="first",
    )
    ran = here.set_index(["weight_lr", "activity_lr"]).index.unique()
    table = table.loc[table.index.isin(ran)]
    cells = [Cell(eta, beta or None) for eta, beta in table.index]
    return Landscape.of_losses(cells, table.to_numpy(float))


def _landscape(values: dict[str, Any]) -> Landscape:
    cells = [Cell(*cell) for cell in values["cells"]]
    return Landscape.of_losses(cells, np.array(values["losses"], float))


def _plain(landscape: Landscape) -> dict[str, Any]:
    losses = [
        [float(f"{loss:.{DIGITS}g}") if np.isfinite(loss) else None for loss in row]
        for row in landscape.losses
    ]
    return {"cells": [[c.weight_lr, c.activity_lr] for c in landscape.cells], "losses": losses}


if __name__ == "__main__":
    rows = [
        json.dumps({"name": r.name, "tuned": _plain(r.tuned), "target": _plain(r.target)})
        for r in of_ledger(Path(sys.argv[1]))
    ]
    print("[\n" + ",\n".join(rows) + "\n]")
