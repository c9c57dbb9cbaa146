"""Tables for the terminal: a dash for missing, units in the header, nothing cut off."""

import io
import math
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from jobs.cli.tables import (
    accuracy,
    accuracy_table,
    law_lines,
    number,
    rule_table,
    several_rules,
    verdict_table,
    with_interval,
)


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
def test_verdicts_fit_the_terminal(width: int, intervals: bool) -> None:
    rows = [row(), row(variant="bp", activity_lr=None, verdict="inconclusive")]
    head, first, second = text(verdict_table(rows, intervals=intervals), width)
    for name in ("variant", "N x H", "eta", "beta", "loss", "accuracy %", "regret", "verdict"):
        assert name in head
    shown = ["mupc", "512 x 128", "0.1", "0.5", "0.0123", "98.1 ± 0.3", "0.02", "held"]
    assert all(value in first for value in shown)
    assert ("[-0.01, 0.05]" in first) is intervals
    assert second.split()[5] == "-"  # bp has no beta
    assert "inconclusive" in second


@pytest.mark.parametrize(("width", "intervals"), [(80, False), (120, True)])
def test_shallow_networks_are_flagged(width: int, intervals: bool) -> None:
    rows = [
        row(layers=129, layers_learned=32, shallow=True),
        row(layers=17, layers_learned=17, shallow=False),
    ]
    _, shallow, deep = text(verdict_table(rows, intervals=intervals), width)
    assert shallow.rstrip().endswith("held, shallow")
    assert deep.rstrip().endswith("held")
    assert ("32/129" in shallow, "17/17" in deep) == (intervals, intervals)


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
def test_several_activations_are_named(table: Any) -> None:
    shown = "\n".join(text(table([row(), row(activation="tanh")]), 120))
    assert "mupc relu" in shown
    assert "mupc tanh" in shown


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_missing_value_is_a_dash(nothing: float | None) -> None:
    assert number(nothing) == accuracy(nothing, 0.1) == "-"
    assert with_interval(row(regret=nothing), "regret") == "-"
    assert accuracy(0.5, nothing) == "50.0"
    assert with_interval(row(regret_low=nothing), "regret") == "0.02"


def ruled(rule: str, **changes: Any) -> dict[str, Any]:
    names = [f"{r}_{s}_exponent" for r in ("weight_lr", "activity_lr") for s in ("depth", "width")]
    nothing = {f"{name}{end}": None for name in names for end in ("", "_low", "_high")}
    best = {"best_loss": 0.01, "best_weight_lr": 0.05, "best_activity_lr": None}
    return row(rule=rule, **{**nothing, **best, **changes})


def test_rule_table_has_a_column_per_rule() -> None:
    rows = [
        ruled("zero_shot", regret=math.log(1.5), regret_low=math.log(1.4), regret_high=math.log(2)),
        ruled("fitted", regret=0.0, regret_low=0.0, regret_high=math.log(1.02)),
        ruled("depth_mup", regret=None, loss=None, verdict="drifted"),
    ]
    assert several_rules(rows)
    head, line = text(rule_table(rows), 120)
    assert head.split()[-3:] == ["zero_shot", "fitted", "depth_mup"]
    assert "mupc" in line
    assert [part in line for part in ("50 [40, 100]", "0 [0, 2]", "drifted")] == [True] * 3
    shown = text(verdict_table(rows), 140)
    assert "rule" in shown[0]
    assert "fitted" in shown[2]
    assert text(accuracy_table(rows), 140)[0].split()[3:5] == ["mupc", "zero_shot"]


def test_zero_shot_alone_is_not_named() -> None:
    assert not several_rules([row(), row(rule="zero_shot")])
    assert "rule" not in text(verdict_table([row(rule="zero_shot")]), 120)[0]
    assert several_rules([ruled("fitted")])


def test_a_law_is_one_line() -> None:
    fitted = {"weight_lr_depth_exponent": -0.621, "weight_lr_width_exponent": 0.1}
    fitted |= {"weight_lr_depth_exponent_low": -0.8, "weight_lr_depth_exponent_high": -0.449}
    still = {"weight_lr_depth_exponent": 0.0, "weight_lr_width_exponent": 0.0}
    rows = [ruled("zero_shot", **still), ruled("fitted", **fitted), ruled("fitted", **fitted)]
    assert law_lines(rows) == ["mupc fitted: eta ~ L^-0.62 [-0.80, -0.45] N^0.10"]
