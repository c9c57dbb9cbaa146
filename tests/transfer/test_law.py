"""Laws fitted to landscapes with known optima and exponents."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pccore import Status
from results.landscape import Landscape
from results.shapes import Shape
from transfer import Cell
from transfer.judge.estimate import Estimate
from transfer.judge.law import (
    Exponents,
    Fitted,
    Prescribed,
    UnfittedError,
    compatible_with_zero,
    determined,
    fit,
)
from transfer.judge.refine import RefinedOptimum, refine
from transfer.space import Grid, Space

HALVES = tuple(2.0**k for k in range(-14, 3))
SPACE = Space(Grid(HALVES), Grid(HALVES))
ETA_ONLY = Space(Grid(HALVES), None)
ORIGIN = Shape(width=32, depth=7)  # L0 = 8


def shape(L: int, width: int = 32) -> Shape:
    return Shape(width=width, depth=L - 1)


LINE = [shape(L) for L in (4, 8, 16)]
SQUARE = [shape(L, width) for L in (4, 8, 16) for width in (32, 64)]


def landscape(
    space: Space,
    log_best: Mapping[str, float],
    *,
    noise: float = 0.0,
    seeds: int = 3,
    seed: int = 0,
    dead: Mapping[Cell, Status] | None = None,
) -> Landscape:
    """Return log loss = 0.3 (log rate - its best)^2 summed over rates, plus noise on each run."""
    generator = np.random.default_rng(seed)
    rows = []
    for cell in space.cells:
        away = sum((math.log(getattr(cell, name)) - best) ** 2 for name, best in log_best.items())
        losses = np.exp(0.3 * away + noise * generator.standard_normal(seeds)) / 10
        status = (dead or {}).get(cell, Status.TRAINED)
        row = {"outcome": status, "min_train_loss": None, "test_accuracy": None}
        rows.append([row | {"final_train_loss": float(loss)} for loss in losses])
    return Landscape.of(space.cells, rows)


def best_at(at: Shape, eta: Exponents, start: float = -3.0) -> dict[str, float]:
    """Return log eta* = start + q log(L/8) + p log(N/32)."""
    L = math.log((at.depth + 1) / 8)
    return {"weight_lr": start + eta.depth * L + eta.width * math.log(at.width / 32)}


def fitted(
    shapes: list[Shape], eta: Exponents, beta: Exponents | None = None, **options: float
) -> Fitted:
    space = ETA_ONLY if beta is None else SPACE
    optima = {}
    for place, at in enumerate(shapes):
        best = best_at(at, eta)
        if beta is not None:
            best["activity_lr"] = best_at(at, beta, -4.0)["weight_lr"]
        where = int(options.get("seed", 0)) * 100 + place
        world = landscape(space, best, **(options | {"seed": where}))  # type: ignore[arg-type]
        optima[at] = refine(world, space, place)
    return fit(ORIGIN, optima)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-4, -2.5), st.floats(0.0, 0.69))
@settings(max_examples=3)
def test_fit_recovers_exponents(q: float, p: float, start: float, beta: float) -> None:
    """A parabola in the log rate is recovered, wherever its minimum lies between cells."""
    optima = {}
    for place, at in enumerate(SQUARE):
        best = best_at(at, Exponents(q, p), start) | {"activity_lr": -4.0 + beta}
        optima[at] = refine(landscape(SPACE, best), SPACE, place)
    law = fit(ORIGIN, optima)
    assert law.exponents["weight_lr"]["depth"].value == pytest.approx(q, abs=0.02)
    assert law.exponents["weight_lr"]["width"].value == pytest.approx(p, abs=0.04)
    assert law.exponents["activity_lr"]["depth"].value == pytest.approx(0, abs=0.02)
    held_back = shape(64, 256)
    predicted = law.predict(held_back)
    exact = math.exp(start + q * math.log(8) + p * math.log(8))
    assert predicted.cell.weight_lr == pytest.approx(exact, rel=0.05)
    assert predicted.cell.activity_lr == pytest.approx(math.exp(-4.0 + beta), rel=0.05)
    rate = predicted.rates["weight_lr"]
    assert 0.8 * exact < rate.low < exact < rate.high < 1.2 * exact


def test_refine_finds_the_optimum_between_cells() -> None:
    """The steps of the grid are uneven, as in the thesis."""
    space = Space(Grid((0.01, 0.05, 0.1, 0.5)), None)
    found = refine(landscape(space, {"weight_lr": math.log(0.07)}), space)
    assert found is not None
    assert found.cell == Cell(0.05, None)
    assert found.rate("weight_lr").value == pytest.approx(0.07, rel=0.01)
    assert found.edges == {}


def test_interval_of_a_law_covers_the_truth() -> None:
    """Of 40 intervals of 95%, fewer than 34 hold the truth once in 300 times."""
    truth = Exponents(-0.6)
    exponents, rates = 0, 0
    exact = math.exp(best_at(shape(64), truth)["weight_lr"])
    for world in range(40):
        law = fitted(LINE, truth, noise=0.1, seeds=3, seed=world)
        found, at = law.exponents["weight_lr"]["depth"], law.rate("weight_lr", shape(64))
        exponents += found.low <= truth.depth <= found.high
        rates += at.low <= exact <= at.high
    assert exponents >= 34
    assert rates >= 34


def test_noise_widens_the_interval() -> None:
    widths = []
    for noise in (0.01, 0.03, 0.1):
        found = fitted(LINE, Exponents(-0.5), noise=noise).exponents["weight_lr"]["depth"]
        widths.append(found.high - found.low)
    assert widths == sorted(widths)
    assert widths[0] > 0


def test_note_reports_compatibility_with_zero_shot_transfer() -> None:
    still = fitted(LINE, Exponents(), noise=0.05, seeds=10)
    moving = fitted(LINE, Exponents(-0.5), noise=0.01)
    assert compatible_with_zero(still.exponents["weight_lr"]["depth"])
    assert still.note.endswith("compatible with zero-shot transfer across depth")
    assert not compatible_with_zero(moving.exponents["weight_lr"]["depth"])
    assert moving.note.startswith("eta scales as L^-0.")
    assert "zero-shot" not in moving.note


def test_fit_gives_each_rate_a_law() -> None:
    law = fitted(SQUARE, Exponents(-0.5, 0.25), Exponents(1.0, 0.0))
    assert law.exponents["activity_lr"]["depth"].value == pytest.approx(1, abs=0.02)
    assert law.exponents["weight_lr"]["width"].value == pytest.approx(0.25, abs=0.04)
    assert re.match(r"eta scales as L\^-0\.[45]\d \(95% interval -0.* to -0.*\) N\^0.2", law.note)
    assert "eta beta" not in law.note  # each is determined alone


def test_one_seed_has_no_interval() -> None:
    law = fitted(LINE, Exponents(-0.5), seeds=1)
    found = law.exponents["weight_lr"]["depth"]
    assert found.value == pytest.approx(-0.5, abs=0.02)
    assert math.isnan(found.low)
    assert not compatible_with_zero(found)  # one seed says nothing
    assert law.note == f"eta scales as L^{found.value:.2f}"
    assert math.isnan(law.predict(shape(64)).rates["weight_lr"].high)


def test_two_seeds_have_an_interval() -> None:
    found = fitted(LINE, Exponents(-0.5), noise=0.01, seeds=2).exponents["weight_lr"]["depth"]
    assert found.low < -0.5 < found.high


@pytest.mark.parametrize("status", [Status.DIVERGED, Status.AT_CHANCE])
def test_optimum_is_at_most_half_way_to_a_cell_that_did_not_train(status: Status) -> None:
    best = {"weight_lr": math.log(0.25) + 0.1}
    dead = {Cell(eta, None): status for eta in HALVES if eta > 0.25}
    found = refine(landscape(ETA_ONLY, best, dead=dead), ETA_ONLY)
    assert found is not None
    rate = found.rate("weight_lr")
    assert rate.low < math.exp(best["weight_lr"]) < rate.high
    assert rate.high <= 0.25 * math.sqrt(2)


def test_failed_cell_hides_nothing() -> None:
    best = {"weight_lr": math.log(0.25) + 0.1}
    missing = {Cell(0.5, None): Status.FAILED}
    found = refine(landscape(ETA_ONLY, best, dead=missing), ETA_ONLY)
    assert found is not None
    assert found.rate("weight_lr").value == pytest.approx(math.exp(best["weight_lr"]), rel=0.03)


def ridge(at: Shape, noise: float = 0.02) -> Landscape:
    """Return a landscape in which only eta beta matters, and eta beta ~ 1 / L is best."""
    generator = np.random.default_rng(at.depth)
    cells = [Cell(eta, beta) for eta in HALVES[4:11] for beta in HALVES[4:11]]
    product = [math.log(cell.weight_lr * (cell.activity_lr or 1)) for cell in cells]
    away = np.array(product) + 9.0 + math.log((at.depth + 1) / 8)
    logs = 0.3 * away[:, None] ** 2 + noise * generator.standard_normal((len(cells), 3))
    return Landscape.of_losses(cells, np.exp(logs))


def test_ridge_determines_the_exponent_of_the_product_alone() -> None:
    """Every eta has a beta as good: the runs know the exponent of eta beta, -1, and no other."""
    space = Space(Grid(HALVES[4:11]), Grid(HALVES[4:11]))
    optima = {at: refine(ridge(at), space, seed) for seed, at in enumerate(LINE)}
    law = fit(ORIGIN, {at: replace(best, edges={}) for at, best in optima.items() if best})
    assert not any(determined(powers["depth"]) for powers in law.exponents.values())
    both = law.combination["depth"]
    assert both.powers == {"weight_lr": 1.0, "activity_lr": 1.0}
    assert determined(both.exponent)
    assert both.exponent.low < -1 < both.exponent.high
    assert "the exponent of eta in L is not determined (95% interval " in law.note
    assert "eta beta scales as L^-" in law.note


def test_powers_of_a_combination_have_one_decimal() -> None:
    space = Space(Grid(HALVES[4:11]), Grid(HALVES[4:11]))
    optima = {at: refine(ridge(at, noise=0.2), space, seed) for seed, at in enumerate(LINE)}
    law = fit(ORIGIN, {at: replace(best, edges={}) for at, best in optima.items() if best})
    powers = law.combination["depth"].powers
    assert powers == {name: round(power, 1) for name, power in powers.items()}
    assert powers == pytest.approx({"weight_lr": 1.0, "activity_lr": 1.0}, abs=0.3)
    assert max(powers.values()) == 1


@pytest.mark.parametrize(
    ("low", "high", "known"),
    [(-0.5, 0.5, True), (1.5, 2.25, True), (-1.0, 0.25, False), (math.nan, math.nan, True)],
)
def test_exponent_is_determined_if_its_interval_is_at_most_one_wide(
    low: float, high: float, known: bool
) -> None:
    assert determined(Estimate(0.0, low, high)) is known


def test_fit_leaves_out_optima_on_the_edge() -> None:
    """The shallowest of four depths has its optimum beyond the highest rate."""
    shapes = [shape(L) for L in (2, 4, 8, 16)]
    space = Space(Grid(tuple(eta for eta in HALVES if eta < 0.3)), None)
    optima = {}
    for at in shapes:
        world = landscape(space, best_at(at, Exponents(-1.0)))
        optima[at] = refine(world, space)
    law = fit(ORIGIN, optima)
    assert set(law.optima) == set(shapes[1:])
    assert law.exponents["weight_lr"]["depth"].value == pytest.approx(-1, abs=0.05)
    left_out = "width 32, depth 1 was left out, as its optimum is at the highest eta searched"
    assert left_out in law.note


def test_fit_rejects_too_few_optima() -> None:
    space = Space(Grid(HALVES[:4]), None)  # far below every optimum
    worlds = {at: landscape(space, best_at(at, Exponents())) for at in LINE}
    worlds[LINE[0]] = landscape(space, {}, dead=dict.fromkeys(space.cells, Status.DIVERGED))
    optima = {at: refine(world, space) for at, world in worlds.items()}
    with pytest.raises(UnfittedError) as caught:
        fit(ORIGIN, optima)
    message = str(caught.value)
    assert "no law could be fitted: 0 of 3 shapes have an optimum inside the grid" in message
    assert "nothing trained at width 32, depth 3" in message
    assert "depth 15 was left out" in message


@pytest.mark.parametrize(
    ("shapes", "missing"),
    [
        pytest.param(LINE, 1, id="two optima for two unknowns"),
        pytest.param([shape(L, 4 * L) for L in (4, 8, 16, 32)], 0, id="width follows depth"),
    ],
)
def test_shapes_that_do_not_determine_a_law_make_none(shapes: list[Shape], missing: int) -> None:
    optima: dict[Shape, RefinedOptimum | None] = dict.fromkeys(shapes[:missing])
    for at in shapes[missing:]:
        world = landscape(ETA_ONLY, best_at(at, Exponents()))
        optima[at] = refine(world, ETA_ONLY)
    inside = f"{len(shapes) - missing} of {len(shapes)} shapes have an optimum inside the grid"
    with pytest.raises(UnfittedError, match=inside):
        fit(ORIGIN, optima)


def test_fit_keeps_a_rate_with_one_value() -> None:
    space = Space(Grid(HALVES), Grid((5.0,)))
    optima = {at: refine(landscape(space, best_at(at, Exponents(-0.5))), space) for at in LINE}
    law = fit(ORIGIN, optima)
    assert set(law.exponents) == {"weight_lr"}
    assert law.predict(shape(64)).cell.activity_lr == 5.0


def test_prescribed_law_scales_with_matrices_and_width() -> None:
    """From L = 8 to L = 32 (H = 7 to 31) q = -1/2 halves the rate; H would give 0.475 of it."""
    base = Cell(0.1, 10.0)
    law = Prescribed(ORIGIN, base, {"weight_lr": Exponents(depth=-0.5, width=1.0)})
    assert law.predict(shape(32)).cell == Cell(0.05, 10.0)
    assert law.predict(shape(8, 96)).cell == Cell(0.3, 10.0)
    assert law.predict(ORIGIN).cell == base
    assert set(law.exponents) == {"weight_lr"}
    both = replace(law, powers={"activity_lr": Exponents(depth=0.5)})
    assert both.predict(shape(32)).cell == Cell(0.1, 20.0)
    assert replace(both, base=Cell(0.1, None)).predict(shape(32)).cell == Cell(0.1, None)


GRID = Grid((0.01, 0.02, 0.08))


@given(st.floats(1e-8, 1e3).filter(lambda rate: rate not in GRID.values), st.integers(0, 3))
def test_neighbours_off_the_grid_have_its_mean_ratio(rate: float, reach: int) -> None:
    near = GRID.near(rate, reach)
    steps = np.diff(np.log(near))
    assert rate in near
    assert np.allclose(steps, math.log(8) / 2, atol=2e-3)
    assert len(near) == 2 * reach + 1


@given(st.sampled_from(GRID.values))
def test_neighbours_on_the_grid_are_grid_values(rate: float) -> None:
    assert GRID.near(rate, len(GRID.values)) == GRID.values


def test_prescribed_powers_change_only_the_rates_and_sizes_that_they_name() -> None:
    """A rate that stays keeps all its digits; one that changes has four."""
    base = Cell(0.123456, 1.23456)
    law = Prescribed(shape(8), base, {"weight_lr": Exponents(depth=-0.5)})
    assert law.predict(shape(8, 64)).cell == base
    assert law.predict(shape(32, 64)).cell == Cell(0.06173, 1.23456)
