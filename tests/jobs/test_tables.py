"""Tables of the screen: missing is a dash, units are in the header, nothing is cut off."""

import io
import math
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from jobs.tables import accuracy, accuracy_table, number, verdict_table, with_interval


def row(**changes: Any) -> dict[str, Any]:
    return {
        "variant": "mupc",
        "activation": "relu",
        "width": 512,
        "depth": 128,
        "weight_lr": 0.1,
        "activity_lr": 0.5,
        "loss": 0.01234,
        "accuracy": 0.9812,
        "accuracy_std": 0.0034,
        "regret": 0.021,
        "regret_low": -0.013,
        "regret_high": 0.052,
        "drift_weight_lr": -1.0,
        "drift_activity_lr": 0.0,
        "verdict": "held",
    } | changes


def text(table: Table, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("width", "intervals"), [(80, False), (110, True)])
def test_verdicts_fit_the_screen(width: int, intervals: bool) -> None:
    rows = [row(), row(variant="bp", activity_lr=None, verdict="inconclusive")]
    head, first, second = text(verdict_table(rows, intervals=intervals), width)
    for name in ("variant", "N x H", "eta", "beta", "loss", "accuracy %", "regret", "verdict"):
        assert name in head
    shown = ["mupc", "512 x 128", "0.1", "0.5", "0.0123", "98.1 ± 0.3", "0.02", "held"]
    assert all(value in first for value in shown)
    assert ("[-0.01, 0.05]" in first) is intervals
    assert second.split()[5] == "-"  # bp has no beta
    assert "inconclusive" in second


def test_accuracies_are_by_shape_and_variant() -> None:
    rows = [
        row(depth=128),
        row(depth=16, accuracy=0.97),
        row(variant="sp", depth=16, accuracy=0.1, accuracy_std=None),
    ]
    head, shallow, deep = text(accuracy_table(rows), 80)
    assert head.split() == ["N", "x", "H", "mupc", "sp"]
    assert shallow.split() == ["512", "x", "16", "97.0", "±", "0.3", "10.0"]
    assert deep.split() == ["512", "x", "128", "98.1", "±", "0.3", "-"]


@pytest.mark.parametrize("table", [verdict_table, accuracy_table])
def test_activations_are_named_when_there_are_several(table: Any) -> None:
    shown = "\n".join(text(table([row(), row(activation="tanh")]), 120))
    assert "mupc relu" in shown
    assert "mupc tanh" in shown


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_missing_is_a_dash_and_never_zero(nothing: float | None) -> None:
    assert number(nothing) == accuracy(nothing, 0.1) == "-"
    assert with_interval(row(regret=nothing), "regret") == "-"
    assert accuracy(0.5, nothing) == "50.0"
    assert with_interval(row(regret_low=nothing), "regret") == "0.02"
