"""Learning-rate transfer: the spec, the search, the rerun at the target, the verdict.

import jobs, results, transfer

experiment = transfer.load("examples/digits.yaml")
with jobs.LocalPool() as pool:
    result = transfer.run(experiment, results.open("runs", create=True), pool)
print(result.summary)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transfer.driver import TransferResult, run, train
    from transfer.pool import Group, GroupResult, Pool, Worker
    from transfer.problems import SpecError
    from transfer.progress import Progress, Silent
    from transfer.runs import Cell, Run
    from transfer.spec import Experiment, load
    from transfer.variants import VARIANTS
    from transfer.verdict import Word

_HOMES = {
    "VARIANTS": "variants",
    "Cell": "runs",
    "Experiment": "spec",
    "Group": "pool",
    "GroupResult": "pool",
    "Pool": "pool",
    "Progress": "progress",
    "Run": "runs",
    "Silent": "progress",
    "SpecError": "problems",
    "TransferResult": "driver",
    "Word": "verdict",
    "Worker": "pool",
    "load": "spec",
    "run": "driver",
    "train": "driver",
}

__all__ = [
    "VARIANTS",
    "Cell",
    "Experiment",
    "Group",
    "GroupResult",
    "Pool",
    "Progress",
    "Run",
    "Silent",
    "SpecError",
    "TransferResult",
    "Word",
    "Worker",
    "load",
    "run",
    "train",
]


def __getattr__(name: str) -> Any:
    """Names are imported when first used: reading a spec needs neither Optuna nor pandas."""
    if name not in _HOMES:
        raise AttributeError(f"module 'transfer' has no attribute {name!r}")
    return getattr(import_module(f"transfer.{_HOMES[name]}"), name)
