"""A recipe's frames of the ledger, the input of claims and figures."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from results import Ledger

CALCULATED = "calculation_seconds"
"""Quantity of the row that marks a recipe's calculation as complete, with its duration."""


@dataclass(frozen=True)
class Evidence:
    """Frames of the ledger for one recipe at one scale; empty where nothing has been run.

    Floats that are null in the ledger are NaN.

    Attributes:
        runs: rows of `runs`.
        curves: rows of `curves` of these runs, with the columns `variant`, `width`, `depth`,
            `activation`, `dataset`, `weight_lr`, `activity_lr` and `seed` of their run.
        measurements: rows of `measurements`, of these runs or calculated.
        verdicts: rows of `verdicts`.
    """

    runs: "pd.DataFrame"
    curves: "pd.DataFrame"
    measurements: "pd.DataFrame"
    verdicts: "pd.DataFrame"

    @property
    def seconds(self) -> float:
        """Return the total duration, summed over workers."""
        calculated = self.measured(CALCULATED)["value"].sum()
        return float(self.runs["seconds"].sum() + calculated)

    def measured(self, quantity: str, **where: object) -> "pd.DataFrame":
        """Return the measurements of one quantity whose columns have the values given.

        Sizes that all of them have are whole numbers: nulls elsewhere in the table made them
        floats, which a text would show as H = 8.0.
        """
        rows = self.measurements[self.measurements["quantity"] == quantity]
        for column, value in where.items():
            rows = rows[rows[column] == value]
        whole = [name for name in SIZES if name in rows and rows[name].notna().all()]
        return rows.astype(dict.fromkeys(whole, "int64"))

    def trained(self, **where: object) -> "pd.DataFrame":
        """Return the runs whose columns have the values given."""
        rows = self.runs
        for column, value in where.items():
            rows = rows[rows[column] == value]
        return rows


SIZES = ("width", "depth")

OF_RUN = [
    *("variant", "width", "depth", "activation", "dataset", "weight_lr", "activity_lr", "seed"),
]


def gather(ledger: "Ledger", experiment: str) -> Evidence:
    """Return what `ledger` has under `experiment` and under names that start with it and "-"."""
    import pandas as pd

    from transfer.engine.usage import QUANTITIES

    names = [
        name
        for name in ledger.experiments()
        if name == experiment or name.startswith(f"{experiment}-")
    ]
    runs = ledger.runs(experiment=names)
    ids = runs["run_id"].to_list()
    curves = ledger.curves(run_id=ids)
    if len(curves):
        curves = curves.merge(runs[["run_id", *OF_RUN]], on="run_id")
    measured = pd.concat(
        [
            ledger.measurements(run_id=ids),
            ledger.measurements(experiment=sorted({experiment, *names}), run_id=None),
        ]
    )
    measured = measured[~measured["quantity"].isin(QUANTITIES)]  # these describe workers
    verdicts = ledger.verdicts(experiment=names)
    frames = (runs, curves, measured, verdicts)
    return Evidence(*(frame.reset_index(drop=True) for frame in frames))
