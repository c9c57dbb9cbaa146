"""Pruners decide from curves; a pruned search stops runs, continues others, finds the optimum."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fewer import cases

import mupc
import results
from pccore import Outcome, Status
from pccore.training.outcomes import Curve
from results.early_losses import EarlyLosses
from results.landscape import Cell
from transfer.engine.pool import Group, GroupResult, Worker
from transfer.search.false_kills import replay_pruners
from transfer.search.pruning import (
    PRUNERS,
    Halving,
    Hyperband,
    LearningCurves,
    Median,
    Seeds,
    SuccessiveHalving,
    extrapolated,
    geometric,
)
from transfer.spec.errors import SpecError

STEPS, EVERY = 90, 10
ETAS = [0.8, 0.4, 0.2, 0.1, 0.05, 0.025, 0.0125]
SPEC: dict[str, Any] = {
    "name": "pruned",
    "dataset": "digits",
    "variants": ["mupc"],
    "training": {"batch_size": 64, "steps": STEPS, "eval_every": EVERY},
    "tune": {"width": 4, "depth": 2, "weight_lr": ETAS, "activity_lr": [4, 1], "seeds": 3},
    "transfer": {"depths": [3]},
    "keep": "none",
}


def power(scale: float, slope: float) -> list[tuple[int, float]]:
    return [(step, scale * step**-slope) for step in range(EVERY, STEPS + 1, EVERY)]


def test_rungs_are_evaluations() -> None:
    assert geometric(10, 3, 90, 10) == (10, 30)
    assert geometric(12, 3, 90, 10) == (20, 40)
    assert geometric(100, 3, 90, 10) == ()


def test_power_law_is_extrapolated_exactly() -> None:
    curve = power(2.0, 0.7)[:4]
    assert extrapolated(curve, STEPS, 1.0) == pytest.approx(2.0 * STEPS**-0.7)
    assert extrapolated(curve, STEPS, 0.0) == curve[-1][1]


def test_halving_keeps_the_best_third_and_slow_starters_that_fall_faster() -> None:
    race = Halving(factor=3, fewest=1, slope=1.0).race(STEPS, EVERY)
    curves = {0: power(1.0, 0.0)[:3], 1: power(6.0, 0.5)[:3], 2: power(1.1, 0.0)[:3]}
    assert curves[1][-1][1] > curves[0][-1][1]  # behind now, ahead at the end
    assert race.survivors(30, curves, [0, 1, 2]) == {1}


def test_curves_stop_only_what_cannot_reach_the_best() -> None:
    race = LearningCurves().race(STEPS, EVERY)
    flat, falling, best = power(3.0, 0.0)[:3], power(6.0, 0.5)[:3], power(1.0, 0.0)[:3]
    assert race.survivors(30, {0: flat, 1: falling, 2: best}, [0, 1, 2]) == {1, 2}


@pytest.mark.parametrize("pruner", [Median(startup=2), SuccessiveHalving(), Hyperband()])
def test_pruners_of_optuna_stop_the_worst_of_later_cells(pruner: Any) -> None:
    race = pruner.race(STEPS, EVERY)
    (first, *_) = pruner.rungs(STEPS, EVERY)
    for cell in range(6):
        race.survivors(first, {cell: [(first, 0.1)]}, [cell])
        race.finished(cell, [(step, 0.1) for step in pruner.rungs(STEPS, EVERY)], 0.1)
    stopped = [
        cell for cell in range(6, 12) if not race.survivors(first, {cell: [(first, 9.0)]}, [cell])
    ]
    # One of Hyperband's brackets stops nothing at the first rung.
    assert len(stopped) >= (1 if isinstance(pruner, Hyperband) else 6)


@pytest.mark.parametrize(
    ("prune", "sentence"),
    [
        ("halvin", "did you mean 'halving'"),
        ({"name": "halving", "factor": 1}, "factor must be"),
        ({"name": "halving", "first": 0}, "first must be"),
    ],
)
def test_errors_name_the_key_and_the_nearest(prune: object, sentence: str) -> None:
    with pytest.raises(SpecError) as error:
        mupc.Experiment.from_dict({**SPEC, "tune": {**SPEC["tune"], "prune": prune}})
    assert "tune.prune" in str(error.value)
    assert sentence in str(error.value)


@pytest.mark.parametrize("name", PRUNERS)
def test_spec_round_trip(name: str) -> None:
    experiment = mupc.Experiment.from_dict({**SPEC, "tune": {**SPEC["tune"], "prune": name}})
    assert mupc.Experiment.from_dict(experiment.to_dict()) == experiment


class CurvePool:
    """Loss (1 + |log2(eta / 0.1)|) (1 + seed / 100) step^-1/2, stopped where a group says."""

    slots = 2

    def __init__(self, groups_before_death: int | None = None) -> None:
        self.waiting: list[Group] = []
        self.updates = 0
        self._left = groups_before_death

    def lanes(self, config: Any) -> int:
        return 4

    def submit(self, group: Group) -> None:
        self.waiting.append(group)

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt
        group = self.waiting.pop()
        last = group.until or STEPS
        outcomes = tuple(self._outcome(lane, last) for lane in group.lanes)
        self.updates += len(group.lanes) * (last - group.begun)
        snapshots = {} if last == STEPS else dict.fromkeys(group.run_ids, b"state")
        worker = Worker("cpu", "here", 1)
        now = datetime.now(UTC)
        return [GroupResult(group, outcomes, 1.0, now, worker, snapshots=snapshots)]

    def _outcome(self, lane: Any, last: int) -> Outcome:
        steps = np.arange(EVERY, last + 1, EVERY)
        scale = (1 + abs(np.log2(lane.weight_lr / 0.1))) * (1 + lane.seed / 100)
        losses = (scale * lane.activity_lr**-0.1 * steps**-0.5).astype(np.float32)
        curve = Curve(steps, losses, losses, np.full(len(steps), 0.9, np.float32))
        if last < STEPS:
            return Outcome(Status.PRUNED, steps=last, curve=curve)
        loss = float(losses[-1])
        return Outcome(
            Status.TRAINED,
            final_train_loss=loss,
            min_train_loss=loss,
            test_loss=loss,
            test_accuracy=0.9,
            steps=STEPS,
            curve=curve,
        )

    def close(self) -> None: ...

    def __enter__(self) -> "CurvePool":
        return self

    def __exit__(self, *error: object) -> None: ...


def searched(folder: Path, prune: object, pool: CurvePool) -> mupc.TransferResult:
    experiment = mupc.Experiment.from_dict({**SPEC, "tune": {**SPEC["tune"], "prune": prune}})
    return mupc.run(experiment, results.open(folder, create=True), pool)


def tuned(folder: Path) -> Any:
    ledger = results.open(folder)
    rows = ledger.runs(["run_id", "outcome", "steps_done", "final_train_loss"], phase="tune")
    return rows.sort_values("run_id", ignore_index=True)


@pytest.mark.parametrize("prune", ["halving", "curves", "seeds", "median", "hyperband"])
def test_pruned_search_finds_the_optimum_with_fewer_updates(prune: str, tmp_path: Path) -> None:
    pool, full = CurvePool(), CurvePool()
    found = searched(tmp_path / "pruned", prune, pool).optima["mupc"]
    assert found == searched(tmp_path / "full", None, full).optima["mupc"]
    assert pool.updates < full.updates
    rows = tuned(tmp_path / "pruned")
    assert rows.loc[rows["outcome"].eq("pruned"), "final_train_loss"].isna().all()
    assert rows.loc[rows["outcome"].eq("trained"), "steps_done"].eq(STEPS).all()
    assert not results.open(tmp_path / "pruned").checkpoints.groups()


def test_halving_stops_at_rungs_and_finishes_the_neighbours(tmp_path: Path) -> None:
    searched(tmp_path, {"name": "halving", "factor": 3, "first": 10}, CurvePool())
    rows = results.open(tmp_path).runs(phase="tune")
    stopped = rows[rows["outcome"].eq("pruned")]
    assert set(stopped["steps_done"]) <= {10, 30}
    assert len(stopped) > 0
    near = rows[rows["weight_lr"].isin([0.2, 0.1, 0.05])]
    assert near["outcome"].eq("trained").all()
    assert len(near[near["weight_lr"].eq(0.1) & near["activity_lr"].eq(4)]) == 3


class LuckyPool(CurvePool):
    """The first seed of eta 0.2, beta 4 has a quarter of the loss that it has with the others."""

    def _outcome(self, lane: Any, last: int) -> Outcome:
        found = super()._outcome(lane, last)
        if (lane.weight_lr, lane.activity_lr, lane.seed) != (0.2, 4, 0):
            return found
        assert found.final_train_loss is not None
        return replace(found, final_train_loss=found.final_train_loss / 4)


def test_a_lucky_cell_gets_seeds_until_another_is_better(tmp_path: Path) -> None:
    """By the pool's formula eta 0.2 is twice as bad as 0.1: (1/4 + 1) / 2 of 2 is above 1."""
    found = searched(tmp_path, "seeds", LuckyPool())
    assert found.optima["mupc"].cell == Cell(0.1, 4)
    counts = results.open(tmp_path).runs(phase="tune").groupby(["weight_lr", "activity_lr"]).size()
    assert counts[counts > 1].to_dict() == {(0.2, 4.0): 2, (0.1, 4.0): 3}


def test_fewest_trainings_are_those_worked_out_by_hand() -> None:
    halving = Halving(factor=3, first=10, fewest=2)  # 14 cells to 10, 5 to 30, 2 to 90 updates
    rungs = (14 * 10 + 5 * 20 + 2 * 60) / 90
    assert halving.fewest_trainings(14, 3, 90, 10) == pytest.approx(rungs + 2)
    assert halving.fewest_trainings(14, 3, 90, 10, in_flight=1) == pytest.approx(14 + 2)
    every = Halving(factor=3, first=10, grow_seeds=False)
    assert every.fewest_trainings(14, 3, 90, 10) == pytest.approx(3 * rungs)
    assert Seeds().fewest_trainings(14, 3, 1, 1) == 14 + 2
    assert LearningCurves(first=10).fewest_trainings(14, 3, 90, 10) == pytest.approx(14 / 9)


def test_expected_trainings_add_some_for_each_neighbour() -> None:
    halving, few = Halving(factor=3, first=10), (14, 3, 90, 10)
    least = halving.fewest_trainings(*few)
    assert halving.expected_trainings(*few, 0) == least
    assert halving.expected_trainings(*few, 2) == pytest.approx(least + 2 * (0.4 + 2 * 0.3))
    assert halving.expected_trainings(2, 3, 90, 10, 8) == 2 * 3  # no more than every cell in full
    assert Seeds().expected_trainings(14, 3, 1, 1, 8) == Seeds().fewest_trainings(14, 3, 1, 1)
    assert LearningCurves().expected_trainings(*few, 2) is None


@pytest.mark.parametrize("prune", cases(["halving", "seeds", "curves", "median"], 2))
def test_a_search_takes_no_less_than_its_bound(prune: str, tmp_path: Path) -> None:
    pool, full = CurvePool(), CurvePool()
    searched(tmp_path / "pruned", prune, pool)
    searched(tmp_path / "full", None, full)
    cells = len(ETAS) * 2
    at_target = full.updates - cells * 3 * STEPS
    least = PRUNERS[prune]().fewest_trainings(cells, 3, STEPS, EVERY)
    assert least * STEPS <= pool.updates - at_target <= cells * 3 * STEPS


@pytest.mark.parametrize("prune", cases(["halving", "seeds", "median"], 2))
def test_a_pruned_search_grows_until_the_optimum_is_inside(prune: str, tmp_path: Path) -> None:
    """Eta grows from 0.2 and 0.4 down to 0.05, and beta by the one value that is allowed."""
    found = {}
    for place, how in (("pruned", prune), ("full", None)):
        tune = {**SPEC["tune"], "weight_lr": [1.6, 0.8, 0.4, 0.2], "prune": how, "extend": 2}
        tune["activity_lr"] = [4, 2]
        experiment = mupc.Experiment.from_dict({**SPEC, "tune": tune})
        pool = CurvePool()
        result = mupc.run(experiment, results.open(tmp_path / place, create=True), pool)
        found[place] = result.optima["mupc"], result.verdicts[0]["values_added"], pool.updates
    assert found["pruned"][:2] == found["full"][:2]
    assert found["full"][0].cell == Cell(0.1, 16.0)
    assert found["pruned"][2] < found["full"][2]
    rows = results.open(tmp_path / "pruned").runs(phase="tune")
    assert set(rows["weight_lr"]) == {1.6, 0.8, 0.4, 0.2, 0.1, 0.05}
    assert not results.open(tmp_path / "pruned").checkpoints.groups()
    grown = rows[rows["weight_lr"].eq(0.05)]
    assert len(grown) < 3 * 4  # by the same rule: not every cell with all seeds


@pytest.mark.parametrize("deaths", cases([[6, 2], [5]], 1))
def test_an_interrupted_extension_makes_the_same_decisions(
    deaths: list[int], tmp_path: Path
) -> None:
    tune = {**SPEC["tune"], "weight_lr": [0.8, 0.4, 0.2], "prune": "halving", "extend": 2}
    experiment = mupc.Experiment.from_dict({**SPEC, "tune": tune})

    def go(place: str, groups: int | None = None) -> None:
        mupc.run(experiment, results.open(tmp_path / place, create=True), CurvePool(groups))

    go("whole")
    for groups in deaths:
        with pytest.raises(KeyboardInterrupt):
            go("killed", groups)
    go("killed")
    assert tuned(tmp_path / "killed").equals(tuned(tmp_path / "whole"))


@pytest.mark.parametrize("prune", ["halving", "curves", "median", "hyperband"])
def test_replay_makes_as_many_updates_as_the_search(prune: str, tmp_path: Path) -> None:
    spec = {**SPEC, "tune": {**SPEC["tune"], "seeds": [3]}}
    pool, full = CurvePool(), CurvePool()
    for place, used, how in (("pruned", pool, prune), ("full", full, None)):
        experiment = mupc.Experiment.from_dict({**spec, "tune": {**spec["tune"], "prune": how}})
        mupc.run(experiment, results.open(tmp_path / place, create=True), used)
    (early,) = results.open(tmp_path / "full").early_losses(phase="tune")
    replay = replay_pruners(early, {prune: PRUNERS[prune]()})[prune]
    whole = len(ETAS) * 2 * STEPS
    assert replay.updates * whole - whole == pytest.approx(pool.updates - full.updates)
    assert replay.searches == 1
    assert replay.missed == 0


def landscape(early: list[list[float]], final: list[float]) -> EarlyLosses:
    """One seed of cells along eta, with losses after 1, 3 and 9 updates."""
    cells = tuple(Cell(10.0**place) for place in range(len(final)))
    losses = np.array([[*some, end] for some, end in zip(early, final, strict=True)])
    return EarlyLosses({}, cells, np.array([1, 3, 9]), losses[:, None], np.array(final)[:, None])


def test_false_kills_are_those_worked_out_by_hand() -> None:
    # The best third of six cells continues after 1 update, and both of these, as two always do.
    early = [[1.0, 1], [2, 2], [3, 3], [4, 4], [np.inf, np.inf], [6, 6]]
    halving = {"halving": Halving(factor=3, fewest=2, slope=0.0)}
    slow = landscape(early, [0.9, 0.8, 0.91, 0.3, np.inf, 0.31])
    replay = replay_pruners(slow, halving, regret=0.05)["halving"]
    # Cells 3 and 5 are the good ones, and both are stopped after 1 update. The best of those that
    # are left is cell 1, whose neighbours 0 and 2 are finished, which finds neither.
    assert (replay.rungs, replay.good, replay.stopped) == ((1, 3), 2, 2)
    assert (replay.searches, replay.missed, replay.false_kill_rate) == (1, 1, 1.0)
    # 9 updates of cells 0, 1 and 2, 1 of 3 and 5 and of the one that diverged; 9 of 5 cells and 1.
    assert replay.updates == pytest.approx((3 * 9 + 3) / (5 * 9 + 1))
    near = landscape(early, [0.9, 0.8, 0.5, 0.3, np.inf, 0.9])
    found = replay_pruners(near, halving, regret=0.05)["halving"]
    assert (found.good, found.stopped, found.missed) == (1, 1, 0)  # by way of cell 2


def test_without_a_rung_there_is_nothing_to_replay() -> None:
    early = landscape([[1.0, 1]] * 3, [1.0] * 3)
    late = EarlyLosses({}, early.cells, early.updates[2:], early.early[:, :, 2:], early.losses)
    assert replay_pruners(late) == {}


@pytest.mark.parametrize("deaths", cases([[2, 1], [4], [1], [3, 3]], 2))
def test_interrupted_search_makes_the_same_decisions(deaths: list[int], tmp_path: Path) -> None:
    searched(tmp_path / "whole", "halving", CurvePool())
    for groups in deaths:
        with pytest.raises(KeyboardInterrupt):
            searched(tmp_path / "killed", "halving", CurvePool(groups))
    searched(tmp_path / "killed", "halving", CurvePool())
    assert tuned(tmp_path / "killed").equals(tuned(tmp_path / "whole"))


def test_without_pruning_the_same_runs_are_trained_in_full(tmp_path: Path) -> None:
    searched(tmp_path, "halving", CurvePool())
    before = set(tuned(tmp_path)["run_id"])
    searched(tmp_path, None, CurvePool())
    after = tuned(tmp_path)
    assert before <= set(after["run_id"])
    assert after["outcome"].eq("trained").all()
    assert len(after) == len(ETAS) * 2 * 3
