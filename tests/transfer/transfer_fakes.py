"""A ledger in memory and a pool that computes losses by formula."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import pandas as pd

import pccore
from pccore import Outcome, Status, TrainingConfig
from results.landscape import Cell
from results.schema.tables import TABLES
from transfer.engine.pool import Group, GroupResult, Worker
from transfer.engine.usage import QUANTITIES

Response = Callable[[TrainingConfig, Cell, int], Outcome | float]
"""The outcome of a config, cell and seed; a number is the final loss of a trained run."""

COLUMNS = list(TABLES["runs"].named)


class Killed(BaseException):
    """Stands for the death of the process."""


class NoCheckpoints:
    """Has no checkpoint of any group."""

    def groups(self) -> list[tuple[str, ...]]:
        return []

    def remove(self, run_ids: tuple[str, ...]) -> None: ...


class NoClaims:
    """The claims of the only driver on a ledger."""

    met = silent = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def take(self, run_ids: Sequence[str]) -> set[str]:
        return set(run_ids)

    def release(self, run_ids: Sequence[str]) -> None: ...


class MemoryLedger:
    """Keeps rows in memory and answers like `results.Ledger`."""

    def __init__(self) -> None:
        self.checkpoints = NoCheckpoints()
        self.appended: list[dict[str, Any]] = []
        self.curves: list[dict[str, Any]] = []
        self.layers: list[dict[str, Any]] = []
        self.verdicts: list[dict[str, Any]] = []
        self.measured: list[dict[str, Any]] = []
        self.usage: list[dict[str, Any]] = []

    def claims(self, about: str) -> NoClaims:
        return NoClaims()

    def remove_unrecorded_weights(self, claims: NoClaims) -> None: ...

    def ensure_writable(self) -> None:
        pass

    def now(self) -> datetime:
        return datetime.now(UTC)

    def append(self, runs: list[dict[str, Any]], curves: Any = (), layers: Any = ()) -> None:
        self.appended += runs
        self.curves += curves
        self.layers += layers

    def append_measurements(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            (self.usage if row["quantity"] in QUANTITIES else self.measured).append(row)

    def measurements(
        self,
        run_id: list[str] | None = None,
        quantity: list[str] | None = None,
        experiment: str = "",
    ) -> pd.DataFrame:
        if quantity is not None:
            newest = {(row["quantity"], row["settings"]): row for row in self.usage}
            found = [row for row in newest.values() if row["quantity"] in quantity]
            return pd.DataFrame(found, columns=None if found else ["quantity", "value"])
        frame = pd.DataFrame(self.measured, columns=None if self.measured else ["run_id"])
        return frame[frame["run_id"].isin(run_id or [])]

    def append_verdicts(self, rows: list[dict[str, Any]]) -> None:
        self.verdicts += rows

    def runs(
        self, columns: Sequence[str] | None = None, *, arrow: bool = False, **filters: Any
    ) -> pd.DataFrame:
        frame = pd.DataFrame(self.appended, columns=None if self.appended else COLUMNS)
        for column, wanted in filters.items():
            values = wanted if isinstance(wanted, list) else [wanted]
            frame = frame[frame[column].isin(values)]
        frame = frame.drop_duplicates("run_id", keep="last")
        return frame if columns is None else frame[list(columns)]


class FormulaPool:
    """Computes outcomes by formula. The newest group ends first, so that results are out of order.

    Attributes:
        trained: run id of every run trained, in order of finishing.
        most_in_flight: the most groups that were ever waiting.
    """

    def __init__(
        self, response: Response, slots: int = 2, lanes: int = 4, results: int | None = None
    ) -> None:
        self.response, self.slots, self._lanes, self._left = response, slots, lanes, results
        self.waiting: list[Group] = []
        self.submitted: list[Group] = []
        self.trained: list[str] = []
        self.most_in_flight = 0

    def lanes(self, config: TrainingConfig) -> int:
        return self._lanes

    def submit(self, group: Group) -> None:
        self.waiting.append(group)
        self.submitted.append(group)
        self.most_in_flight = max(self.most_in_flight, len(self.waiting))

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        if self._left is not None:
            if self._left == 0:
                raise Killed
            self._left -= 1
        group = self.waiting.pop()
        self.trained += group.run_ids
        worker = Worker("cpu", "here", 1)
        return [GroupResult(group, self._outcomes(group), 1.0, datetime.now(UTC), worker)]

    def _outcomes(self, group: Group) -> tuple[Outcome, ...]:
        return tuple(
            outcome(self.response(group.config, Cell(lane.weight_lr, lane.activity_lr), lane.seed))
            for lane in group.lanes
        )

    def close(self) -> None:
        self.waiting = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class TrainingPool(FormulaPool):
    """Trains networks in this process."""

    def __init__(self) -> None:
        super().__init__(lambda *_: 0.0, slots=1, lanes=100)

    def _outcomes(self, group: Group) -> tuple[Outcome, ...]:
        data = group.own or pccore.data.load(group.dataset, group.data_dir)
        return tuple(pccore.fit_many(group.config, data, group.lanes))


def outcome(value: Outcome | float) -> Outcome:
    """Return `value` as an outcome."""
    if isinstance(value, Outcome):
        return value
    return Outcome(
        Status.TRAINED,
        final_train_loss=value,
        min_train_loss=value / 2,
        test_loss=value,
        test_accuracy=1 / (1 + value),
        steps=10,
    )


def spec(**changes: Mapping[str, Any] | Any) -> dict[str, Any]:
    """Return a small valid spec; `tune={...}` changes keys of a section, other values replace."""
    values: dict[str, Any] = {
        "name": "test",
        "dataset": "digits",
        "variants": ["mupc"],
        "training": {"steps": 10},
        "tune": {
            "width": 8,
            "depth": 2,
            "weight_lr": [0.01, 0.1, 1],
            "activity_lr": [0.1, 1, 10, 100],
        },
        "transfer": {"depths": [4, 8]},
    }
    for key, change in changes.items():
        inner = values.get(key)
        merged = (
            {**inner, **change} if isinstance(inner, dict) and isinstance(change, dict) else change
        )
        values[key] = merged
    return values
