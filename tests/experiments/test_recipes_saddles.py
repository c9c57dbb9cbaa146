"""Judges of chapter 4's recipes on made-up evidence; small calculations."""

import json
from itertools import product

import made_up_measurements as made_up
import numpy as np
import pandas as pd
import pytest

from experiments.recipes import (
    equilibrated_energy,
    hessians,
    matrix_completion,
    order,
    saddle_escape,
    saddle_landscapes,
)

CURVE = {
    True: [0.5, 0.5, 0.45, 0.45, 0.45, 0.2, 0.1, 0.1, 0.1, 0.1],
    False: [0.5] * 10,
}


def energies(error=0.0, last=0.2):
    """Yield both energies at two steps of every depth."""
    for depth in equilibrated_energy.DEPTHS:
        for step, value in ((0, 0.4), (300, last)):
            at = {"dataset": "mnist", "depth": depth, "seed": 0, "step": step}
            yield {"quantity": "equilibrated_energy", "value": value, **at}
            yield {"quantity": "numerical_energy", "value": value * (1 + error), **at}


@pytest.mark.parametrize(("error", "holds"), [(0.005, True), (0.02, False)])
def test_numerical_energies_match_within_one_percent(error, holds):
    judged = equilibrated_energy.numerical_energy_matches_theory(made_up.measured(energies(error)))
    assert judged.holds is holds


@pytest.mark.parametrize(("last", "holds"), [(0.2, True), (0.41, False)])
def test_training_lowers_energy(last, holds):
    judged = equilibrated_energy.energy_changes_in_training(made_up.measured(energies(last=last)))
    assert judged.holds is holds


def escapes(pc_escapes=True, gradient=1.0, seeds=2):
    """Return ten evaluations by both rules; BP stays at the saddle, PC escapes at the third."""
    runs, curves, rows = [], [], []
    for activation, variant, seed in product(saddle_escape.ACTIVATIONS, ("pc", "bp"), range(seeds)):
        loss = CURVE[pc_escapes and variant == "pc"]
        where = {"variant": variant, "activation": activation, "depth": 4, "seed": seed}
        steps = np.arange(1, 11) * 25
        curves.append((len(runs), {"step": steps, "train_loss": loss, "test_loss": loss}))
        runs.append(where)
        norm = gradient if variant == "pc" else 1e-3
        for step in steps:
            at = {"dataset": "mnist", "step": step, **where}
            rows.append({"quantity": "weight_gradient_norm", "value": norm, **at})
    return made_up.measured(rows, runs, curves)


def test_one_seed_does_not_reproduce_an_escape():
    seen = escapes(seeds=1)
    assert saddle_escape.pc_escapes_sooner(seen).holds is None
    assert saddle_escape.pc_gradients_do_not_vanish(seen).holds is None
    assert saddle_escape.pc_escapes_sooner(escapes(False, seeds=1)).holds is False


@pytest.mark.parametrize("escapes_at_all", [True, False])
def test_escapes_from_saddle(escapes_at_all):
    seen = escapes(escapes_at_all)
    assert saddle_escape.pc_escapes_sooner(seen).holds is escapes_at_all
    assert saddle_escape.pc_has_second_plateau(seen).holds is escapes_at_all


@pytest.mark.parametrize(("gradient", "holds"), [(0.1, True), (0.005, False)])
def test_gradients_near_saddle(gradient, holds):
    assert saddle_escape.pc_gradients_do_not_vanish(escapes(gradient=gradient)).holds is holds


ESCAPES = {
    "pc": {"tanh": 4, "relu": 4},
    "pc weights_first": {"tanh": 4, "relu": 9},
    "bp weights_first": {"tanh": None, "relu": None},
}


def in_both_orders(**changes):
    """Return twenty evaluations of two seeds, after which the loss falls at the number given."""
    runs, curves = [], []
    for variant, by_activation in (ESCAPES | changes).items():
        for (activation, fall), seed in product(by_activation.items(), range(2)):
            loss = np.where(np.arange(20) < (20 if fall is None else fall), 0.5, 0.1)
            curves.append((len(runs), {"step": np.arange(1, 21) * 25, "train_loss": loss}))
            runs.append({"variant": variant, "activation": activation, "seed": seed})
    return made_up.evidence(runs, curves)


def judged_orders(**changes):
    seen = in_both_orders(**changes)
    return [claim.judge(seen).holds for claim in order.ORDER[0].claims]


def test_orders_of_activation_and_weights():
    assert judged_orders() == [True, True, True]
    late = {"tanh": 4, "relu": 15}  # PC escapes after 400 of BP's 500 steps
    assert judged_orders(**{"pc weights_first": late}) == [False, True, True]
    same = {"tanh": 6, "relu": 5}
    assert judged_orders(**{"pc weights_first": same}) == [True, False, False]
    stuck = {"tanh": None, "relu": None}
    assert judged_orders(**{"pc weights_first": stuck}) == [False, False, True]


def spectrum(loss=0.0, error=0.0, energy=-1.0):
    """Yield two eigenvalues of each landscape of one deep network."""
    for variant, lowest in (("loss", loss), ("energy", energy)):
        for quantity, wrong in (("hessian_eigenvalue", error),
                                ("theoretical_hessian_eigenvalue", 0.0)):  # fmt: skip
            for index, value in enumerate((lowest + wrong, 0.0)):
                yield {
                    "quantity": quantity,
                    "value": value,
                    "variant": variant,
                    "dataset": "toy",
                    "width": 3,
                    "depth": 2,
                    "settings": json.dumps({"index": index}),
                }


def test_hessian_claims():
    good, wrong = made_up.measured(spectrum()), made_up.measured(spectrum(error=0.05))
    assert hessians.theory_is_exact(good).holds
    assert not hessians.theory_is_exact(wrong).holds
    assert hessians.energy_is_strict(good).holds
    assert not hessians.energy_is_strict(made_up.measured(spectrum(energy=0.0))).holds
    assert hessians.loss_is_flat_when_deep(good).holds
    assert not hessians.loss_is_flat_when_deep(made_up.measured(spectrum(loss=-0.5))).holds


def test_toy_hessians_need_no_data_files():
    cases = [hessians.Case("chain", 1, 1), hessians.Case("toy", 2, 1)]
    rows = list(hessians.calculate(None, saddle=hessians.at_origin, cases=cases))
    seen = made_up.measured([{key: row.get(key) for key in made_up.COLUMNS} for row in rows])
    assert hessians.theory_is_exact(seen).holds
    assert hessians.loss_is_strict_when_shallow(seen).holds


@pytest.mark.parametrize(("deeper", "holds"), [(60, True), (15, False)])
def test_escapes_of_toys(deeper, holds):
    """PC escapes both chains at step 10, BP the shallow one at 20, the deep one at `deeper`."""
    rows = []
    for depth, variant, left in ((1, "pc", 10), (1, "bp", 20), (2, "pc", 10), (2, "bp", deeper)):
        for step in range(0, 100, 5):
            at = {"dataset": f"chain, H = {depth}", "variant": variant, "seed": 0, "step": step}
            value = 0.5 if step < left else 0.1
            rows.append({"quantity": "train_loss", "value": value, **at})
    seen = made_up.measured(rows)
    assert saddle_landscapes.pc_escapes_sooner(seen).holds
    assert saddle_landscapes.advantage_grows_with_depth(seen).holds is holds


def test_curvature_of_toys():
    def seen(loss):
        for variant, depth, value in (("pc", 2, -1.0), ("bp", 2, loss)):
            for quantity in ("lowest_curvature", "theoretical_lowest_curvature"):
                at = {"variant": variant, "depth": depth, "dataset": "chain, H = 2"}
                yield {"quantity": quantity, "value": value, **at}

    judge = saddle_landscapes.only_energy_has_negative_curvature
    assert judge(made_up.measured(seen(0.0))).holds
    assert not judge(made_up.measured(seen(-0.1))).holds


def test_matrix_completion_in_a_few_steps():
    """BP stays at the origin in so few steps: the first claim fails, the others lack data."""
    how = matrix_completion.Descent(5e-2, 20, 10)
    rows = list(matrix_completion.calculate(None, bp=how, pc=how, seeds=(0,)))
    seen = made_up.measured([{key: row.get(key) for key in made_up.COLUMNS} for row in rows])
    assert isinstance(seen.measurements, pd.DataFrame)
    assert not matrix_completion.bp_visits_every_rank(seen).holds
    assert matrix_completion.pc_escapes_sooner(seen) is None


def test_no_verdict_without_evidence():
    recipes = (
        *equilibrated_energy.EQUILIBRATED_ENERGY,
        *saddle_landscapes.SADDLE_LANDSCAPES,
        *hessians.HESSIANS,
        *saddle_escape.SADDLE_ESCAPE,
        *order.ORDER,
        *matrix_completion.MATRIX_COMPLETION,
    )
    nothing = made_up.measured([])
    for recipe in recipes:
        assert [claim.judge(nothing) for claim in recipe.claims] == [None] * len(recipe.claims)
