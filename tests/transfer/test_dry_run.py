"""Dry runs count the runs that follow, and record nothing."""

import copy
from collections import Counter
from typing import Any

import pytest
from fewer import cases
from test_driver import bowl
from transfer_fakes import FormulaPool, Killed, MemoryLedger, spec

from transfer import Experiment, run
from transfer.engine.any_plan import PlannedRuns
from transfer.engine.dry_run import direct_tuning, dry_run
from transfer.engine.plan import Plan

FITTED = spec(
    tune={"weight_lr": [0.001, 0.01, 0.1, 1], "activity_lr": [1, 10, 100]},
    transfer={"depths": [8], "rules": ["zero_shot", {"rule": "fitted", "depths": [2, 4, 6]}]},
)
SAMPLED = spec(tune={"sampler": "tpe", "trials": 20, "in_flight": 4})
SEVERAL = spec(variants=["mupc", "sp", {"name": "bp", "weight_lr": [0.1, 0.01]}])


def count(values: dict[str, Any], ledger: MemoryLedger | None = None) -> list[PlannedRuns]:
    plan = Plan.of(Experiment.from_dict(values))
    return dry_run(plan, ledger or MemoryLedger(), FormulaPool(bowl))


def summary(demands: list[PlannedRuns]) -> list[tuple[str, str, int, int, int, bool]]:
    return [(d.arm.label, d.phase, d.shape.depth, d.runs, d.known, d.at_most) for d in demands]


def test_empty_ledger_gives_exact_search_and_bounded_targets() -> None:
    assert summary(count(SEVERAL)) == [
        ("mupc", "tune", 2, 3 * 4 * 3, 0, False),
        ("mupc", "transfer", 4, 3 * 3 * 3, 0, True),
        ("mupc", "transfer", 8, 3 * 3 * 3, 0, True),
        ("sp", "tune", 2, 3 * 4 * 3, 0, False),
        ("sp", "transfer", 4, 3 * 3 * 3, 0, True),
        ("sp", "transfer", 8, 3 * 3 * 3, 0, True),
        ("bp", "tune", 2, 2 * 3, 0, False),
        ("bp", "transfer", 4, 2 * 3, 0, True),
        ("bp", "transfer", 8, 2 * 3, 0, True),
    ]


def test_counts_the_searches_of_a_fitted_rule() -> None:
    tuned = [line for line in summary(count(FITTED)) if line[1] == "tune"]
    assert tuned == [("mupc", "tune", depth, 4 * 3 * 3, 0, False) for depth in (2, 4, 6)]


def test_counts_the_trials_of_a_sampler() -> None:
    """A range has no cells that repeat an earlier one."""
    ranges = {"weight_lr": {"low": 0.01, "high": 1}, "activity_lr": {"low": 0.1, "high": 100}}
    values = spec(tune=ranges | {"sampler": "random", "trials": 20})
    assert summary(count(values))[0] == ("mupc", "tune", 2, 20 * 3, 0, True)


@pytest.mark.parametrize("values", [SEVERAL, FITTED, SAMPLED], ids=["several", "fitted", "sampled"])
@pytest.mark.parametrize("results", cases([20, None, 0, 3], 2))
def test_counts_match_the_runs_then_trained(values: dict[str, Any], results: int | None) -> None:
    """After any number of results, bounds hold and exact counts are exact."""
    ledger = MemoryLedger()
    try:
        run(Experiment.from_dict(values), ledger, FormulaPool(bowl, results=results))
    except Killed:
        assert results is not None
    before = copy.deepcopy((ledger.appended, ledger.verdicts, ledger.measured))
    demands = count(values, ledger)
    assert (ledger.appended, ledger.verdicts, ledger.measured) == before  # nothing was recorded
    known = {row["run_id"] for row in ledger.appended}
    assert sum(demand.known for demand in demands) <= len(known)

    run(Experiment.from_dict(values), ledger, FormulaPool(bowl))
    trained = Counter(
        (row["variant"], row["phase"], row["depth"])
        for row in ledger.appended
        if row["run_id"] not in known
    )
    for demand in demands:
        new = trained.pop((demand.arm.variant.name, demand.phase, demand.shape.depth), 0)
        left = demand.runs - demand.known
        assert new <= left if demand.at_most else new == left
    assert not trained
    if results is None:
        assert not any(demand.at_most for demand in demands)
        assert sum(demand.runs for demand in demands) == len(known)


def test_work_excludes_runs_in_the_ledger() -> None:
    ledger = MemoryLedger()
    run(Experiment.from_dict(SEVERAL), ledger, FormulaPool(bowl))
    assert all(demand.work > 0 for demand in count(SEVERAL))
    assert not any(demand.work for demand in count(SEVERAL, ledger))


def test_direct_tuning_searches_every_target() -> None:
    searches = direct_tuning(Plan.of(Experiment.from_dict(SEVERAL)))
    assert [(d.arm.label, d.shape.depth, d.runs) for d in searches] == [
        ("mupc", 4, 36),
        ("mupc", 8, 36),
        ("sp", 4, 36),
        ("sp", 8, 36),
        ("bp", 4, 6),
        ("bp", 8, 6),
    ]
    assert all(d.config.network.depth == d.shape.depth for d in searches)
