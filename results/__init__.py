"""The ledger: Parquet tables of runs, curves, verdicts and measurements, asked through pandas.

    import results

    ledger = results.open("runs/")
    ledger.runs(variant="mupc", depth=128)      # a pandas frame
    results.columns("runs")                     # what its columns mean, with their units

Importing this package loads neither pandas nor pyarrow; using it does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from results.errors import DamagedFileWarning, LedgerError

# Not late like the others: the first import of a submodule binds its name here, and `report` must
# end up as the function. The module loads nothing heavy before it is called.
from results.report import report

if TYPE_CHECKING:
    from results.checkpoints import Checkpoints
    from results.ledger import Ledger, open
    from results.schema import columns

__all__ = [
    "Checkpoints",
    "DamagedFileWarning",
    "Ledger",
    "LedgerError",
    "columns",
    "open",
    "report",
]

_HOMES = {
    "Checkpoints": "results.checkpoints",
    "Ledger": "results.ledger",
    "open": "results.ledger",
    "columns": "results.schema",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
