"""Numerical and theoretical energies at the end of inference in deep linear networks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pccore
from experiments.evidence import Evidence
from experiments.settings import stack

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {"numerical_energy": "numerical", "equilibrated_energy": "theory"}


def plain_linear(dataset: str, width: int, depth: int) -> pccore.NetworkConfig:
    """Return a linear network of the standard parameterisation without skips."""
    return stack(dataset, width, depth, activation="linear", residual=False, parameterisation="sp")


def energies(evidence: Evidence, by: Sequence[str], **where: object) -> "pd.DataFrame":
    """Return a row for each combination of the columns `by`, with both energies.

    Args:
        evidence: what was measured.
        by: columns that identify a row.
        **where: values of further columns.
    """
    import pandas as pd

    numerical, theory = (evidence.measured(quantity, **where) for quantity in COLUMNS)
    both = pd.concat([numerical, theory])
    table = both.pivot_table(index=list(by), columns="quantity", values="value").reset_index()
    return table.rename(columns=COLUMNS)
