"""Conditions of `--where` against the same comparisons by hand."""

from pathlib import Path

import pytest

import results
from jobs.cli.conditions import parse_condition
from jobs.cli.options import TableName
from jobs.errors import CommandError

ROWS = {
    "a": {"depth": 8, "test_accuracy": 0.5, "variant": "mupc", "residual": True},
    "b": {"depth": 16, "test_accuracy": 0.75, "variant": "sp", "residual": False},
    "c": {"depth": 128, "test_accuracy": None, "variant": "sp_gaussian", "residual": None},
}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> results.Ledger:
    from datetime import UTC, datetime

    common = {"experiment": "one", "phase": "tune", "outcome": "trained"}
    common["started"] = datetime(2026, 1, 2, tzinfo=UTC)  # type: ignore[assignment]
    ledger = results.open(tmp_path_factory.mktemp("ledger"), create=True)
    ledger.append([{**common, "run_id": name, **row} for name, row in ROWS.items()])
    return ledger


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("depth>8", "bc"),
        ("depth>=16", "bc"),
        ("depth<16", "a"),
        ("depth<=16", "ab"),
        ("depth!=8", "bc"),
        ("depth!=8,16", "c"),
        ("depth<9,>100", None),
        ("test_accuracy>0.5", "b"),
        ("test_accuracy!=null", "ab"),
        ("test_accuracy!=0.5", "bc"),
        ("test_accuracy!=0.5,null", "b"),
        ("variant like sp%", "bc"),
        ("variant like s_", "b"),
        ("variant like mu%,sp", "ab"),
        ("variant like .*", ""),
        ("variant>mupc", "bc"),
        ("residual!=true", "bc"),
        ("started>2026-01-01", "abc"),
        ("started<2026-01-02", ""),
    ],
)
def test_rows_that_meet_a_condition(
    ledger: results.Ledger, text: str, expected: str | None
) -> None:
    if expected is None:
        with pytest.raises(CommandError):
            parse_condition(text, TableName.RUNS)
        return
    condition = parse_condition(text, TableName.RUNS)
    for arrow in (True, False):
        assert "".join(condition.rows(ledger.runs(arrow=arrow))["run_id"]) == expected


def test_equality_is_left_to_the_ledger(ledger: results.Ledger) -> None:
    condition = parse_condition("depth=8,null", TableName.RUNS)
    assert (condition.column, condition.operator, condition.values) == ("depth", "=", [8, None])
    assert len(condition.rows(ledger.runs())) == len(ROWS)


def test_values_of_a_condition_may_have_operators_in_them(tmp_path: Path) -> None:
    condition = parse_condition("cause=a<b", TableName.RUNS)
    assert (condition.column, condition.operator, condition.values) == ("cause", "=", ["a<b"])
