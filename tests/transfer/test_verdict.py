"""Regret, drift and verdict labels on known landscapes."""

import math
from typing import Any

import numpy as np
import pytest

from pccore import Status
from results.landscape import Landscape, optimum, rank
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
    """The loss doubles away from the centre, and the other cell is better by a third."""
    better = Cell(1.0, 2.0)
    rows = [
        constant(1.5 if cell == CENTRE else 1.0 if cell == better else 3.0) for cell in SPACE.cells
    ]
    found = verdict(Landscape.of(SPACE.cells, rows))
    assert found.label is VerdictLabel.DRIFTED
    assert found.accuracy == pytest.approx(0.8)
    assert found.accuracy_std == pytest.approx(0.1)  # of a sample: 3 - 1 degrees of freedom
    cells = len(SPACE.cells)
    assert found.reason == (
        f"the loss at {CENTRE} is 50% above the best of {cells} cells (95% interval 50% to 50%), "
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
    assert found.label is VerdictLabel.HELD


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
    assert (found.regret.value, found.regret.low, found.regret.high) == (0, 0, 0)
    assert found.drift is not None
    assert {name: drift.value for name, drift in found.drift.items()} == {
        "weight_lr": 0,
        "activity_lr": 0,
    }
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
    assert found.regret.value == pytest.approx(2.0 * distance, abs=0.01)
    assert found.regret.low <= found.regret.value <= found.regret.high
    assert found.drift is not None
    for name, shift in (("weight_lr", math.log2(eta / 0.1)), ("activity_lr", math.log2(beta / 2))):
        drift = found.drift[name]
        assert (drift.value, drift.low, drift.high) == pytest.approx((shift, shift, shift))
    assert found.label is (
        VerdictLabel.DRIFTED if 2.0 * distance > math.log(1.1) else VerdictLabel.INCONCLUSIVE
    )


def test_shift_within_the_tolerance_has_held() -> None:
    """An octave of beta is 0.3 decades, where the loss is exp(0.09) = 1.095 times the best."""
    found = verdict(landscape(Cell(0.1, 4.0)))
    assert found.label is VerdictLabel.HELD
    assert found.best == Cell(0.1, 4.0)
    assert found.regret is not None
    assert found.regret.value == pytest.approx(LOG(2) ** 2, abs=0.003)
    assert "% above the best of 20 cells (95% interval " in found.reason
    assert "outermost" not in found.reason
    near = verdict(landscape(Cell(0.1, 4.0), NEAR))
    assert near.label is VerdictLabel.HELD
    assert near.reason.endswith("the best cell, eta 0.1, beta 4, is among the outermost that ran")


def test_noise_as_large_as_the_regret_is_inconclusive() -> None:
    found = verdict(landscape(noise=0.3, curvature=0.1))
    assert found.label is VerdictLabel.INCONCLUSIVE
    assert found.regret is not None
    assert found.regret.low <= math.log(1.1) < found.regret.high


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
    assert found.label is VerdictLabel.INCONCLUSIVE
    assert (found.loss, found.best, found.best_loss, found.regret) == (None, None, None, None)


def test_failed_runs_are_no_evidence() -> None:
    other = verdict(landscape(changes=everywhere(Status.FAILED, Cell(1.0, 2.0), seeds=(0,))))
    assert other.label is VerdictLabel.HELD
    assert "best of 20 cells" in verdict(landscape()).reason
    assert "best of 19 cells" in other.reason
    transferred = verdict(landscape(changes=everywhere(Status.FAILED, CENTRE, seeds=(0,))))
    assert transferred.label is VerdictLabel.INCONCLUSIVE
    assert "failed" in transferred.reason


def test_verdict_if_nothing_trains_at_the_tuned_shape() -> None:
    tuned = landscape(changes=everywhere(Status.DIVERGED, *SPACE.cells))
    assert optimum(tuned) is None
    found = without_optimum(tuned)
    assert found.label is VerdictLabel.INCONCLUSIVE
    assert "0 trained, 0 at chance, 60 diverged, 0 failed of 60 runs" in found.reason


def test_one_cell_or_one_seed_is_inconclusive() -> None:
    alone = verdict(landscape(cells=(CENTRE,)))
    assert (alone.label, alone.regret) == (VerdictLabel.INCONCLUSIVE, None)
    single = verdict(landscape(seeds=1), landscape(seeds=1))
    assert single.label is VerdictLabel.INCONCLUSIVE
    assert single.regret is not None
    assert single.regret.value == 0
    assert math.isnan(single.regret.high)


def test_judges_backpropagation_by_its_one_rate() -> None:
    space = Space(Grid(ETAS), None)
    tuned, moved = landscape(Cell(0.1, None), space.cells), landscape(Cell(1.0, None), space.cells)
    found = verdict(moved, tuned, space)
    assert found.label is VerdictLabel.DRIFTED
    assert found.drift is not None
    assert list(found.drift) == ["weight_lr"]
    assert found.drift["weight_lr"].value == pytest.approx(math.log2(10))


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


def test_verdict_is_deterministic() -> None:
    assert verdict(landscape(noise=0.2)) == verdict(landscape(noise=0.2))


def test_rank_compares_the_seeds_of_a_resample() -> None:
    losses = {(cell, s): 1.0 + s for cell in SPACE.cells for s in range(3)}
    losses[Cell(1.0, 1.0), 2] = 0.5
    ranking = rank(landscape(changes=losses), np.array([[3, 0, 0], [0, 0, 3], [1, 1, 1]]))
    place = SPACE.cells.index(Cell(1.0, 1.0))
    assert ranking.loss[:, place] == pytest.approx([1.0, 0.5, 3.5 / 3])
    assert ranking.best[1:].tolist() == [place, place]
    assert ranking.loss[0] == pytest.approx(np.ones(20))


@pytest.mark.parametrize("true_regret", [0.1, 0.5])
def test_bootstrap_interval_covers_the_truth(true_regret: float) -> None:
    """Two cells, ten seeds: the mean of a seed's log-normal losses is known in closed form.

    The ratio of the two expectations is exp(true_regret). A nominal 95% percentile interval over
    ten seeds covers about 90% of the time; 300 trials put three standard errors at 5%.
    """
    generator = np.random.default_rng(0)
    cells = (CENTRE, Cell(1.0, 2.0))
    covered = 0
    for _ in range(300):
        noise = generator.normal(0, 0.1, size=(2, 10))
        losses = np.exp(np.array([[true_regret], [0.0]]) + noise)
        target = Landscape.of(cells, [[run(float(loss)) for loss in row] for row in losses])
        regret = judge(landscape(), target, CENTRE, SPACE, TOLERANCE).regret
        assert regret is not None
        covered += regret.low <= true_regret <= regret.high
    assert covered / 300 > 0.85


@pytest.mark.parametrize(("seeds", "shown"), [(1, False), (2, True)])
def test_reason_has_an_interval_where_seeds_can_be_resampled(seeds: int, shown: bool) -> None:
    target = landscape(Cell(1.0, 2.0), NEAR, seeds=seeds)
    found = verdict(target, landscape(seeds=seeds))
    assert ("95% interval" in found.reason) == shown
