"""Synthetic ledgers of any size, written in bounded memory: 40,000 runs per experiment.

An experiment has 2 variants, 10 shapes, 40 cells and 50 seeds, in an order in which every file
holds all shapes, the worst case for a filter by shape. Every fiftieth run belongs to a second
experiment too.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import results
from results import Ledger
from results.schema.tables import TABLES
from results.storage.choosing import in_order
from results.storage.files import encode
from results.storage.proof import ids

VARIANTS, WIDTHS, DEPTHS = ("mupc", "sp"), (64, 128), (8, 16, 32, 64, 128)
ETAS, BETAS = np.geomspace(0.001, 0.5, 8), np.geomspace(0.1, 100, 5)
SEEDS, LANES = 50, 10
PER_EXPERIMENT = len(ETAS) * len(BETAS) * len(VARIANTS) * len(WIDTHS) * len(DEPTHS) * SEEDS
SHARED = 50  # one run in 50 belongs to a second experiment too
START = datetime(2026, 1, 2, tzinfo=UTC)
DIGEST = "c0ffee" * 10 + "abcd"  # of the data set

# All that is the same in every run.
FIXED: dict[str, Any] = {
    "dataset": "mnist",
    "activation": "relu",
    "batch_size": 64,
    "residual": True,
    "output": "mse",
    "rule": "pc",
    "inference": "gradient_descent",
    "optimiser": "adam",
    "optimiser_options": '{"b1": 0.9, "b2": 0.999, "eps": 1e-08}',
    "steps": 400,
    "eval_every": 20,
    "dataset_digest": DIGEST,
    "conventions": 1,
    "device": "cpu",
    "lanes": LANES,
    "mupc_version": "0.1.0",
    "jax_version": "0.10.2",
}


def build(folder: Path, runs: int, points: int, merged: int, small: int) -> None:
    """Write a ledger.

    Args:
        folder: where there is none yet.
        runs: how many there are.
        points: of the curve of each.
        merged: files as a compaction leaves them.
        small: further files of one group each.
    """
    ledger = results.open(folder, create=True)
    draw = np.random.default_rng(0)
    compacted = runs - small * LANES
    bounds = np.linspace(0, compacted, merged + 1).astype(int).tolist() if merged else [0]
    for first, last in pairwise([*bounds, *range(compacted + LANES, runs + 1, LANES)]):
        rows = run_table(draw, np.arange(first, last))
        publish(ledger, "curves", curve_table(draw, rows, points))
        publish(ledger, "runs", pa.concat_tables([rows, copies(rows)]))


def run_ids(numbers: Iterable[int]) -> list[str]:
    """Return the ids of runs by number."""
    every = np.fromiter(numbers, int)
    found: list[str] = ids(table_of("runs", len(every), **settings_of(every))).to_pylist()
    return found


def places(numbers: np.ndarray) -> list[np.ndarray]:
    """Return the place of runs in every dimension; the cell varies fastest, the experiment last."""
    rest, at = numbers, []
    for choices in (len(BETAS), len(ETAS), len(VARIANTS), len(WIDTHS), len(DEPTHS), SEEDS):
        at.append(rest % choices)
        rest = rest // choices
    return [*at, rest]


def settings_of(numbers: np.ndarray) -> dict[str, Any]:
    """Return the settings of runs by number, and all else that is the same in every run."""
    beta, eta, variant, width, depth, seed, experiment = places(numbers)
    return {
        **FIXED,
        "variant": np.array(VARIANTS)[variant],
        "parameterisation": np.array(VARIANTS)[variant],
        "width": np.array(WIDTHS)[width],
        "depth": np.array(DEPTHS)[depth],
        "inference_steps": np.array(DEPTHS)[depth],
        "weight_lr": ETAS[eta],
        "activity_lr": BETAS[beta],
        "seed": seed + SEEDS * experiment,
    }


def run_table(draw: np.random.Generator, numbers: np.ndarray) -> pa.Table:
    """Return runs by number."""
    settings = settings_of(numbers)
    beta, eta, depth = settings["activity_lr"], settings["weight_lr"], settings["depth"]
    loss = 0.3 + 0.05 * np.log(eta / 0.05) ** 2 + 0.01 * np.log(beta) ** 2
    loss += 0.01 * draw.standard_normal(len(numbers))
    diverged = eta * beta > 20
    groups = numbers // LANES
    return table_of(
        "runs",
        len(numbers),
        **settings,
        run_id=run_ids(numbers),
        experiment=[f"experiment-{number:02}" for number in places(numbers)[-1]],
        phase=np.where(depth == DEPTHS[0], "tune", "transfer"),
        outcome=np.where(diverged, "diverged", "trained"),
        final_train_loss=pa.array(loss, mask=diverged),
        min_train_loss=pa.array(0.6 * loss, mask=diverged),
        test_accuracy=pa.array(1 - 0.2 * loss, mask=diverged),
        test_loss=pa.array(1.1 * loss, mask=diverged),
        seconds=draw.uniform(1, 9, len(numbers)),
        steps_done=np.where(diverged, 37, 400),
        diverged_step=pa.array(np.full(len(numbers), 37), mask=~diverged),
        host=[f"node-{number % 8}" for number in groups],
        pid=4_000 + groups % 8,
        started=[START + timedelta(seconds=int(number)) for number in groups],
        group=[f"{int(number) * 0xD1B54A32D192ED03 % 2**64:016x}" for number in groups],
    )


def curve_table(draw: np.random.Generator, runs: pa.Table, points: int) -> pa.Table:
    """Return a curve of `points` points for each run."""
    count = runs.num_rows * points
    each = np.repeat(np.arange(runs.num_rows), points)
    step = np.tile(20 * np.arange(1, points + 1), runs.num_rows)
    loss = 0.3 + 1 / step + 0.01 * draw.standard_normal(count)
    return table_of(
        "curves",
        count,
        run_id=runs["run_id"].take(each),
        step=step,
        train_loss=loss,
        test_loss=loss + 0.01 * draw.standard_normal(count),
        test_accuracy=draw.integers(8_000, 9_900, count) / 10_000,
        group=runs["group"].take(each),
    )


def copies(runs: pa.Table) -> pa.Table:
    """Return some of the runs as rows of a second experiment."""
    some = runs.take(np.arange(0, runs.num_rows, SHARED))
    place = some.schema.get_field_index("experiment")
    names = pa.array([f"{name}-again" for name in some["experiment"].to_pylist()])
    return some.set_column(place, some.schema.field(place), names)


def table_of(name: str, count: int, **columns: Any) -> pa.Table:
    """Return a table of the ledger from columns or constants; columns not given are null."""

    def column(field: pa.Field) -> pa.Array | pa.ChunkedArray:
        values = columns.get(field.name)
        if values is None or isinstance(values, str | int):
            return pa.repeat(pa.scalar(values, field.type), count)
        return values if isinstance(values, pa.ChunkedArray) else pa.array(values, field.type)

    schema = TABLES[name].schema
    return pa.Table.from_arrays([column(field) for field in schema], schema=schema)


def publish(ledger: Ledger, name: str, rows: pa.Table) -> None:
    """Write rows as `Ledger.append` and `compact` do, without Python rows."""
    file, data = encode(TABLES[name], in_order(TABLES[name], rows))
    ledger._folder.publish(file.path, data)
