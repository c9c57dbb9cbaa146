"""Any rows round trip, and any history of appends agrees with a plain model."""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st
from ledger_rows import curve_rows, later, run_row

import results
from results import Ledger
from results.schema.column import Column
from results.schema.tables import TABLES

Row = dict[str, Any]

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(codec="utf-8"), max_size=8),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(width=64),
    "bool": st.booleans(),
    "timestamp": st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
}


def values(column: Column) -> st.SearchStrategy[Any]:
    """Return a strategy of the values of a column."""
    present = st.sampled_from(column.allowed) if column.allowed else VALUES[column.type]
    return present if column.required else st.none() | present


def settled(row: Row) -> Row:
    """Return the row as it is stored: a run that did not train has no final losses."""
    untrained = row.get("outcome", "trained") != "trained"
    losses = ("final_train_loss", "test_loss") if untrained else ()
    return {name: None if name in losses else value for name, value in row.items()}


def rows(table: str) -> st.SearchStrategy[list[Row]]:
    """Return a strategy of rows with distinct keys."""
    row = st.fixed_dictionaries({c.name: values(c) for c in TABLES[table].columns}).map(settled)
    key = TABLES[table].key
    return st.lists(row, max_size=5, unique_by=lambda row: tuple(repr(row[name]) for name in key))


@contextmanager
def new_ledger() -> Iterator[Ledger]:
    with tempfile.TemporaryDirectory() as place:
        yield results.open(Path(place), create=True)


def files(ledger: Ledger) -> list[Path]:
    """Return the files of the table runs."""
    return list(Path(ledger._folder.root, "runs").glob("*.parquet"))


def comparable(rows: list[Row]) -> list[str]:
    """Return rows with exact values in a fixed order."""
    return sorted(
        repr([(name, _exact(value)) for name, value in sorted(row.items())]) for row in rows
    )


def _exact(value: Any) -> Any:
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, str):
        return str(value)  # of an enumeration, its value
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value.hex()
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def records(frame: pd.DataFrame) -> list[Row]:
    return frame.to_dict("records")


@examples(25)
@given(rows("runs"))
def test_runs_round_trip(given_rows: list[Row]) -> None:
    alone = list({row["run_id"]: row for row in given_rows}.values())
    with new_ledger() as ledger:
        ledger.append(alone)
        assert comparable(records(ledger.runs(arrow=True))) == comparable(alone)
        ledger.compact()
        assert comparable(records(ledger.runs(arrow=True))) == comparable(alone)
        for row in alone:
            [again] = records(
                ledger.runs(arrow=True, run_id=row["run_id"], experiment=row["experiment"])
            )
            assert comparable([again]) == comparable([row])


@examples(30)
@given(rows("curves"))
def test_curves_round_trip(given_rows: list[Row]) -> None:
    with new_ledger() as ledger:
        names = {row["run_id"] for row in given_rows}
        ledger.append([run_row(name) for name in names], given_rows)
        expected = [{k: v for k, v in row.items() if k != "group"} for row in given_rows]
        assert comparable(records(ledger.curves(arrow=True).drop(columns="group"))) == comparable(
            expected
        )


@examples(25)
@given(rows("verdicts"), rows("measurements"))
def test_verdicts_and_measurements_round_trip(verdicts: list[Row], measured: list[Row]) -> None:
    with new_ledger() as ledger:
        ledger.append_verdicts(verdicts)
        ledger.append_measurements(measured)
        ledger.append_measurements(measured)
        for latest in (True, False):
            found = records(ledger.measurements(arrow=True, latest=latest))
            assert comparable(found) == comparable(measured)
            judged = records(ledger.verdicts(arrow=True, latest=latest))
            assert comparable(judged) == comparable(verdicts)


# A small world, in which everything happens several times.
history_row = st.builds(
    lambda experiment, run_id, outcome, seconds, loss: settled(
        run_row(
            run_id,
            experiment=experiment,
            outcome=outcome,
            depth={"a": 8, "b": 8, "c": None}[run_id],
            started=later(seconds),
            final_train_loss=loss,
        )
    ),
    st.sampled_from(["one", "two"]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["trained", "diverged", "failed"]),
    st.integers(0, 5),
    st.sampled_from([None, 0.5, 1.0]),
)

FILTERS: list[Row] = [
    {},
    {"experiment": "one"},
    {"run_id": ["a", "b"]},
    {"depth": 8},
    {"depth": None, "experiment": "two"},
    {"outcome": "failed"},
    {"outcome": ["trained", "diverged"], "depth": 8},
    {"final_train_loss": [0.5, None]},
    {"started": later(2)},
]


def rank(row: Row) -> tuple[Any, ...]:
    """Return a key that is smallest for the row that counts; `loss` breaks ties, nulls last."""
    failed = row["outcome"] == "failed"
    seconds = row["started"].timestamp()
    loss = math.inf if row["final_train_loss"] is None else row["final_train_loss"]
    return failed, -seconds if failed else seconds, row["experiment"], row["outcome"], loss


def first(rows: list[Row], *key: str) -> list[Row]:
    chosen: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=rank):
        chosen.setdefault(tuple(row[name] for name in key), row)
    return list(chosen.values())


def model(rows: list[Row], filters: Row) -> list[Row]:
    """Return the rows that `runs` should return."""
    counting = first(rows, "experiment", "run_id")
    for name, wanted in filters.items():
        allowed = wanted if isinstance(wanted, list) else [wanted]
        counting = [row for row in counting if row[name] in allowed]
    return first(counting, "run_id")


@examples(30)
@given(st.lists(history_row | st.just("compact"), max_size=12))
def test_any_history_agrees_with_the_model(history: list[Row | str]) -> None:
    with new_ledger() as ledger:
        told: list[Row] = []
        for event in history:
            if isinstance(event, str):
                ledger.compact()
            else:
                ledger.append([event], curve_rows(event["run_id"], points=1))
                told.append(event)
        for filters in FILTERS:
            found = records(ledger.runs(arrow=True, **filters))
            expected = model(told, filters)
            names = list(told[0]) if told else []
            got = [{name: row[name] for name in names} for row in found]
            assert comparable(got) == comparable([{n: r[n] for n in names} for r in expected])
        assert len(ledger.curves(arrow=True)) == len({row["run_id"] for row in told})
        if history and history[-1] == "compact":
            raw = [row for file in files(ledger) for row in pq.read_table(file).to_pylist()]
            names = list(told[0]) if told else []
            kept = [{name: row[name] for name in names} for row in raw]
            assert comparable(kept) == comparable(first(told, "experiment", "run_id"))


@examples(15)
@given(rows("runs"), st.randoms(use_true_random=False), st.booleans())
def test_queries_do_not_depend_on_the_order_of_appends(
    given_rows: list[Row], chance: Any, compacted: bool
) -> None:
    with new_ledger() as one, new_ledger() as other:
        one.append(given_rows)
        shuffled = chance.sample(given_rows, len(given_rows))
        for row in shuffled:
            other.append([row])
            if compacted:
                other.compact()
        pd.testing.assert_frame_equal(
            one.runs(arrow=True), other.runs(arrow=True), check_exact=True
        )


@pytest.mark.parametrize("column", [c for c in TABLES["runs"].columns if c.type == "float64"])
@pytest.mark.parametrize(
    "value", [0.1, 0.0, -0.0, 5e-324, 1.7976931348623157e308, math.inf, math.nan]
)
def test_a_float_is_found_by_its_value(column: Column, value: float) -> None:
    with new_ledger() as ledger:
        ledger.append([run_row("a", **{column.name: value}), run_row("b", **{column.name: 7.0})])
        assert [
            row["run_id"] for row in records(ledger.runs(arrow=True, **{column.name: value}))
        ] == ["a"]
        both = ledger.runs(arrow=True, **{column.name: [value, 7.0, 8.0]})
        assert sorted(both["run_id"]) == ["a", "b"]


def test_zero_has_no_sign() -> None:
    with new_ledger() as ledger:
        ledger.append([run_row("a", weight_lr=0.0), run_row("b", weight_lr=-0.0)])
        assert set(ledger.runs(arrow=True, weight_lr=0)["run_id"]) == {"a", "b"}
        assert set(ledger.runs(arrow=True, weight_lr=-0.0)["run_id"]) == {"a", "b"}
