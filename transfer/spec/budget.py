"""The section of a spec about its budget. It is no part of what determines a result."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from transfer.spec.fields import Count, Positive, Section


class BudgetSpec(Section):
    """The most that an experiment may take on a ledger; the first limit that is reached counts."""

    names: ClassVar[tuple[str, ...]] = ("operations", "hours", "runs")

    operations: Positive | None = Field(
        default=None,
        description="Floating-point operations of weight updates, as the column operations of "
        "mupc plan counts them, evaluations aside. Unknown for training functions.",
    )
    hours: Positive | None = Field(
        default=None,
        description="Hours in which workers were busy: two workers that are busy for an hour take "
        "two. Time in which no job ran does not count.",
    )
    runs: Count | None = Field(
        default=None, description="Runs trained, those that failed included."
    )

    @property
    def limits(self) -> Mapping[str, float]:
        """The limits that are set, by name."""
        given = {name: getattr(self, name) for name in self.names}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def text(self) -> str:
        """The limits in words."""
        return " or ".join(f"{value:,.4g} {name}" for name, value in self.limits.items())

    def problems(self, *, counted: bool) -> Iterator[str]:
        """Yield what is wrong; `counted` where the operations of runs are known."""
        if not self.limits:
            yield "budget must have operations, hours or runs, got none of them"
        if self.operations is not None and not counted:
            yield (
                "budget.operations must be left out, as the operations of a training function are "
                f"not known, got {self.operations:g}: give hours or runs"
            )
