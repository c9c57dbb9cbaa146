"""Cost of 10,000 pending runs to the driver: everything in a sweep except training.

    python benchmarks/driver.py [--runs 10000]

A grid of 10,000 cells with one seed each is suggested, dispatched, recorded in a ledger on disk,
reported to Optuna and judged by `transfer.run`, as in `mupc run`. Only the pool is simulated: it
returns made-up losses at once, 100 lanes per group. Columns: milliseconds of wall-clock and of
processor time per run, from start to verdict, also for a second start that finds every run in the
ledger, and the growth of the process' peak memory.
"""

import argparse
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

import pccore
import results
import transfer
from measure import parser
from report import Report
from transfer.engine.pool import Group, GroupResult, Worker

LANES = 100


class InstantPool:
    """A pool that returns each group at once, with losses quadratic in log eta and log beta."""

    slots = 2

    def __init__(self) -> None:
        self._groups: list[Group] = []

    def lanes(self, config: pccore.TrainingConfig) -> int:
        return LANES

    def submit(self, group: Group) -> None:
        self._groups.append(group)

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        groups, self._groups = self._groups, []
        now, worker = datetime.now(UTC), Worker("cpu", "here", 1)
        return [
            GroupResult(group, tuple(map(_outcome, group.lanes)), 1.0, now, worker)
            for group in groups
        ]

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...


def _outcome(lane: pccore.Lane) -> pccore.Outcome:
    beta = lane.activity_lr or 1.0
    loss = 0.1 + np.log10(lane.weight_lr / 0.03) ** 2 + np.log10(beta / 3) ** 2
    curve = pccore.Curve(
        np.arange(1, 4) * 100,
        np.full(3, loss, np.float32),
        np.full(3, loss, np.float32),
        np.full(3, 0.5, np.float32),
    )
    return pccore.Outcome(
        pccore.Status.TRAINED,
        final_train_loss=float(loss),
        min_train_loss=float(loss),
        test_loss=float(loss),
        test_accuracy=0.5,
        steps=300,
        curve=curve,
    )


def main() -> None:
    options = parse()
    side = round(options.runs**0.5)
    spec: dict[str, Any] = {
        "name": "many",
        "dataset": "digits",
        "variants": ["mupc"],
        "training": {"steps": 300, "eval_every": 100},
        "tune": {
            "width": 64,
            "depth": 8,
            "weight_lr": np.geomspace(1e-4, 1, side).tolist(),
            "activity_lr": np.geomspace(1e-2, 1e3, side).tolist(),
            "seeds": 1,
        },
        "transfer": {"depths": [16]},
    }
    report = Report(
        "The driver, with many runs pending",
        ["start", "runs", "wall ms a run", "processor ms a run", "MB more"],
    )
    with tempfile.TemporaryDirectory() as folder:
        for start in ("first", "second"):
            pccore.data.load("digits")
            memory, wall, processor = peak(), time.perf_counter(), time.process_time()
            ledger = results.open(Path(folder) / "runs", create=True)
            transfer.run(transfer.Experiment.from_dict(spec), ledger, InstantPool())
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            runs = side * side
            cells = [f"{1e3 * seconds / runs:.3f}" for seconds in (wall, processor)]
            report.rows.append([start, f"{runs}", *cells, f"{peak() - memory:.0f}"])
            report.ratios[f"{start}: runs a ms"] = runs / (1e3 * processor)
    report.publish(options)


def peak() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--runs", type=int, default=10_000, help="pending (default 10000)")
    return found.parse_args()


if __name__ == "__main__":
    main()
