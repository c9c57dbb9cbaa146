"""`budget`: nothing new starts when it is used up, and verdicts come from what ran."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from transfer_fakes import FormulaPool, MemoryLedger, spec

from transfer import Experiment, SpecError, run
from transfer.engine.budget import spent
from transfer.engine.grouping import OPERATIONS, work
from transfer.engine.plan import Plan
from transfer.engine.pool import GroupResult
from transfer.engine.result import TransferResult

SEARCH, WHOLE = 36, 36 + 2 * 27


def bowl(config: Any, cell: Any, seed: int) -> float:
    """Return a loss with its optimum in the middle of the grid."""
    return (1 + seed / 100) * (1 + abs(cell.weight_lr - 0.1) + abs(cell.activity_lr - 10) / 100)


class TimedPool(FormulaPool):
    """Takes time, which is measured."""

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        began, start = datetime.now(UTC), time.perf_counter()
        time.sleep(0.002)
        (result,) = super().collect(timeout)
        return [replace(result, started=began, seconds=time.perf_counter() - start)]


def go(ledger: MemoryLedger, budget: dict[str, float] | None, **pool: Any) -> TransferResult:
    values = spec() if budget is None else spec(budget=budget)
    return run(Experiment.from_dict(values), ledger, TimedPool(bowl, **pool))


@pytest.mark.parametrize("most", [1, 20, SEARCH, SEARCH + 30])
def test_no_run_more_than_allowed_and_a_verdict_for_every_target(most: int) -> None:
    ledger = MemoryLedger()
    result = go(ledger, {"runs": most})
    assert len(ledger.appended) == most
    assert len(result.verdicts) == 2
    short = [row for row in result.verdicts if row["runs_left_out"]]
    assert len(short) == (1 if most > SEARCH + 27 else 2)
    for row in short:
        assert f"the budget of {most} runs left out" in row["reason"]
    assert spent(ledger, "test")["runs"] == most  # type: ignore[arg-type]


def test_raising_it_continues() -> None:
    """The runs of both parts together are those of a job without a budget."""
    ledger, other = MemoryLedger(), MemoryLedger()
    go(ledger, {"runs": 50})
    first = len(ledger.appended)
    result = go(ledger, {"runs": 500})
    whole = go(other, None)
    assert first == 50
    ids = [row["run_id"] for row in ledger.appended]
    assert len(ids) == len(set(ids)) == WHOLE
    assert set(ids) == {row["run_id"] for row in other.appended}
    labels = [[row[n] for n in ("verdict", "regret", "spec")] for row in result.verdicts]
    assert labels == [[row[n] for n in ("verdict", "regret", "spec")] for row in whole.verdicts]
    assert [row["runs_left_out"] for row in result.verdicts] == [0, 0]


def test_operations_are_those_of_the_updates() -> None:
    """Half of the operations of the search allow half of its runs, give or take a group."""
    experiment = Experiment.from_dict(spec())
    plan = Plan.of(experiment)
    each = OPERATIONS * work(plan.config(plan.arms[0], experiment.tune.shape))
    ledger = MemoryLedger()
    go(ledger, {"operations": each * SEARCH / 2}, slots=1, lanes=2)
    assert SEARCH / 2 <= len(ledger.appended) <= SEARCH / 2 + 2
    assert spent(ledger, "test")["operations"] == pytest.approx(  # type: ignore[arg-type]
        each * len(ledger.appended), rel=0.1
    )


def test_hours_are_those_of_busy_slots() -> None:
    """The first group uses up a nanohour, and the pool has two groups by then."""
    ledger = MemoryLedger()
    go(ledger, {"hours": 1e-9}, slots=1, lanes=1)
    assert 1 <= len(ledger.appended) <= 4


@pytest.mark.parametrize("budget", [{}, {"runs": 0}, {"minutes": 3}])
def test_a_budget_names_what_it_limits(budget: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="budget"):
        Experiment.from_dict(spec(budget=budget))
