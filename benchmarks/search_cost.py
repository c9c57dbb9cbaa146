"""The operations of a pruned search against those of the full grid, and what each finds.

    python benchmarks/search_cost.py [--ledger LEDGER] [--searches 20] [--pruner halving] [--json]

replays full grids: every search is run by mupc's own engine over a pool that answers from the
recorded curves of the full grid, once with `tune.prune` and once without, each time with three of
the recorded seeds. Beside it, at as many operations and on the same curves, Optuna's TPE with its
Hyperband pruner, and random search with Ray Tune's ASHA. Both minimise the loss of a run, and first
stop runs after a tenth of the updates, as `halving` does.

The grids are trained first, on digits, except those that the ledger has. As good means that the
chosen cell's loss, averaged over all recorded seeds, is at most 5 % above that of the best cell, or
no worse than the full grid's choice. `rank_at_3` is Spearman's correlation, over cells, of the loss
after a third of the updates with the final loss.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

import mupc
import results
from pccore import Outcome, Status, TrainingConfig
from pccore.training.outcomes import Curve
from results.landscape import Cell
from transfer.engine.any_plan import AnyPlan, Arm
from transfer.engine.grouping import work
from transfer.engine.plan import plan_of
from transfer.engine.pool import Config, Group, GroupResult, Worker
from transfer.search.pruning import geometric
from transfer.search.samplers import WORST_LOSS
from transfer.spec.model import Experiment

REGRET = 0.05
SEEDS = 3
RATES = [0.256, 0.128, 0.064, 0.032, 0.016, 0.008, 0.004, 0.002]
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def spec(name: str, *, quick: bool) -> Experiment:
    """Return the grid of a kind of inference."""
    training: dict[str, Any] = {"batch_size": 64, "steps": 160, "eval_every": 8}
    tune: dict[str, Any] = {"width": 24, "depth": 3, "weight_lr": RATES, "seeds": 8}
    variants = ["mupc"]
    if name == "descent":
        tune["activity_lr"] = [64, 32, 16, 8, 4, 2, 1]
        variants = ["mupc", "sp"]
    else:
        tune["weight_lr"] = [1.024, 0.512, *RATES, 0.001, 0.0005]
        training["inference"] = {"scheme": "equilibrium"}
    if quick:
        training["steps"], training["eval_every"] = 40, 4
        tune |= {"width": 8, "depth": 2, "seeds": SEEDS, "weight_lr": RATES[::2]}
        if "activity_lr" in tune:
            tune["activity_lr"] = [16, 1]
        variants = ["mupc"]
    return mupc.Experiment.from_dict(
        {
            "name": name,
            "dataset": "digits",
            "variants": variants,
            "training": training,
            "tune": tune,
            "transfer": {"depths": [3 if quick else 6], "neighbourhood": "all"},
            "keep": "none",
        }
    )


@dataclass
class Recorded:
    """The outcomes of the runs of a ledger, by id."""

    outcomes: dict[str, Outcome]

    @classmethod
    def of(cls, ledger: results.Ledger) -> Self:
        curves = {
            str(run_id): Curve(
                step=some["step"].to_numpy(np.int64),
                train_loss=some["train_loss"].to_numpy(np.float32),
                test_loss=some["test_loss"].to_numpy(np.float32),
                test_accuracy=some["test_accuracy"].to_numpy(np.float32),
            )
            for run_id, some in ledger.curves().groupby("run_id")
        }
        found = {}
        for row in ledger.runs().to_dict("records"):
            loss, step = row["final_train_loss"], row["diverged_step"]
            found[str(row["run_id"])] = Outcome(
                Status(row["outcome"]),
                final_train_loss=None if math.isnan(loss) else float(loss),
                min_train_loss=None if math.isnan(row["min_train_loss"]) else row["min_train_loss"],
                test_loss=None if math.isnan(row["test_loss"]) else float(row["test_loss"]),
                test_accuracy=float(row["test_accuracy"]) if row["test_accuracy"] >= 0 else None,
                steps=int(row["steps_done"]),
                diverged_step=None if math.isnan(step) else int(step),
                curve=curves[str(row["run_id"])],
            )
        return cls(found)

    def until(self, run_id: str, step: int | None, config: Config) -> Outcome:
        """Return the outcome of a run that stops after an update, or of a whole one."""
        whole = self.outcomes[run_id]
        assert isinstance(config, TrainingConfig)
        early = step is not None and step < config.steps
        if not early or (whole.diverged_step or config.steps + 1) <= (step or 0):
            return whole
        kept = whole.curve.step <= step
        names = ("step", "train_loss", "test_loss", "test_accuracy")
        curve = Curve(**{name: getattr(whole.curve, name)[kept] for name in names})
        return Outcome(Status.PRUNED, steps=int(step or 0), curve=curve)


@dataclass
class ReplayPool:
    """Answers from recorded outcomes, and counts the operations that training would have taken."""

    recorded: Recorded
    tuned_depth: int
    slots: int = 1
    operations: float = 0.0
    _waiting: list[Group] = field(default_factory=list)

    def lanes(self, config: Config) -> int:
        return 16

    def submit(self, group: Group) -> None:
        self._waiting.append(group)

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        group = self._waiting.pop(0)
        config = group.config
        assert isinstance(config, TrainingConfig)
        last = group.until or config.steps
        if config.network.sized_parts()[0].depth == self.tuned_depth:
            done = len(group.lanes) * (last - group.begun)
            self.operations += work(config) * done / config.steps
        outcomes = tuple(self.recorded.until(each, group.until, config) for each in group.run_ids)
        snapshots = {
            run_id: b"replayed"
            for run_id, outcome in zip(group.run_ids, outcomes, strict=True)
            if outcome.status is Status.PRUNED
        }
        worker = Worker("cpu", "replay", 1)
        return [GroupResult(group, outcomes, 1.0, STARTED, worker, snapshots=snapshots)]

    def close(self) -> None:
        self._waiting = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass
class Found:
    """What a search found: its cell, its verdicts, its operations."""

    cell: Cell | None
    verdicts: tuple[str, ...]
    operations: float


def search(experiment: Experiment, recorded: Recorded) -> Found:
    """Run the engine over the recorded runs of one variant."""
    pool = ReplayPool(recorded, experiment.tune.depth)
    with tempfile.TemporaryDirectory() as folder:
        found = mupc.run(experiment, results.open(folder, create=True), pool)
    (optimum,) = found.optima.values()
    labels = tuple(str(row["verdict"]) for row in found.verdicts)
    return Found(optimum.cell, labels, pool.operations)


def losses(plan: AnyPlan, arm: Arm, recorded: Recorded) -> dict[Cell, float]:
    """Return the mean final loss of every cell over all recorded seeds; infinite if any failed."""
    found = {}
    for cell in arm.space.cells:
        runs = plan.runs(arm, plan.experiment.tune.shape, [cell])
        each = [recorded.outcomes[run.run_id].final_train_loss for run in runs]
        found[cell] = float(np.mean([math.inf if loss is None else loss for loss in each]))
    return found


def regret(cell: Cell | None, of: Mapping[Cell, float]) -> float:
    """Return the excess of a cell's loss over that of the best."""
    return math.inf if cell is None else of[cell] / min(of.values()) - 1


def as_good(
    cells: Sequence[Cell | None], full: Sequence[Cell | None], of: Mapping[Cell, float]
) -> float:
    """Return the share of searches whose cell is within `REGRET`, or as good as the full grid's."""
    pairs = zip(cells, full, strict=True)
    return float(np.mean([regret(c, of) <= max(REGRET, regret(f, of)) for c, f in pairs]))


def rank_correlation(
    plan: AnyPlan, recorded: Recorded, truth: Mapping[Cell, float], share: float
) -> float | None:
    """Return Spearman's correlation of the loss after a share of the updates with the final one.

    None where all cells are equal.
    """
    from scipy.stats import spearmanr

    early = []
    for cell in truth:
        runs = plan.runs(plan.arms[0], plan.experiment.tune.shape, [cell])
        curves = [recorded.outcomes[run.run_id].curve for run in runs]
        place = min(int(share * len(curves[0].step)), len(curves[0].step) - 1)
        losses = np.array([c.train_loss[place] if place < len(c.step) else np.nan for c in curves])
        early.append(float(np.where(np.isfinite(losses), losses, np.inf).mean()))
    if len(set(early)) == 1 or len(set(truth.values())) == 1:
        return None
    return float(spearmanr(early, list(truth.values())).statistic)


class PeerSearch:
    """The search of another library for one variant: what it may spend, and what it found.

    Its trials run one after the other, each a cell with one seed; a cell that is tried again runs
    with its next seed. A trial reports its loss at every evaluation, and ends where it diverges.

    Args:
        plan: the plan, with the seeds of this search.
        recorded: the outcomes of its runs.
        budget: trainings that it may spend.
    """

    def __init__(self, plan: AnyPlan, recorded: Recorded, budget: float) -> None:
        self._plan, self._recorded, self._budget = plan, recorded, budget
        config = plan.config(plan.arms[0], plan.experiment.tune.shape)
        assert isinstance(config, TrainingConfig)
        self.steps, self.first = (
            config.steps,
            geometric(config.steps / 10, 3, config.steps, config.interval)[0],
        )
        self.cells = plan.arms[0].space.cells
        self._tried = dict.fromkeys(self.cells, 0)
        self._spent, self._best = 0.0, (math.inf, self.cells[0])

    @property
    def over(self) -> bool:
        """Whether the budget is spent."""
        return self._spent >= self._budget

    @property
    def best(self) -> Cell:
        """The cell of the finished run with the lowest loss."""
        return self._best[1]

    def train(self, cell: Cell, stops: Callable[[int, float], bool]) -> float | None:
        """Return the final loss of a trial, `WORST_LOSS` if it diverges; None if it is stopped.

        Args:
            cell: what it tries.
            stops: whether the trial stops, given its updates and its loss.
        """
        runs = self._plan.runs(self._plan.arms[0], self._plan.experiment.tune.shape, [cell])
        outcome = self._recorded.outcomes[runs[self._tried[cell] % len(runs)].run_id]
        self._tried[cell] += 1
        curve = zip(outcome.curve.step.tolist(), outcome.curve.train_loss.tolist(), strict=True)
        for step, loss in curve:
            if not 0 < step < self.steps:
                continue
            ended = not math.isfinite(loss)
            if ended or stops(step, loss):
                self._spent += step / self.steps
                return WORST_LOSS if ended else None
        loss = outcome.final_train_loss
        self._spent += 1 if loss is not None else (outcome.diverged_step or self.steps) / self.steps
        if loss is None:
            return WORST_LOSS
        self._best = min(self._best, (loss, cell), key=lambda pair: pair[0])
        return loss


def by_optuna(peer: PeerSearch, seed: int) -> Cell:
    """Return the cell that Optuna's TPE finds with its Hyperband pruner of factor 3."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name=str(seed),
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True),
        pruner=optuna.pruners.HyperbandPruner(peer.first, peer.steps, 3),
    )
    axes = {name: sorted({cell[name] for cell in peer.cells}) for name in peer.cells[0]}

    while not peer.over:
        trial = study.ask()

        def stops(step: int, loss: float, trial: optuna.Trial = trial) -> bool:
            trial.report(loss, step)
            return trial.should_prune()

        cell = Cell(**{n: v[trial.suggest_int(n, 0, len(v) - 1)] for n, v in axes.items()})
        loss = peer.train(cell, stops)
        state = optuna.trial.TrialState.PRUNED if loss is None else None
        study.tell(trial, loss, state=state)
    return peer.best


@dataclass(frozen=True)
class RayTrial:
    """What Ray Tune's scheduler reads of a trial."""

    trial_id: str


def by_ray_tune(peer: PeerSearch, seed: int) -> Cell:
    """Return the cell that random search finds with Ray Tune's ASHA of factor 4, its default.

    Cells come in random order; once all were tried they come again. The scheduler is driven as Ray
    Tune's controller drives it with one trial at a time, but without a cluster.
    """
    from ray.tune.schedulers import ASHAScheduler, TrialScheduler

    scheduler = ASHAScheduler(
        "updates", "loss", "min", max_t=peer.steps, grace_period=peer.first, reduction_factor=4
    )
    draw, number = np.random.default_rng(seed), 0
    while True:
        for place in draw.permutation(len(peer.cells)):
            if peer.over:
                return peer.best
            trial, number = RayTrial(str(number)), number + 1
            scheduler.on_trial_add(None, trial)

            def stops(updates: int, loss: float, trial: RayTrial = trial) -> bool:
                result = {"updates": updates, "loss": loss}
                return scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP

            loss = peer.train(peer.cells[place], stops)
            if loss is None or loss == WORST_LOSS:
                scheduler.on_trial_remove(None, trial)
            else:
                scheduler.on_trial_complete(None, trial, {"updates": peer.steps, "loss": loss})


def compare(experiment: Experiment, recorded: Recorded, searches: int, pruner: Any) -> list[Any]:
    """Return a row of the table for each variant of a grid."""
    rows = []
    draw = np.random.default_rng(0)
    choices = [
        tuple(sorted(draw.choice(experiment.tune.seeds, SEEDS, replace=False).tolist()))
        for _ in range(searches)
    ]
    for variant in experiment.variants:
        values = {**experiment.to_dict(), "variants": [variant.name]}
        truth_plan = plan_of(mupc.Experiment.from_dict(values))
        truth = losses(truth_plan, truth_plan.arms[0], recorded)
        found: dict[str, list[Cell | None]] = {"ours": [], "tpe_hyperband": [], "asha": []}
        ours, full = [], []
        for number, seeds in enumerate(choices):
            tune = {**values["tune"], "seeds": list(seeds)}
            whole = mupc.Experiment.from_dict({**values, "tune": tune})
            pruned = mupc.Experiment.from_dict({**values, "tune": {**tune, "prune": pruner}})
            full.append(search(whole, recorded))
            ours.append(search(pruned, recorded))
            plan = plan_of(whole)
            each = work(plan.config(plan.arms[0], plan.experiment.tune.shape))
            budget = ours[-1].operations / each
            found["ours"].append(ours[-1].cell)
            found["tpe_hyperband"].append(by_optuna(PeerSearch(plan, recorded, budget), number))
            found["asha"].append(by_ray_tune(PeerSearch(plan, recorded, budget), number))
        rows.append(
            {
                "grid": f"{experiment.name} {variant.name}",
                "cells": len(truth),
                "fewer": sum(f.operations for f in full) / sum(f.operations for f in ours),
                "full_within": float(np.mean([regret(f.cell, truth) <= REGRET for f in full])),
                "same_verdicts": float(
                    np.mean([a.verdicts == b.verdicts for a, b in zip(ours, full, strict=True)])
                ),
                **{
                    f"{name}_as_good": as_good(cells, [each.cell for each in full], truth)
                    for name, cells in found.items()
                },
                **{
                    f"rank_at_{share}": rank_correlation(truth_plan, recorded, truth, 1 / share)
                    for share in (10, 3, 2)
                },
            }
        )
    return rows


def grids(ledger: Path | None, *, quick: bool) -> Sequence[tuple[Experiment, Recorded]]:
    """Return the grids, and train what a ledger does not have of them."""
    names = ("descent",) if quick else ("descent", "equilibrium")
    experiments = [spec(name, quick=quick) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        place = results.open(ledger or Path(folder), create=True)
        with mupc.LocalPool() as pool:
            for experiment in experiments:
                mupc.run(experiment, place, pool)
        recorded = Recorded.of(place)
    return [(experiment, recorded) for experiment in experiments]


def main() -> None:
    """Print the table, or its numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ledger", type=Path, help="ledger of the grids; none: they are not kept")
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--pruner", default="halving", help="a name, or a mapping in JSON")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    searches = 1 if args.quick else args.searches
    pruner = json.loads(args.pruner) if args.pruner.startswith("{") else args.pruner
    rows = [
        row
        for experiment, recorded in grids(args.ledger, quick=args.quick)
        for row in compare(experiment, recorded, searches, pruner)
    ]
    if args.json:
        print(json.dumps({f"{row['grid']}: {key}": value for row in rows
                          for key, value in row.items() if key != "grid"}))  # fmt: skip
        return
    print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]))
    for row in rows:
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
