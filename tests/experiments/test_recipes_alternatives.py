"""Judges of the recipes on alternatives to muPC, saddles and equilibrium propagation."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from made_up_evidence import NOTHING, evidence, seeds
from made_up_measurements import measured

import pccore
from experiments import RECIPES
from experiments.recipes import alternatives, higher_rank, partial_scalings
from experiments.recipes import equilibrium_propagation as propagation

NAMES = ["higher-rank-saddles", "equilibrium-propagation", "partial-scalings"]


@pytest.mark.parametrize("name", [*NAMES, "orthogonal-accuracy", "rescaled-adam"])
def test_no_verdict_without_evidence(name):
    blank = measured([{"quantity": "none"}]) if name in NAMES else NOTHING
    for claim in RECIPES[name].claims:
        assert claim.judge(blank) is None


def rival(mupc, other):
    return evidence(
        {**run, "test_accuracy": run["test_accuracy"] + 0.01 * run["seed"] * (mupc != other)}
        for variant, value in (("mupc", mupc), (alternatives.ORTHOGONAL, other))
        for run in seeds(variant=variant, activation="tanh", test_accuracy=value)
    )


def test_mupc_leads_by_its_interval():
    judge = alternatives.mupc_beats_orthogonal
    assert judge(rival(0.9, 0.8)).holds
    assert judge(rival(0.8, 0.9)).holds is False
    both = rival(0.9, 0.8).runs
    deeper = rival(0.8, 0.9).runs.assign(depth=32)
    mixed = evidence(pd.concat([both, deeper]).to_dict("records"))
    assert judge(mixed).holds is False


def test_rescaled_rates_do_not_train():
    def found(accuracy):
        return evidence(seeds(variant=alternatives.RESCALED, test_accuracy=accuracy))

    assert alternatives.rescaling_prevents_training(found(0.1)).holds
    assert not alternatives.rescaling_prevents_training(found(0.5)).holds
    runs = alternatives.rescaled(None, alternatives.SMALL, (8,), (0.1,), (5,))
    assert {run.lane.weight_lr for run in runs} == {0.1 * (64 * 9) ** 0.5}


def saddles(energy, loss=(0.0, -0.1)):
    """Yield the lowest eigenvalues at rank 0, 1 and 2, of the loss alternately flat and strict."""
    for rank in range(3):
        where = {"depth": 2, "step": rank, "seed": 0}
        for variant, value in (("energy", energy), ("loss", loss[rank % 2])):
            yield {"quantity": "lowest_eigenvalue", "variant": variant, "value": value, **where}
            yield {"quantity": "largest_gradient", "variant": variant, "value": 0.0, **where}
        yield {"quantity": "energy_below_loss", "variant": "energy", "value": 0.0, **where}


def test_saddles_of_higher_rank():
    good = measured(saddles(-0.3))
    for claim in RECIPES["higher-rank-saddles"].claims:
        assert claim.judge(good).holds
    assert not higher_rank.energy_is_strict(measured(saddles(0.0))).holds
    assert not higher_rank.energy_is_stricter(measured(saddles(-0.05))).holds
    off = [*saddles(-0.3), {"quantity": "largest_gradient", "variant": "loss", "value": 1e-3}]
    assert not higher_rank.are_critical(measured(off)).holds


def test_saddle_is_the_best_fit_of_its_rank():
    """By Eckart and Young the loss left over is half the sum of the squared singular values."""
    with jax.enable_x64(True):
        matrices, x, y = higher_rank.saddle(1, 2, 6, seed=0)
        product = matrices[2] @ matrices[1] @ matrices[0]
        target = jnp.linalg.lstsq(x, y)[0].T
        s = np.linalg.svd(target, compute_uv=False)
        assert np.linalg.matrix_rank(product) == 1
        left = 0.5 * float(jnp.sum((y - x @ product.T) ** 2)) / len(x)
        assert left == pytest.approx(0.5 * float(np.sum(s[1:] ** 2)))


def scalar(limit, nudge):
    for w in propagation.LAST:
        settings = json.dumps({"w_2": float(w), "nudge": nudge})
        value = -1.0 if w > limit + 1e-9 else 0.5
        yield {"quantity": "lowest_eigenvalue", "variant": "chain", "settings": settings,
               "value": value}  # fmt: skip


def test_scalar_equilibrium_propagation():
    assert propagation.free_scalar_is_not_convex(measured(scalar(1.0, 0.0))).holds
    assert not propagation.free_scalar_is_not_convex(measured(scalar(1.5, 0.0))).holds
    assert not propagation.nudged_scalar_is_not_convex(measured(scalar(1.22, 0.5))).holds
    wide = [{"quantity": "lowest_eigenvalue", "variant": "wide sp", "value": value}
            for value in (0.1, -0.1)]  # fmt: skip
    assert propagation.wide_networks_are_not_convex(measured(wide)).holds
    assert not propagation.wide_networks_are_not_convex(measured(wide[:1])).holds


def placed(everywhere, missing):
    for variant, value in (("everywhere", everywhere), ("energy", missing)):
        yield {"quantity": "test_accuracy", "variant": variant, "depth": 2, "weight_lr": 0.1,
               "activity_lr": 5.0, "value": value}  # fmt: skip


def test_partial_scalings_need_a_control_that_trains():
    def judge(*values):
        return partial_scalings.untrainable(measured(placed(*values)), "energy")

    assert judge(0.9, 0.1).holds
    assert not judge(0.9, 0.5).holds
    assert not judge(0.15, 0.1).holds


@pytest.mark.parametrize("missing", [partial_scalings.EVERYWHERE, *partial_scalings.PARTIAL])
def test_partly_scaled_gradients(missing):
    """With the scalings everywhere they are predictive coding's; without, they differ."""
    with jax.enable_x64(True):
        network = pccore.NetworkConfig(3, 2, 4, 2).build(jax.random.key(0))
        random = np.random.default_rng(0)
        x, y = (jnp.asarray(random.normal(size=(5, n))) for n in (3, 2))
        rule = partial_scalings.PartlyScaled(2, missing)
        usual = pccore.PredictiveCoding(pccore.GradientDescent(2))
        mine, reference = (
            jax.jit(r.gradients)(network, x, y, 0.5, jax.random.key(1)) for r in (rule, usual)
        )
        assert mine[0] == pytest.approx(float(reference[0]))
        close = jnp.allclose(mine[1].hidden, reference[1].hidden, rtol=1e-8, atol=1e-12)
        assert bool(close) is (missing == partial_scalings.EVERYWHERE)
