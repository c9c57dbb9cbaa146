"""The result of an experiment: optima, verdicts, and the networks at the transferred cells."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from results.errors import LedgerError, unknown
from transfer.engine.arm import Optimum, Transferred
from transfer.engine.runs import AnyRun
from transfer.engine.trained_networks import network
from transfer.engine.verdict_rows import summary, verdict_table

if TYPE_CHECKING:
    import pandas as pd

    from pccore import Predictor
    from results import Ledger

T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class TransferResult:
    """The result of an experiment. It prints as a table of its verdicts, also in notebooks.

    Attributes:
        optima: the optimum of every arm, by its label: "mupc", or "mupc tanh" with several
            activations.
        verdicts: rows of the `verdicts` table, one per arm, target and rule.
        skipped: by arm, how many runs were left out because of `tune.skip_unstable`.
        transferred: the runs at the transferred cells, by arm, target and rule.
        ledger: where they are recorded; None if the result is of no ledger.
    """

    optima: dict[str, Optimum]
    verdicts: list[dict[str, object]]
    skipped: dict[str, int] = field(default_factory=dict)
    transferred: tuple[Transferred, ...] = ()
    ledger: "Ledger | None" = field(default=None, compare=False)

    def __repr__(self) -> str:
        table = self.table()
        return "no verdicts" if table.empty else table.to_string(index=False, na_rep="-")

    def _repr_html_(self) -> str:
        """Return the table in HTML, in which names and reasons are escaped."""
        table = self.table(reason=True)
        return table.to_html(index=False, na_rep="-", escape=True, border=0)

    def table(self, *, reason: bool = False) -> "pd.DataFrame":
        """Return the verdicts in a few columns, a row each.

        Args:
            reason: whether to add the reasons.
        """
        return verdict_table(self.verdicts, reason=reason)

    def network(
        self,
        variant: str,
        depth: int,
        *,
        width: int | None = None,
        rule: str | None = None,
        seed: int | None = None,
        best: bool = False,
    ) -> "Predictor":
        """Return a trained network of the transferred cell at a target, from its kept weights.

        Args:
            variant: the arm's label, a key of `optima`.
            depth: H of the target.
            width: N of the target; needed if several targets have this depth.
            rule: the transfer rule; by default the one with the lowest loss at this target.
            seed: the seed; by default the first whose weights were kept.
            best: whether to take, in place of the transferred cell, the best one that ran there.

        Raises:
            LedgerError: there is no such target, rule or seed; or no weights were kept.
        """
        run_id = self.run_id(variant, depth, width=width, rule=rule, seed=seed, best=best)
        return network(self._recorded, run_id)

    def run_id(
        self,
        variant: str,
        depth: int,
        *,
        width: int | None = None,
        rule: str | None = None,
        seed: int | None = None,
        best: bool = False,
    ) -> str:
        """Return the id of the run whose network `network` returns, with the same arguments.

        Raises:
            LedgerError: there is no such target, rule or seed, or the width is needed.
        """
        ledger = self._recorded
        found = _only(self.transferred, "variant", variant, lambda each: each.label)
        found = _only(found, "depth", depth, lambda each: each.shape.depth)
        found = _only(found, "width", width, lambda each: each.shape.width)
        found = _only(found, "rule", rule, lambda each: each.rule)
        if len(widths := sorted({each.shape.width for each in found})) > 1:
            raise LedgerError(
                f"targets of depth {depth} have several widths: choose one of {widths}"
            )
        chosen = min(found, key=lambda each: math.inf if each.loss is None else each.loss)
        runs: Sequence[AnyRun] = chosen.best if best else chosen.runs
        if not runs:
            raise LedgerError(
                f"nothing trained at {chosen.shape.width} x {depth}, so no cell is best"
            )
        runs = _only(runs, "seed", seed, lambda run: run.lane.seed)
        rows = ledger.runs(["run_id", "weights_digest"], run_id=[run.run_id for run in runs])
        kept = set(rows.loc[rows["weights_digest"].notna(), "run_id"])
        return next((run.run_id for run in runs if run.run_id in kept), runs[0].run_id)

    @property
    def _recorded(self) -> "Ledger":
        if self.ledger is None:
            raise LedgerError("the result is of no ledger, so it has no networks")
        return self.ledger

    @property
    def summary(self) -> str:
        """The verdicts in plain text, a line each, and how many runs were skipped."""
        return summary(self.verdicts, self.skipped)


def _only(
    things: Sequence[T], what: str, wanted: object, value: Callable[[T], object]
) -> Sequence[T]:
    """Return the things with the wanted value, all if None is wanted."""
    if wanted is None:
        return things
    if not things:
        raise LedgerError("the result has no transferred optimum, and so no networks")
    found = [each for each in things if value(each) == wanted]
    if not found:
        raise unknown(what, wanted, dict.fromkeys(str(value(each)) for each in things))
    return found
