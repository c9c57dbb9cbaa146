"""Regret, drift and verdict labels on known landscapes."""

import math
import re
from typing import Any

import numpy as np
import pytest

from pccore import Status
from results.landscape import Landscape, optimum
from transfer import Cell, VerdictLabel
from transfer.judge.verdict import Verdict, judge, without_optimum
from transfer.space import Grid, Range, Space

ETAS, BETAS = (0.01, 0.1, 1.0, 10.0), (0.5, 1.0, 2.0, 4.0, 8.0)
SPACE = Space(Grid(ETAS), Grid(BETAS))
CENTRE = Cell(0.1, 2.0)
TOLERANCE = 0.1
LOG = math.log10


def landscape(
    best: Cell = CENTRE,
    cells: tuple[Cell, ...] = SPACE.cells,
    *,
    noise: float = 0.001,
    seeds: int = 3,
    curvature: float = 1.0,
    changes: dict[tuple[Cell, int], Any] | None = None,
) -> Landscape:
    """Return exp(curvature x squared distance in decades from `best`), with noise per seed.

    `changes` replaces the loss, or the status, of single runs.
    """
    generator = np.random.default_rng(7)
    rows = []
    for cell in cells:
        away = (LOG(cell.weight_lr / best.weight_lr)) ** 2
        if cell.activity_lr is not None and best.activity_lr is not None:
            away += LOG(cell.activity_lr / best.activity_lr) ** 2
        row = []
        for seed in range(seeds):
            value = math.exp(curvature * away + noise * generator.standard_normal())
            row.append(run((changes or {}).get((cell, seed), value)))
        rows.append(row)
    return Landscape.of(cells, rows)


def run(value: Any) -> dict[str, Any]:
    """Return a row of `runs` for a trained run with this loss, or a run with this status."""
    if isinstance(value, Status):
        loss, accuracy = (2.3, 0.1) if value is Status.AT_CHANCE else (None, None)
        return {
            "outcome": value,
            "final_train_loss": loss,
            "min_train_loss": loss,
            "test_accuracy": accuracy,
        }
    return {
        "outcome": Status.TRAINED,
        "final_train_loss": value,
        "min_train_loss": value / 2,
        "test_accuracy": 0.9,
    }


def test_shallow_transfer_is_flagged() -> None:
    """Seeds with 5, 4 and 3 of 9 layers: the median, 4, is fewer than half."""
    tuned, rows = landscape(), []
    for cell in SPACE.cells:
        away = abs(LOG(cell.weight_lr / 0.1)) + abs(LOG((cell.activity_lr or 1) / 2))
        rows.append([run(1.0 + away) | {"layers": 9, "layers_learned": n} for n in (5, 4, 3)])
    found = verdict(Landscape.of(SPACE.cells, rows), tuned)
    assert (found.label, found.layers, found.layers_learned) == (VerdictLabel.HELD, 9, 4)
    assert found.shallow is True
    assert found.reason.endswith("; but only 4 of 9 layers learned")
    for row in rows[SPACE.cells.index(CENTRE)]:
        row["layers_learned"] = 5
    found = verdict(Landscape.of(SPACE.cells, rows), tuned)
    assert (found.shallow, "layers" in found.reason) == (False, False)
    assert verdict(landscape()).shallow is None  # rows of earlier versions


def constant(value: float) -> list[dict[str, Any]]:
    return [run(value) | {"test_accuracy": accuracy} for accuracy in (0.7, 0.8, 0.9)]


def test_numbers_of_a_transfer_without_noise() -> None:
    """The other cell is better by a third: a regret of log 1.5, which three equal seeds show."""
    better = Cell(1.0, 2.0)
    rows = [
        constant(1.5 if cell == CENTRE else 1.0 if cell == better else 3.0) for cell in SPACE.cells
    ]
    found = verdict(Landscape.of(SPACE.cells, rows))
    assert found.label is VerdictLabel.DRIFTED
    assert found.accuracy == pytest.approx(0.8)
    assert found.accuracy_std == pytest.approx(0.1)  # of a sample: 3 - 1 degrees of freedom
    assert found.regret is not None
    assert found.regret.value == pytest.approx(math.log(1.5), abs=0.01)
    assert found.regret.low < math.log(1.5) < found.regret.high
    assert found.probability == 0
    low, high = (100 * math.expm1(bound) for bound in (found.regret.low, found.regret.high))
    assert found.reason.startswith(f"the loss at {CENTRE} is ")
    assert found.reason.endswith(
        f"% above the best of {len(SPACE.cells)} cells (95% interval {low:.3g}% to {high:.3g}%), "
        "beyond the tolerance of 10%"
    )


def test_two_seeds_have_a_deviation_and_one_has_none() -> None:
    def of(seeds: int) -> Verdict:
        rows = [constant(1.0 if cell == CENTRE else 2.0)[:seeds] for cell in SPACE.cells]
        return verdict(Landscape.of(SPACE.cells, rows), landscape(seeds=seeds))

    assert of(2).accuracy_std == pytest.approx(0.1 / math.sqrt(2))
    assert of(1).accuracy_std is None


def test_regret_that_equals_the_tolerance_has_held() -> None:
    rows = [constant(1.0 if cell == CENTRE else 2.0) for cell in SPACE.cells]
    found = judge(landscape(), Landscape.of(SPACE.cells, rows), CENTRE, SPACE, tolerance=0.0)
    assert (found.label, found.probability) == (VerdictLabel.HELD, 1.0)


def test_half_of_the_layers_is_not_shallow() -> None:
    cases = ((9, 4, True), (10, 5, False), (9, 5, False), (9, None, None), (None, None, None))
    for layers, learned, shallow in cases:
        assert Verdict(layers=layers, layers_learned=learned).shallow is shallow


def everywhere(status: Status, *cells: Cell, seeds: tuple[int, ...] = (0, 1, 2)) -> Any:
    return {(cell, seed): status for cell in cells for seed in seeds}


def verdict(target: Landscape, tuned: Landscape | None = None, space: Space = SPACE) -> Verdict:
    tuned = tuned or landscape()
    cell = optimum(tuned)
    assert cell is not None
    return judge(tuned, target, cell, space, TOLERANCE)


NEAR = SPACE.near(CENTRE, 1)


def test_unmoved_optimum_has_held() -> None:
    found = verdict(landscape())
    assert found.label is VerdictLabel.HELD
    assert found.regret is not None
    assert (found.regret.value, found.regret.low) == (0, 0)
    assert found.regret.high < 0.02
    assert found.drift is not None
    assert found.optimum is not None
    for name, best in (("weight_lr", 0.1), ("activity_lr", 2.0)):
        drift, optimal = found.drift[name], found.optimum[name]
        assert drift.low < 0 < drift.high
        assert drift.value == pytest.approx(0, abs=0.1)
        assert optimal.low < best < optimal.high
    assert found.best == found.cell == CENTRE
    assert found.loss == pytest.approx(1, abs=0.01)
    assert found.minimum == pytest.approx(found.loss / 2)
    assert found.accuracy == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("eta", "beta"), [(0.1, 4.0), (0.1, 1.0), (1.0, 2.0), (1.0, 4.0), (1.0, 1.0)]
)
def test_drift_is_measured_in_octaves(eta: float, beta: float) -> None:
    found = verdict(landscape(Cell(eta, beta), curvature=2.0))
    distance = LOG(eta / 0.1) ** 2 + LOG(beta / 2) ** 2
    assert found.regret is not None
    assert found.regret.value == pytest.approx(2.0 * distance, abs=0.015)
    assert found.regret.low <= 2.0 * distance <= found.regret.high
    assert found.drift is not None
    for name, shift in (("weight_lr", math.log2(eta / 0.1)), ("activity_lr", math.log2(beta / 2))):
        drift = found.drift[name]
        assert drift.low <= shift <= drift.high
        assert drift.value == pytest.approx(shift, abs=0.2)
    assert found.label is (
        VerdictLabel.DRIFTED if 2.0 * distance > math.log(1.1) else VerdictLabel.INCONCLUSIVE
    )


def test_achievable_regret_is_against_the_best_rates_between_the_cells() -> None:
    """The optimum is half an octave of beta above the cell; the next cell is as good as it."""
    found = verdict(landscape(Cell(0.1, 2 * math.sqrt(2)), curvature=2.0), landscape())
    assert found.regret is not None
    assert found.achievable is not None
    exact = 2.0 * LOG(math.sqrt(2)) ** 2
    assert found.regret.value < 0.01 < exact < found.achievable.high < 0.2
    assert found.achievable.low <= exact


def test_shift_within_the_tolerance_has_held() -> None:
    """An octave of beta is 0.3 decades, where the loss is exp(0.06) = 1.065 times the best."""
    found = verdict(landscape(Cell(0.1, 4.0), curvature=0.7))
    assert found.label is VerdictLabel.HELD
    assert found.best == Cell(0.1, 4.0)
    assert found.regret is not None
    assert found.regret.value == pytest.approx(0.7 * LOG(2) ** 2, abs=0.01)
    assert "% above the best of 20 cells (95% interval " in found.reason
    assert "outermost" not in found.reason
    near = verdict(landscape(Cell(0.1, 4.0), NEAR, curvature=0.7))
    assert near.label is VerdictLabel.HELD
    assert near.reason.endswith("the best cell, eta 0.1, beta 4, is among the outermost that ran")


def test_regret_near_the_tolerance_is_inconclusive() -> None:
    """An octave of beta raises the loss by exp(0.09) = 1.095, a tenth of the noise off 10%."""
    found = verdict(landscape(Cell(0.1, 4.0), noise=0.1))
    assert found.label is VerdictLabel.INCONCLUSIVE
    assert found.regret is not None
    assert found.regret.low <= math.log(1.1) < found.regret.high
    assert found.probability is not None
    assert 0.05 < found.probability < 0.95
    assert f"with a probability of {100 * found.probability:.0f}%" in found.reason


def test_inconclusive_verdict_says_how_many_seeds_would_decide() -> None:
    """Two means of n seeds, d from the limit, need n = 2 (1.65 sigma / d)^2."""
    found = verdict(landscape(Cell(0.1, 4.0), noise=0.1))
    assert found.regret is not None
    counted = re.search(r"about (\d+) seeds would be needed", found.reason)
    assert counted is not None
    away = abs(found.regret.value - math.log(1.1))
    for_noise = [2 * (1.65 * sigma / away) ** 2 for sigma in (0.06, 0.16)]
    assert max(4, for_noise[0]) <= int(counted[1]) <= max(4, math.ceil(for_noise[1]))


@pytest.mark.parametrize(
    ("best", "text"),
    [
        (Cell(0.01, 2.0), "the tuned optimum, eta 0.01, beta 2, is at the lowest eta searched"),
        (Cell(0.1, 8.0), "highest beta"),
        (Cell(10.0, 0.5), "highest eta and lowest beta"),
    ],
)
def test_tuned_optimum_on_the_edge(best: Cell, text: str) -> None:
    found = verdict(landscape(best), landscape(best))
    assert found.label is VerdictLabel.EDGE
    assert text in found.reason


def test_optimum_that_moves_to_the_edge() -> None:
    tuned = landscape(Cell(0.1, 4.0))
    within = verdict(landscape(Cell(0.1, 8.0)), tuned)
    assert within.label is VerdictLabel.EDGE  # exp(0.09), within the tolerance
    assert "the optimum at the target, eta 0.1, beta 8" in within.reason
    assert verdict(landscape(Cell(0.1, 8.0), curvature=9), tuned).label is VerdictLabel.DRIFTED


@pytest.mark.parametrize("status", [Status.DIVERGED, Status.AT_CHANCE])
@pytest.mark.parametrize("seeds", [(0, 1), (0, 1, 2)])
def test_transferred_cell_that_does_not_train_has_drifted(
    status: Status, seeds: tuple[int, ...]
) -> None:
    found = verdict(landscape(changes=everywhere(status, CENTRE, seeds=seeds)))
    assert found.label is VerdictLabel.DRIFTED
    assert found.loss is None
    assert f"{3 - len(seeds)} of 3 seeds trained at eta 0.1, beta 2" in found.reason
    assert found.best is not None
    assert found.best != CENTRE
    # The accuracy of runs at chance level is not mixed with that of trained runs.
    assert found.accuracy == (pytest.approx(0.1) if status is Status.AT_CHANCE else None)


def test_one_untrained_seed_is_inconclusive() -> None:
    found = verdict(landscape(changes=everywhere(Status.DIVERGED, CENTRE, seeds=(1,))))
    assert found.label is VerdictLabel.INCONCLUSIVE
    assert "only 2 of 3 seeds trained" in found.reason
    assert found.loss == pytest.approx(1, abs=0.01)


def test_cell_with_untrained_seeds_is_never_the_best() -> None:
    cheat = {
        (Cell(0.1, 4.0), 0): 1e-9,
        (Cell(0.1, 4.0), 1): 1e-9,
        (Cell(0.1, 4.0), 2): Status.DIVERGED,
    }
    found = verdict(landscape(changes=cheat))
    assert found.best == CENTRE
    assert found.label is VerdictLabel.HELD


@pytest.mark.parametrize("status", [Status.DIVERGED, Status.AT_CHANCE, Status.FAILED])
def test_verdict_if_nothing_trains_at_the_target(status: Status) -> None:
    found = verdict(landscape(changes=everywhere(status, *SPACE.cells)))
    if status is Status.FAILED:  # the machine's fault says nothing about the network
        assert found.label is VerdictLabel.INCONCLUSIVE
    else:
        assert found.label is VerdictLabel.UNTRAINED
        assert f"60 {status.replace('_', ' ')}" in found.reason
    assert (found.loss, found.best, found.best_loss, found.regret) == (None, None, None, None)


def test_failed_run_is_missing_and_its_cell_stays() -> None:
    """The best cell of the target lacks a run: it is the best all the same."""
    better = Cell(1.0, 2.0)
    whole = verdict(landscape(better, curvature=2.0))
    other = verdict(
        landscape(better, curvature=2.0, changes=everywhere(Status.FAILED, better, seeds=(0,)))
    )
    assert whole.label is other.label is VerdictLabel.DRIFTED
    assert whole.best == other.best == better
    assert "best of 20 cells" in whole.reason
    assert "best of 20 cells" in other.reason
    assert other.reason.endswith(f"; 1 run failed at {better}, and the same command retries them")
    both = everywhere(Status.FAILED, better, CENTRE, seeds=(0,))
    assert (
        f"2 runs failed at 2 cells, {CENTRE} among them" in verdict(landscape(changes=both)).reason
    )


def test_failed_runs_of_the_transferred_cell_leave_its_other_seeds() -> None:
    one = verdict(landscape(changes=everywhere(Status.FAILED, CENTRE, seeds=(0,))))
    assert one.label is VerdictLabel.HELD
    two = verdict(landscape(changes=everywhere(Status.FAILED, CENTRE, seeds=(0, 1))))
    assert two.label is VerdictLabel.INCONCLUSIVE
    assert "one seed gives no interval" in two.reason
    none = verdict(landscape(changes=everywhere(Status.FAILED, CENTRE)))
    assert (none.label, none.regret) == (VerdictLabel.INCONCLUSIVE, None)
    assert "all runs failed at eta 0.1, beta 2: run the same command again" in none.reason


def test_transferred_cell_without_rivals_is_inconclusive() -> None:
    """It is the best of one: nothing that trained can be better."""
    others = [cell for cell in NEAR if cell != CENTRE]
    found = verdict(landscape(cells=NEAR, changes=everywhere(Status.DIVERGED, *others)))
    assert (found.label, found.regret) == (VerdictLabel.INCONCLUSIVE, None)
    assert found.reason == (
        f"no other cell trained with all of its seeds: nothing to compare {CENTRE} to"
    )


def test_diverged_seed_of_a_neighbour_leaves_a_finite_interval() -> None:
    found = verdict(landscape(changes=everywhere(Status.DIVERGED, Cell(1.0, 2.0), seeds=(1,))))
    assert found.label is VerdictLabel.HELD
    assert found.regret is not None
    assert found.regret.bounded
    assert "best of 19 cells" in found.reason


def test_drift_beyond_the_cells_that_ran_has_an_open_side() -> None:
    """The optimum is a decade above the highest eta that ran at the target."""
    near = tuple(cell for cell in SPACE.cells if cell.weight_lr < 5)
    found = verdict(landscape(Cell(10.0, 2.0), near))
    assert found.drift is not None
    assert found.drift["weight_lr"].low <= math.log2(100)
    assert found.drift["weight_lr"].high == math.inf
    assert found.drift["activity_lr"].low > -math.inf


def test_collapse_of_the_level_is_in_the_reason() -> None:
    """The transferred cell is the best at the target, and at 40% accuracy."""
    rows = [
        [run(value) | {"test_accuracy": 0.4} for value in (1.0 + (cell != CENTRE), 1.0, 1.0)]
        for cell in SPACE.cells
    ]
    found = verdict(Landscape.of(SPACE.cells, rows))
    assert found.reason.endswith("; but the accuracy there is 40%, and 90% at the tuned shape")
    assert "accuracy" not in verdict(landscape()).reason


def test_verdict_if_nothing_trains_at_the_tuned_shape() -> None:
    tuned = landscape(changes=everywhere(Status.DIVERGED, *SPACE.cells))
    assert optimum(tuned) is None
    found = without_optimum(tuned)
    assert found.label is VerdictLabel.INCONCLUSIVE
    assert "0 trained, 0 at chance, 60 diverged, 0 failed of 60 runs" in found.reason


def test_one_cell_or_one_seed_is_inconclusive() -> None:
    alone = verdict(landscape(cells=(CENTRE,)))
    assert "nothing to compare it to" in alone.reason
    assert (alone.label, alone.regret) == (VerdictLabel.INCONCLUSIVE, None)
    single = verdict(landscape(seeds=1), landscape(seeds=1))
    assert single.label is VerdictLabel.INCONCLUSIVE
    assert single.regret is not None
    assert single.regret.value == pytest.approx(0, abs=0.01)
    assert math.isnan(single.regret.high)
    assert single.probability is None
    dead = everywhere(Status.DIVERGED, CENTRE, seeds=(0,))
    one = verdict(landscape(seeds=1, changes=dead), landscape(seeds=1))
    assert one.label is VerdictLabel.INCONCLUSIVE


def test_judges_backpropagation_by_its_one_rate() -> None:
    space = Space(Grid(ETAS), None)
    tuned, moved = landscape(Cell(0.1, None), space.cells), landscape(Cell(1.0, None), space.cells)
    found = verdict(moved, tuned, space)
    assert found.label is VerdictLabel.DRIFTED
    assert found.drift is not None
    assert list(found.drift) == ["weight_lr"]
    drift = found.drift["weight_lr"]
    assert drift.low < math.log2(10) < drift.high
    assert drift.value == pytest.approx(math.log2(10), abs=0.4)


def test_edge_of_a_range_is_an_octave_wide() -> None:
    space = Space(Range(0.01, 10), Range(1.5, 100))
    assert verdict(landscape(), space=space).label is VerdictLabel.EDGE
    assert (
        verdict(landscape(), space=Space(Range(0.01, 10), Range(1, 100))).label is VerdictLabel.HELD
    )


def test_zero_loss_has_a_regret() -> None:
    zero = {(CENTRE, seed): 0.0 for seed in range(3)}
    found = verdict(landscape(changes=zero))
    assert found.label is VerdictLabel.HELD
    assert found.regret is not None
    assert found.regret.value == 0


def test_losses_far_below_the_untrained_one_are_equal() -> None:
    """A factor of 1,000 between 1e-12 and 1e-9 is nothing against an untrained loss of 1."""
    better = {(Cell(1.0, 2.0), seed): 1e-12 for seed in range(3)}
    tiny = {(CENTRE, seed): 1e-9 for seed in range(3)}
    target = landscape(changes=better | tiny)
    drifted = judge(landscape(), target, CENTRE, SPACE, TOLERANCE)
    held = judge(landscape(), target, CENTRE, SPACE, TOLERANCE, untrained=1.0)
    assert drifted.label is VerdictLabel.DRIFTED
    assert held.label is VerdictLabel.HELD


def test_verdict_is_deterministic() -> None:
    assert verdict(landscape(noise=0.2)) == verdict(landscape(noise=0.2))


@pytest.mark.parametrize(("seeds", "shown"), [(1, False), (2, True)])
def test_reason_has_an_interval_with_two_seeds(seeds: int, shown: bool) -> None:
    target = landscape(Cell(1.0, 2.0), NEAR, seeds=seeds)
    found = verdict(target, landscape(seeds=seeds))
    assert ("95% interval" in found.reason) == shown


def test_drift_without_either_bound_has_no_value() -> None:
    """Losses that do not depend on the rates: the optimum may be anywhere."""
    found = verdict(landscape(curvature=0.0), landscape(curvature=0.0))
    assert found.drift is not None
    for drift in found.drift.values():
        assert (drift.low, drift.high) == (-math.inf, math.inf)
        assert math.isnan(drift.value)
