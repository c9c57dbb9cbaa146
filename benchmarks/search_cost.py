"""The operations of a pruned search against those of the full grid, and what each finds.

    python benchmarks/search_cost.py [--ledger LEDGER] [--searches 20] [--pruner halving] [--json]

replays full grids: every search is run by mupc's own engine over a pool that answers from the
recorded curves of the full grid, once with `tune.prune` and once without, each time with three of
the recorded seeds. Beside it, at as many operations and on the same curves, Optuna's TPE with its
Hyperband pruner, which minimises the loss of one seed.

Ray Tune's ASHA is not compared. Without --ledger the grids are trained first, on digits. Found
within 5 % means that the chosen cell's loss, averaged over all recorded seeds, is at most 5 % above
that of the best cell, or no worse than the full grid's choice. `rank_at_3` is Spearman's
correlation, over cells, of the loss after a third of the updates with the final loss.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
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


def by_optuna(plan: AnyPlan, arm: Arm, recorded: Recorded, budget: float, seed: int) -> Cell:
    """Return the cell that TPE with Hyperband finds with so many trainings' worth of updates."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    config = plan.config(arm, plan.experiment.tune.shape)
    assert isinstance(config, TrainingConfig)
    rungs = geometric(config.steps / 9, 3, config.steps, config.interval)
    study = optuna.create_study(
        study_name=f"{arm.label} {seed}",
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True),
        pruner=optuna.pruners.HyperbandPruner(rungs[0], config.steps, 3),
    )
    cells, spent, best = arm.space.cells, 0.0, (math.inf, arm.space.cells[0])
    axes = {name: sorted({cell[name] for cell in cells}) for name in cells[0]}
    while spent < budget:
        trial = study.ask()
        cell = Cell(**{n: v[trial.suggest_int(n, 0, len(v) - 1)] for n, v in axes.items()})
        (run, *_) = plan.runs(arm, plan.experiment.tune.shape, [cell])
        outcome = recorded.outcomes[run.run_id]
        curve = dict(zip(outcome.curve.step, outcome.curve.train_loss, strict=True))
        for rung in rungs:
            value = float(curve.get(rung, math.nan))
            trial.report(value if math.isfinite(value) else 1e30, rung)
            if trial.should_prune():
                spent += rung / config.steps
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            loss = 1e30 if outcome.final_train_loss is None else outcome.final_train_loss
            spent += 1
            study.tell(trial, loss)
            best = min(best, (loss, cell), key=lambda pair: pair[0])
    return best[1]


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
        ours, full, tpe = [], [], []
        for number, seeds in enumerate(choices):
            tune = {**values["tune"], "seeds": list(seeds)}
            whole = mupc.Experiment.from_dict({**values, "tune": tune})
            pruned = mupc.Experiment.from_dict({**values, "tune": {**tune, "prune": pruner}})
            full.append(search(whole, recorded))
            ours.append(search(pruned, recorded))
            plan = plan_of(whole)
            each = work(plan.config(plan.arms[0], plan.experiment.tune.shape))
            budget = ours[-1].operations / each
            tpe.append(by_optuna(plan, plan.arms[0], recorded, budget, number))
        within = [regret(f.cell, truth) <= max(REGRET, regret(g.cell, truth)) for f, g in
                  zip(ours, full, strict=True)]  # fmt: skip
        rows.append(
            {
                "grid": f"{experiment.name} {variant.name}",
                "cells": len(truth),
                "fewer": sum(f.operations for f in full) / sum(f.operations for f in ours),
                "within": float(np.mean(within)),
                "full_within": float(np.mean([regret(f.cell, truth) <= REGRET for f in full])),
                "same_verdicts": float(
                    np.mean([a.verdicts == b.verdicts for a, b in zip(ours, full, strict=True)])
                ),
                "tpe_hyperband_within": float(
                    np.mean([regret(cell, truth) <= REGRET for cell in tpe])
                ),
                **{
                    f"rank_at_{share}": rank_correlation(truth_plan, recorded, truth, 1 / share)
                    for share in (10, 3, 2)
                },
            }
        )
    return rows


def grids(ledger: Path | None, *, quick: bool) -> Sequence[tuple[Experiment, Recorded]]:
    """Return the grids, trained first unless a ledger has them."""
    names = ("descent",) if quick else ("descent", "equilibrium")
    experiments = [spec(name, quick=quick) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        place = results.open(ledger or Path(folder), create=ledger is None)
        if ledger is None:
            with mupc.LocalPool() as pool:
                for experiment in experiments:
                    mupc.run(experiment, place, pool)
        recorded = Recorded.of(place)
    return [(experiment, recorded) for experiment in experiments]


def main() -> None:
    """Print the table, or its numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ledger", type=Path, help="ledger of an earlier call's grids")
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
