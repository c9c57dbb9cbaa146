"""`tune.extend`: the grid grows until the optimum is inside."""

import json
import math
from typing import Any

import pytest
from transfer_fakes import FormulaPool, MemoryLedger, spec

from pccore import Outcome, TrainingConfig
from transfer import Cell, Experiment, SpecError, run
from transfer.engine.pool import Group
from transfer.engine.result import TransferResult
from transfer.functions import outcome_of
from transfer.space import Grid, Range, Space
from transfer.spec.sweep import Sweep

LADDER = [0.001, 0.003, 0.01]


def bowl(config: TrainingConfig, cell: Cell, seed: int) -> float:
    """Return a loss with its optimum at eta 0.1, at the deeper shape 0.03, and beta 10."""
    best = 0.1 if config.network.depth == 2 else 0.03
    away = math.log10(cell.weight_lr / best) ** 2 + math.log10((cell.activity_lr or 10) / 10) ** 2
    return (1 + seed / 100) * (0.1 + away)


def go(**changes: Any) -> tuple[TransferResult, MemoryLedger]:
    ledger = MemoryLedger()
    return run(Experiment.from_dict(spec(**changes)), ledger, FormulaPool(bowl)), ledger


def etas(ledger: MemoryLedger, depth: int) -> set[float]:
    return {row["weight_lr"] for row in ledger.appended if row["depth"] == depth}


def test_a_list_continues_as_it_goes() -> None:
    assert Grid((0.01, 0.03, 0.1, 0.3)).further("highest", 3) == (1.0, 3.0, 10.0)
    assert Grid((0.01, 0.03, 0.1, 0.3)).further("lowest", 2) == (0.003, 0.001)
    assert Grid((1.0, 4.0)).further("highest", 2) == (16.0, 64.0)
    assert Grid((2.0, 4.0, 8.0), whole=True).further("lowest", 5) == (1.0,)
    assert Grid((1.0,)).further("highest", 2) == ()
    assert Range(1.0, 8.0).further("highest", 2) == (16.0, 32.0)


def test_cells_beyond_are_those_that_a_border_cuts_off() -> None:
    space = Space(Grid((0.01, 0.03, 0.1)), Grid((1.0, 10.0, 100.0)))
    beyond = space.beyond(Cell(0.1, 10.0), 1, "weight_lr", "highest")
    assert beyond == tuple(Cell(0.3, beta) for beta in (1.0, 10.0, 100.0))
    for rate, side in (("weight_lr", "lowest"), ("activity_lr", "highest")):
        assert space.beyond(Cell(0.1, 10.0), 1, rate, side) == ()


def test_grows_until_the_optimum_is_inside() -> None:
    tune = {"weight_lr": LADDER, "activity_lr": [1, 10, 100], "extend": 5}
    result, ledger = go(tune=tune, transfer={"depths": [4]})
    assert result.optima["mupc"].cell == Cell(0.1, 10)
    assert etas(ledger, 2) == {*LADDER, 0.03, 0.1, 0.3}
    (row,) = result.verdicts
    assert row["verdict"] != "edge"
    assert json.loads(row["values_added"]) == [
        {"width": 8, "depth": 2, "rate": "weight_lr", "values": [0.03, 0.1, 0.3]}
    ]
    assert "the search was extended by eta 0.03, 0.1, 0.3" in row["reason"]


def test_grows_by_no_more_than_is_allowed() -> None:
    tune = {"weight_lr": LADDER, "activity_lr": [1, 10, 100], "extend": 2}
    result, ledger = go(tune=tune, transfer={"depths": [2]})
    assert etas(ledger, 2) == {*LADDER, 0.03, 0.1}
    assert result.verdicts[0]["verdict"] == "edge"


def test_without_it_the_verdict_says_what_to_add() -> None:
    tune = {"weight_lr": LADDER, "activity_lr": [1, 10, 100]}
    result, ledger = go(tune=tune, transfer={"depths": [2]})
    assert etas(ledger, 2) == set(LADDER)
    (row,) = result.verdicts
    assert row["verdict"] == "edge"
    assert "such as at eta 0.03: add it to the list, or set tune.extend" in row["reason"]
    assert row["values_added"] is None


def test_shapes_of_a_law_grow_by_themselves() -> None:
    tune = {"weight_lr": LADDER, "activity_lr": [1, 10, 100], "extend": 5}
    transfer = {"depths": [16], "rules": [{"rule": "fitted", "depths": [2, 4, 8]}]}
    result, ledger = go(tune=tune, transfer=transfer)
    assert etas(ledger, 2) == {*LADDER, 0.03, 0.1, 0.3}
    assert etas(ledger, 4) == etas(ledger, 8) == {*LADDER, 0.03, 0.1}
    (row,) = result.verdicts
    assert row["weight_lr_depth_exponent"] < 0  # from 0.1 to 0.03
    assert "was left out" not in row["reason"]


def train(shape: Any, rates: Any, seed: Any) -> float:
    return 1.0


class FunctionPool(FormulaPool):
    """Computes losses of a training function with its optimum at lr 0.4 and batch 4."""

    def _outcomes(self, group: Group) -> tuple[Outcome, ...]:
        def loss(lane: Any) -> float:
            away = math.log2(lane.cell["lr"] / 0.4) ** 2 + math.log2(lane.cell["batch"] / 4) ** 2
            return (1 + lane.seed / 100) * (1 + away)

        return tuple(outcome_of("train", loss(lane)) for lane in group.lanes)


def test_named_and_whole_rates_grow_too() -> None:
    """The lowest whole number is 1, so that batch sizes 16 and 32 grow to 8, 4 and 2."""
    tune = {"width": 1, "depth": 1, "rates": {"lr": [0.1, 0.2], "batch": [16, 32]}, "extend": 4}
    values = {"name": "test", "train": train, "tune": tune, "transfer": {"depths": [2]}}
    values |= {"budget": {"runs": 1000}}
    ledger = MemoryLedger()
    result = run(Sweep.from_dict(values), ledger, FunctionPool(lambda *_: 0.0))
    (row,) = result.verdicts
    assert result.optima["train"].cell == Cell(lr=0.4, batch=4.0)
    added = {each["rate"]: each["values"] for each in json.loads(row["values_added"])}
    assert added == {"lr": [0.4, 0.8], "batch": [2.0, 4.0, 8.0]}
    assert row["operations"] is None
    assert row["runs_left_out"] == 0


def test_operations_of_functions_are_not_known() -> None:
    values = {"name": "test", "train": train, "tune": {"rates": {"lr": [0.1]}}}
    values |= {"transfer": {"depths": [2]}, "budget": {"operations": 1e9}}
    with pytest.raises(SpecError, match=r"budget\.operations must be left out"):
        Sweep.from_dict(values)


def test_a_sampler_has_no_lists_to_extend() -> None:
    tune = {"sampler": "tpe", "trials": 5, "extend": 2}
    with pytest.raises(SpecError, match=r"tune\.extend must be left out for sampler tpe"):
        Experiment.from_dict(spec(tune=tune))
