"""What an experiment has spent of its budget, and whether another group may start.

Spending is counted from the rows of `measurements` that `transfer.engine.usage` writes: by earlier
processes, as far as they recorded it, and by this one. With a budget they are written after every
group, so that a killed process loses the groups in training only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from transfer.engine.grouping import OPERATIONS, work_between
from transfer.engine.pool import Group
from transfer.engine.usage import BUSY, DONE, RUNS, Usage
from transfer.functions import FunctionConfig
from transfer.spec.budget import BudgetSpec

if TYPE_CHECKING:
    from results import Ledger

QUANTITIES: Mapping[str, tuple[str, float]] = {
    "operations": (DONE, 1.0),
    "hours": (BUSY, 3600.0),
    "runs": (RUNS, 1.0),
}
"""Of each limit, the measured quantity and how many of its units make one."""


def spent(ledger: "Ledger", experiment: str) -> dict[str, float]:
    """Return what an experiment has spent on a ledger, by the names of limits."""
    names = [quantity for quantity, _ in QUANTITIES.values()]
    rows = ledger.measurements(quantity=names, experiment=experiment)
    total = rows.groupby("quantity")["value"].sum()
    return {
        name: float(total.get(quantity, 0.0)) / unit
        for name, (quantity, unit) in QUANTITIES.items()
    }


@dataclass(frozen=True)
class Bought:
    """What is left of one limit of a budget, and what it buys.

    Attributes:
        limit: the limit.
        spent: of it, by earlier jobs.
        left: of it.
        needed: what the expected runs that are still to come take; None if that is not known.
        share: of these runs, how much the rest buys; None if that is not known.
    """

    limit: float
    spent: float
    left: float
    needed: float | None
    share: float | None


def bought(
    spec: BudgetSpec, ledger: "Ledger", experiment: str, needs: Mapping[str, float | None]
) -> dict[str, Bought]:
    """Return what a budget buys, by its limits.

    Args:
        spec: the budget.
        ledger: where the experiment has run so far.
        experiment: its name.
        needs: what the expected runs take, by the names of limits.
    """
    used, found = spent(ledger, experiment), {}
    for name, limit in spec.limits.items():
        left, needed = max(0.0, limit - used[name]), needs.get(name)
        share = None if needed is None else 1.0 if left >= needed else left / needed
        found[name] = Bought(limit, used[name], left, needed, share)
    return found


@dataclass(frozen=True)
class Budget:
    """The budget of an experiment in this process.

    Attributes:
        limits: by name; empty without a budget.
        before: what earlier processes spent, by name.
    """

    limits: Mapping[str, float]
    before: Mapping[str, float]

    @classmethod
    def of(cls, spec: BudgetSpec | None, ledger: "Ledger", experiment: str) -> "Budget":
        """Return the budget that a spec sets."""
        if spec is None:
            return cls({}, {})
        return cls(spec.limits, spent(ledger, experiment))

    def __bool__(self) -> bool:
        return bool(self.limits)

    def allowed(self, group: Group, usage: Usage, training: Sequence[Group]) -> Group | None:
        """Return the part of a group that may start; None if the budget is used up.

        Args:
            group: the next group.
            usage: of this process.
            training: the groups that the pool has, whose runs and operations are spent already.
        """
        if not self.limits:
            return group
        now = {
            "operations": usage.operations + sum(map(_operations, training)),
            "hours": usage.busy.total_seconds() / 3600,
            "runs": usage.runs + sum(len(each.lanes) for each in training),
        }
        left = {name: most - self.before[name] - now[name] for name, most in self.limits.items()}
        if any(amount <= 0 for amount in left.values()):
            return None
        count = min(len(group.lanes), int(left.get("runs", len(group.lanes))))
        return part(group, 0, count)


def part(group: Group, start: int, stop: int) -> Group:
    """Return some of the lanes of a group."""
    run_ids = group.run_ids[start:stop]
    kept = group.kept & set(run_ids)
    return replace(group, lanes=group.lanes[start:stop], run_ids=run_ids, kept=kept)


def _operations(group: Group) -> float:
    if isinstance(group.config, FunctionConfig):
        return 0.0
    each = work_between(group.config, group.begun, group.until)
    return OPERATIONS * each * len(group.lanes)
