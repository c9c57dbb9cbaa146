"""Judges of chapter 3's toy recipes on made-up evidence; calculations against theory."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_up_measurements import measured

from experiments import RECIPES
from experiments import one_unit_training as training
from experiments.recipes import one_unit as landscape
from experiments.recipes import one_unit_inference as inference
from experiments.recipes import one_unit_updates as updates
from experiments.recipes import second_order
from pccore.theory.one_unit import energy_while_inferring

NAMES = (
    *("toy-landscape", "update-angle", "perturbation"),
    *("inference-landscape", "precision-ratio", "second-order-expansion"),
)
NOTHING = measured([])


def row(quantity, value, settings=None, **columns):
    text = None if settings is None else json.dumps(settings, sort_keys=True)
    return {"quantity": quantity, "value": value, "settings": text, **columns}


def both(quantity, pc, bp, **columns):
    """Yield one number of each algorithm for ten seeds; a list gives one for each seed."""
    for variant, values in (("pc", pc), ("bp", bp)):
        for seed, value in enumerate(np.broadcast_to(values, 10)):
            yield row(quantity, float(value), variant=variant, seed=seed, **columns)


def only_bp(rows):
    return measured(own for own in rows if own["variant"] == "bp")


@pytest.mark.parametrize("name", NAMES)
def test_no_verdict_without_evidence(name):
    assert [claim.judge(NOTHING) for claim in RECIPES[name].claims] == [None] * len(
        RECIPES[name].claims
    )


def saddle(lowest=-1.6, wrong=0.0):
    for name, pc, bp in (("lowest", lowest, -1.0), ("highest", 0.6, 1.0)):
        yield from both(f"saddle_{name}", pc, bp)
        yield from both(f"saddle_{name}_theory", pc * (1 + wrong), bp)


def sharpness(factor=1.0):
    for w2 in (0.5, 2.0):
        yield row("sharpness", factor / (1 + w2**2), {"w2": w2}, variant="pc")
        yield row("sharpness", 1.0, {"w2": w2}, variant="bp")


def escapes(pc, theory=4):
    return [*both("escape_steps", pc, 20), *both("escape_steps_theory", theory, 8)]


def flows(steps):
    return [*both("escape_steps_theory", 10, 10), *both("escape_steps_flow", steps, 10)]


@pytest.mark.parametrize(
    ("judge", "good", "bad"),
    [
        (landscape.saddle_is_steeper, saddle(), saddle(lowest=-0.9)),
        (landscape.saddle_is_steeper, saddle(), saddle(wrong=1e-3)),
        (landscape.escapes_faster, escapes(10), escapes([10] * 9 + [20])),
        (landscape.escapes_as_predicted, escapes(10), escapes(15)),
        (
            landscape.slower_near_minimum,
            both("near_minimum_steps", 13, 10),
            both("near_minimum_steps", 11, 10),
        ),
        (landscape.minima_are_flatter, sharpness(), sharpness(1.01)),
        (landscape.flow_is_like_descent, flows(11), flows(13)),
    ],
)
def test_landscape_claims(judge, good, bad):
    good = list(good)
    assert judge(measured(good)).holds
    assert not judge(measured(bad)).holds
    if judge is not landscape.minima_are_flatter:  # its table of one variant has no ratio
        assert judge(only_bp(good)) is None


def angles(quantity, pc, bp, spread=(0.1, 0.2), seeds=2):
    for step in range(5):
        for variant, mean, width in (("pc", pc, spread[0]), ("bp", bp, spread[1])):
            for seed in range(seeds):
                value = mean + (-1) ** seed * width - 0.01 * step
                yield row(quantity, value, variant=variant, seed=seed, step=step)


def newton(mean):
    for step in range(5):
        yield row("cosine_with_optimal", mean - 0.01 * step, variant="trn", seed=0, step=step)


def test_updates_closer_to_the_optimum():
    judge, name = updates.closer_to_optimal, "cosine_with_optimal"
    assert judge(measured(angles(name, 0.9, 0.8))).holds
    assert not judge(measured(angles(name, 0.7, 0.8))).holds
    assert judge(only_bp(angles(name, 0.9, 0.8))) is None


def test_updates_closer_to_newton_by_their_cosines_with_the_optimum():
    judge, cosines = updates.closer_to_newton, list(angles("cosine_with_optimal", 0.9, 0.8))
    assert judge(measured([*cosines, *newton(0.87)])).holds
    assert judge(measured([*cosines, *newton(0.99)])).holds
    assert not judge(measured([*cosines, *newton(0.83)])).holds
    assert judge(measured(cosines)) is None


def test_reliability_is_spread_over_seeds():
    steady = angles("cosine_with_optimal", 0.5, 0.8, seeds=40)
    assert updates.varies_less(measured(steady)).holds
    loose = angles("cosine_with_optimal", 0.9, 0.8, spread=(0.2, 0.1), seeds=40)
    assert updates.varies_less(measured(loose)).holds is False
    alike = angles("cosine_with_optimal", 0.9, 0.8, spread=(0.1, 0.1), seeds=40)
    assert updates.varies_less(measured(alike)).holds is not True


def noise(error, energy):
    for std in (0.5, 0.707):
        for variant, value in (("pc", error), ("bp", 1.0)):
            for seed in range(2):
                columns = {"variant": variant, "seed": seed}
                yield row("perturbed_mse", value, {"std": std}, **columns)
                yield row("perturbed_energy", energy, {"std": std}, **columns)


def test_weight_noise():
    robust, hurt = measured(noise(0.8, 0.3)), measured(noise(1.2, 0.7))
    assert updates.more_robust(robust).holds
    assert not updates.more_robust(hurt).holds
    assert updates.own_objective_is_robust(robust).holds  # below half of the error
    assert not updates.own_objective_is_robust(hurt).holds
    assert updates.more_robust(only_bp(noise(0.8, 0.3))) is None


def course(first=1.0, last=0.5, lowest=(-1.0, -1.2, -1.5)):
    """Yield a map of two points, between a loss of 1 and an equilibrated energy of 1/2."""
    for x in (0.0, 1.0):
        place = {"x": x, "y": 0.0}
        for variant, value in (("bp", 1.0), ("pc", 0.5)):
            yield row("objective", value, place, variant=variant)
        for steps, value in zip(inference.STEPS, (first, 0.8, last), strict=True):
            yield row("energy", value, place, inference_step=steps)
    for steps, value in zip(inference.STEPS, lowest, strict=True):
        yield row("saddle_lowest", value, inference_step=steps)
    for variant, value in (("bp", -1.0), ("pc", -1.6)):
        yield row("saddle_lowest", value, variant=variant)


def test_landscape_during_inference():
    judges = (
        inference.starts_as_the_loss,
        inference.ends_as_the_equilibrated_energy,
        inference.saddle_steepens,
    )
    good = measured(course())
    bad = measured(course(1.01, 0.53, (-1.0, -1.2, -1.1)))
    for judge in judges:
        assert judge(good).holds
        assert not judge(bad).holds
        assert judge(measured(list(course())[:2])) is None
    # a twentieth of the distance from 1 to 1/2 remains
    assert inference.ends_as_the_equilibrated_energy(measured(course(last=0.524))).holds


def test_energy_after_inference_matches_theory():
    with jax.enable_x64(True):
        w = jnp.array([0.5, 1.2])
        expected = energy_while_inferring(training.chain(), w, training.SAMPLE_RATE, 7)
        found = jax.jit(inference.inferred, static_argnums=1)(w, 7)
        assert found == pytest.approx(float(expected), rel=1e-9)


def test_equilibrium_with_precisions_matches_theory():
    precisions = (2.0, 0.5)
    with jax.enable_x64(True):
        w, chain = jnp.array([0.5, 1.2]), training.chain(precisions)
        energy, slopes = jax.jit(inference.equilibrated, static_argnums=1)(w, precisions)
        assert energy == pytest.approx(float(chain.energy(w)), rel=1e-9)
        assert slopes == pytest.approx(np.asarray(chain.energy_gradient(w)), rel=1e-9)


def ratios(bp, tp):
    """Yield cosines at increasing ratios."""
    places = (1 / inference.EXTREME, *inference.RATIOS, inference.EXTREME)
    for name, values in (("bp", bp), ("tp", tp)):
        for ratio, value in zip(places, values, strict=True):
            yield row(f"cosine_with_{name}", value, {"ratio": ratio})


def test_precision_ratios():
    rising = (0.5, 0.8, 0.9, 0.96, 0.999)
    holding = measured(ratios(rising, rising[::-1]))
    failing = measured(ratios(rising[::-1], rising))
    for claim in inference.PRECISION_RATIO.claims:
        if "1/2 recovers" in claim.text or "2 recovers" in claim.text:
            continue
        assert claim.judge(holding).holds, claim.text
        assert not claim.judge(failing).holds, claim.text
    assert inference.recovers(holding, "bp", 2.0, 0.95).holds
    assert not inference.recovers(holding, "bp", 1.0, 0.95).holds
    assert inference.recovers(measured(list(ratios(rising, rising))[:3]), "bp", 2.0, 0.9) is None


def expansion(order=1.0, bp=2.0, linear=1e-12):
    """Yield errors of 0.2 share^order; BP's error is `bp`, exact parts have `linear`."""
    for activation in second_order.ACTIVATIONS:
        for part in second_order.PARTS:
            for share in second_order.SHARES:
                value = bp if part == "bp" else 0.2 * share**order
                if activation == "linear" and part in ("activities", "energy"):
                    value = linear
                columns = {"activation": activation, "seed": 0}
                settings = {"part": part, "share": share}
                yield row("expansion_error", value, settings, **columns)


def test_orders_of_expansion():
    good, bad = measured(expansion()), measured(expansion(order=0.5, bp=0.1, linear=1e-3))
    for claim in RECIPES["second-order-expansion"].claims:
        assert claim.judge(good).holds, claim.text
        assert not claim.judge(bad).holds, claim.text
    judge = partial(second_order.vanishes, part="energy")
    assert judge(measured(list(expansion())[:5])) is None
    assert "order 1.00" in judge(good).measured


def test_expansion_errors_with_one_hidden_unit():
    """Activities and energy are exact; eq. 3.6 scales w_1's loss slope by 1 + 1/(1 + w_2^2)."""
    with jax.enable_x64(True):
        w, chain = jnp.array([0.5, 1.2]), training.chain()
        errors = jax.jit(second_order.relative_errors)
        found = jax.device_get(errors(training.network(w), *inference.data(), jnp.ones(())))
        loss, energy = np.asarray(chain.loss_gradient(w)), np.asarray(chain.energy_gradient(w))
        printed = loss * [1 + 1 / (1 + float(w[1]) ** 2), 1]
    assert max(found["activities"], found["energy"]) < 1e-9
    for part, gradient in (("bp", loss), ("printed", printed)):
        off = np.linalg.norm(gradient - energy) / np.linalg.norm(energy)
        assert found[part] == pytest.approx(off, rel=1e-9)
