"""The weights of trained runs on their way to the ledger."""

import warnings
from typing import TYPE_CHECKING

from pccore import describe
from results.errors import LedgerError
from transfer.engine.pool import GroupResult, TrainedWeights
from transfer.engine.runs import AnyRun, Run

if TYPE_CHECKING:
    from results import Ledger


def keep(ledger: "Ledger", run: AnyRun, result: GroupResult) -> str | None:
    """Write the weights of a run if its worker sent them; return their digest.

    To be called before the run's row is appended: a row never names weights that are not there.
    Where they cannot be written, the result counts all the same, with a warning.
    """
    trained = result.weights.get(run.run_id)
    if trained is None or not isinstance(run, Run):  # a function's networks are the user's
        return None
    try:
        return ledger.weights.save(run.run_id, trained.arrays, description(run, trained))
    except LedgerError as error:
        warnings.warn(f"a network is not kept: {error}", RuntimeWarning, stacklevel=2)
        return None


def description(run: Run, trained: TrainedWeights) -> dict[str, object]:
    """Return what is stored with a run's weights: enough to predict with them in any program."""
    kind = run.determinants.get("network", "stacked")
    features: dict[str, object] = {}
    if trained.feature_mean is not None and trained.feature_std is not None:
        features["feature_mean"] = trained.feature_mean.tolist()
        features["feature_std"] = trained.feature_std.tolist()
    return {
        "variant": run.variant,
        "data": {
            "name": run.dataset,
            "digest": run.digest,
            "task": trained.task,
            "mean": trained.mean,
            "std": trained.std,
            **features,
        },
        "network": {"kind": kind, **describe(run.config.network)},
        "settings": dict(run.determinants),
    }
