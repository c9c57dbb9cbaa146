"""The workflow of one arm: tune, take the optimum to every target by each rule, run there, judge.

A workflow is a generator that yields the runs it waits for. The driver resumes it when they are
done, so that the workflows of several arms share a pool and none waits for another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from results.landscape import NOT_RUN, Cell, Landscape, mean, optimum
from results.shapes import Shape
from results.vocabulary import OutcomeLabel, Phase, rate_name
from transfer.engine.any_plan import AnyPlan, Arm, PlannedRuns
from transfer.engine.costs import Costs, costs
from transfer.engine.extension import Extended, extended
from transfer.engine.progress import Progress
from transfer.engine.run_rows import Row
from transfer.engine.runs import AnyRun
from transfer.engine.scheduler import Scheduler
from transfer.engine.search_runs import ArmSearch, FullSearch, PrunedSearch, Steps
from transfer.engine.step_limits import StepLimits
from transfer.engine.target_runs import Targets
from transfer.engine.verdict_rows import further_columns, law_rows, verdict_row
from transfer.judge.law import Prediction, RulePredictions, UnfittedError
from transfer.judge.verdict import Verdict, judge, without_optimum
from transfer.space import Space
from transfer.spec.transfer_rules import Tuned


@dataclass(frozen=True)
class Optimum:
    """The best cell of an arm's search.

    Attributes:
        variant: a name in `transfer.VARIANTS`, or of a training function.
        activation: a name in `pccore.ACTIVATIONS`, or `NO_ACTIVATION`.
        cell: its rates; None when no cell trained with more than half of its seeds.
        loss: its final training loss, averaged over seeds.
    """

    variant: str
    activation: str
    cell: Cell | None
    loss: float | None


@dataclass(frozen=True)
class Transferred:
    """The runs at a transferred cell, one per seed.

    Attributes:
        label: the arm's label.
        shape: the target.
        rule: the name of the rule, as verdicts have it.
        runs: the runs, in the order of the seeds.
        best: the runs at the best cell that ran at the target; empty if none trained.
        loss: their mean final training loss; None unless more than half of them trained.
    """

    label: str
    shape: Shape
    rule: str
    runs: tuple[AnyRun, ...]
    best: tuple[AnyRun, ...]
    loss: float | None


class ArmWorkflow:
    """Takes one arm from its search to its verdicts.

    Attributes:
        label: the arm's label.
        optimum: the result of the search; None until it is over.
        verdicts: rows of the `verdicts` table, in the order of the targets, once all are known.
        skipped: runs left out because their beta is beyond the step limit (`tune.skip_unstable`).
        transferred: the runs at the transferred cells, once they are known.
    """

    def __init__(self, plan: AnyPlan, arm: Arm, scheduler: Scheduler, progress: Progress) -> None:
        self.label = arm.label
        self.optimum: Optimum | None = None
        self.verdicts: list[Row] = []
        self.skipped = 0
        self.transferred: list[Transferred] = []
        self._other_shapes_requested = False
        self._plan, self._arm, self._scheduler, self._progress = plan, arm, scheduler, progress
        tune = plan.experiment.tune
        self._limits = StepLimits(plan, arm, scheduler)
        shared = (plan, arm, scheduler, self._limits, self._kept, self._within_limit)
        self._search: ArmSearch = (
            FullSearch(*shared)
            if tune.prune is None
            else PrunedSearch(tune.prune, progress, *shared)
        )
        self._searched: Mapping[Shape, Extended] = {}
        self._targets = Targets(plan, arm, self._request, scheduler.results)

    def steps(self) -> Steps[None]:
        """Tune, transfer, judge and record the verdicts."""
        experiment, arm = self._plan.experiment, self._arm
        yield from self._limits.measure(experiment.tuned)
        other_shapes = self._request_other_shapes()
        shape = experiment.tune.shape
        searched = {shape: (yield from self._extended(shape, (yield from self._search.steps())))}
        self._search.end()
        for other, cells in other_shapes.items():
            landscape = yield from self._landscape(other, cells)
            searched[other] = yield from self._extended(other, landscape)
        landscapes = {at: found.landscape for at, found in searched.items()}
        tuned = landscapes[shape]
        cell = optimum(tuned)
        loss = None if cell is None else mean(tuned.losses[tuned.place(cell)])
        self.optimum = Optimum(arm.variant.name, arm.activation, cell, loss)
        self._progress.optimum(self.label, cell, loss)
        self._searched = searched
        self._arm = arm = replace(arm, space=searched[shape].space)
        rules = [] if cell is None else self._predict(cell, landscapes)
        verdicts = yield from self._transfer(landscapes, rules)
        fits = [row for rule in rules for row in law_rows(self._plan, arm, rule.law)]
        self.verdicts = self._scheduler.record_verdicts(verdicts, fits)

    def remaining(self) -> list[PlannedRuns]:
        """Return an upper bound on the runs that have not been requested yet."""
        if self.optimum is not None:
            return self._targets.remaining()
        shapes = () if self._other_shapes_requested else None
        return self._plan.remaining(self._arm, self._search.runs_left, shapes)

    def _request_other_shapes(self) -> dict[Shape, tuple[Cell, ...]]:
        """Request the whole grid at the shapes, besides the tuned one, that rules are fitted to."""
        self._other_shapes_requested = True
        requested = {}
        for shape in self._plan.experiment.tuned[1:]:
            requested[shape] = self._without_unstable(shape, self._arm.space.cells)
            self._request(self._plan.runs(self._arm, shape, requested[shape]), Phase.TUNE)
        return requested

    def _extended(self, shape: Shape, landscape: Landscape) -> Steps[Extended]:
        """Extend the grid at a shape until the optimum is inside (`tune.extend`)."""

        def run(
            at: Shape, known: Sequence[Cell], fresh: Sequence[Cell], longer: Space
        ) -> Steps[Landscape]:
            if isinstance(self._search, PrunedSearch) and at == self._plan.experiment.tune.shape:
                return (yield from self._search.grow(fresh, longer))
            cells = self._without_unstable(at, fresh)
            self._request(self._plan.runs(self._arm, at, cells), Phase.TUNE)
            return (yield from self._landscape(at, [*known, *cells]))

        most = self._plan.experiment.tune.extend or 0
        return (yield from extended(shape, landscape, self._arm.space, most, run))

    def _request(self, runs: Sequence[AnyRun], phase: Phase, optima: Sequence[AnyRun] = ()) -> None:
        """Request runs, and that weights are kept of all, of the optima or of none."""
        self._scheduler.request(runs, phase, self._kept(runs, optima))

    def _kept(self, runs: Sequence[AnyRun], optima: Sequence[AnyRun] = ()) -> set[str]:
        """Return the ids of the runs whose weights are kept."""
        kept = {"all": runs, "optima": optima, "none": ()}[self._plan.experiment.keep]
        return {run.run_id for run in kept}

    def _within_limit(self, cells: Sequence[Cell]) -> Sequence[Cell]:
        return self._without_unstable(self._plan.experiment.tune.shape, cells)

    def _predict(self, cell: Cell, landscapes: Mapping[Shape, Landscape]) -> list[RulePredictions]:
        """Return what each rule predicts for the targets from the optimum and the landscapes."""
        experiment, found = self._plan.experiment, []
        spaces = {shape: each.space for shape, each in self._searched.items()}
        tuned = Tuned(experiment.tune.shape, self._plan.like, cell, landscapes, spaces)
        for name, rule in self._plan.rules:
            try:
                law = rule.law(tuned)
            except UnfittedError as error:
                found.append(RulePredictions(name, None, {}, str(error)))
                continue
            predicted = {shape: self._admitted(law.predict(shape)) for shape in experiment.targets}
            found.append(RulePredictions(name, law, predicted, law.note))
        return found

    def _admitted(self, prediction: Prediction) -> Prediction:
        return replace(prediction, cell=self._arm.space.admitted(prediction.cell))

    def _transfer(
        self, landscapes: Mapping[Shape, Landscape], rules: list[RulePredictions]
    ) -> Steps[list[Row]]:
        """Run the predicted cells of all rules and their neighbours at every target, and judge.

        Args:
            landscapes: the search at the tuned shape, and the grids at others that rules need.
            rules: empty if the search found no optimum.
        """
        plan, arm = self._plan, self._arm
        tuned = landscapes[plan.experiment.tune.shape]
        first = yield from self._run_at_targets(tuned, rules)
        rules = rules or self._without_rules(tuned)
        cells_by_shape = {shape: tuned.cells for shape, tuned in landscapes.items()} | first
        run_ids = [
            run.run_id
            for shape, cells in cells_by_shape.items()
            for run in plan.runs(arm, shape, cells[:1])[:1]
        ]
        searched = [
            run
            for shape, landscape in landscapes.items()
            for run in plan.runs(arm, shape, landscape.cells)
        ]
        rows = []
        for shape, there in self._targets.at.items():
            target = there.landscape(plan, arm, self._scheduler.results)
            best = optimum(target)
            at_best = () if best is None else tuple(there.runs(plan, arm, best))
            pairs = [
                (run, row)
                for run in (*searched, *there.every(plan, arm))
                if (row := self._scheduler.result_so_far(run)) is not None
            ]
            took = costs(plan, arm, shape, landscapes, pairs)
            left_out = sum(row["outcome"] == NOT_RUN for _, row in pairs)
            for rule in rules:
                verdict = self._judge(tuned, target, shape, rule, took)
                if left_out:
                    verdict = replace(verdict, reason=f"{verdict.reason}; {self._short(left_out)}")
                row = verdict_row(plan, arm, there, rule, verdict, target, run_ids)
                rows.append(row | further_columns(plan, self._searched, took, left_out))
                self._progress.verdict(rows[-1])
                if rule.predicted:
                    runs = tuple(there.runs(plan, arm, rule.predicted[shape].cell))
                    self.transferred.append(
                        Transferred(self.label, shape, rule.rule, runs, at_best, verdict.loss)
                    )
        return rows

    def _run_at_targets(
        self, tuned: Landscape, rules: Sequence[RulePredictions]
    ) -> Steps[dict[Shape, tuple[Cell, ...]]]:
        """Run the targets; return the cells that each began with: predictions and neighbours."""
        plan, arm = self._plan, self._arm
        targets = plan.experiment.targets
        predicted = {
            shape: [rule.predicted[shape].cell for rule in rules if rule.predicted]
            for shape in targets
        }
        near = {
            shape: tuple(dict.fromkeys(c for cell in cells for c in plan.neighbourhood(arm, cell)))
            for shape, cells in predicted.items()
        }
        yield from self._limits.measure(targets, [c for cells in near.values() for c in cells])
        first = {
            shape: self._without_unstable(shape, near[shape], keep=predicted[shape])
            for shape in targets
        }
        yield from self._targets.steps(arm, tuned, first, predicted)
        return first

    def _short(self, runs: int) -> str:
        budget = self._plan.experiment.budget
        assert budget is not None
        return (
            f"the budget of {budget.text} left out {runs} {'run' if runs == 1 else 'runs'}: raise "
            "it and run the same command again"
        )

    def _without_rules(self, tuned: Landscape) -> list[RulePredictions]:
        """Return that no rule predicts anything, as the search found no optimum."""
        reason = without_optimum(tuned).reason
        if self._search.causes and tuned.count(OutcomeLabel.FAILED):
            ((cause, _),) = self._search.causes.most_common(1)
            reason = f"{reason}; the most frequent cause: {cause}"
        return [RulePredictions(name, None, {}, reason) for name, _ in self._plan.rules]

    def _judge(
        self,
        tuned: Landscape,
        target: Landscape,
        shape: Shape,
        rule: RulePredictions,
        took: Costs | None,
    ) -> Verdict:
        if rule.law is None:
            return Verdict(reason=rule.note)
        cell, tolerance = rule.predicted[shape].cell, self._plan.experiment.transfer.tolerance
        untrained = self._plan.untrained_loss
        found = judge(tuned, target, cell, self._arm.space, tolerance, rule.law.base, untrained)
        added = self._searched[self._plan.experiment.tune.shape].added
        values = " and ".join(f"{rate_name(n)} {_list(v)}" for n, v in added.items())
        extension = f"the search was extended by {values}" if values else ""
        reasons = (found.reason, rule.note, extension, took.text if took else "")
        return replace(found, reason="; ".join(filter(None, reasons)))

    def _landscape(self, shape: Shape, cells: Sequence[Cell]) -> Steps[Landscape]:
        """Return the landscape of requested cells, once all their runs are done."""
        runs = self._plan.runs(self._arm, shape, cells)
        yield runs
        rows, seeds = self._scheduler.results(runs), len(self._plan.seeds)
        return Landscape.of(cells, [rows[i : i + seeds] for i in range(0, len(rows), seeds)])

    def _without_unstable(
        self, shape: Shape, cells: Sequence[Cell], keep: Sequence[Cell] = ()
    ) -> tuple[Cell, ...]:
        """Return the cells within the step limit at `shape` and those to `keep`.

        The runs of the other cells are counted and reported as skipped.
        """
        beyond = self._limits.beyond
        kept = tuple(cell for cell in cells if cell in keep or not beyond(cell, shape))
        if len(kept) < len(cells):
            runs = (len(cells) - len(kept)) * len(self._plan.seeds)
            self.skipped += runs
            self._progress.skipped(self.label, shape, runs)
        return kept


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
