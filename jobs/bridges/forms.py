"""The forms in which a ledger is exported."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jobs.bridges.source import Source


class Bridge(Protocol):
    """Writes what a place does not have yet."""

    def update(self, source: Source) -> int:
        """Write what is new; return how many runs."""
        ...


@dataclass(frozen=True)
class Form:
    """A form in which a ledger is exported.

    Attributes:
        place: where, by default.
        opened: what opens it, with PLACE for the place.
        bridge: returns the bridge to a place; None for a form that is written as a whole.
    """

    place: str
    opened: str
    bridge: "Callable[[Path], Bridge] | None" = None


def _optuna(place: Path) -> Bridge:
    from jobs.bridges.optuna_storage import OptunaStorage

    return OptunaStorage(place)


def _mlflow(place: Path) -> Bridge:
    from jobs.bridges.mlflow_store import MlflowStore

    return MlflowStore(place)


def _tensorboard(place: Path) -> Bridge:
    from jobs.bridges.tensorboard_events import TensorboardEvents

    return TensorboardEvents(place)


FORMS = {
    "optuna": Form("optuna.log", "optuna-dashboard PLACE", _optuna),
    "mlflow": Form("mlflow.db", "mlflow ui --backend-store-uri sqlite:///PLACE", _mlflow),
    "tensorboard": Form("tensorboard", "tensorboard --logdir PLACE", _tensorboard),
    "csv": Form("csv", "pandas.read_csv('PLACE/runs.csv')"),
    "huggingface": Form("huggingface", "datasets.load_dataset('PLACE', 'runs')"),
}
