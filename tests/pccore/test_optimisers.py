"""Optimisers: Optax's by name, schedules, clipping, and what one compiled program shares."""

import math
import pickle
import re
from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from own_optimisers import clipped_lion, scheduled_sgd

import pccore
from pccore.optimisers import ADAPTIVE, PROPORTIONAL
from pccore.training.programs import advance

DATA = pccore.data.load("digits")
CONFIG = pccore.TrainingConfig(
    pccore.NetworkConfig(DATA.input_size, DATA.output_size, width=4, depth=2),
    pccore.Backpropagation(),
    batch_size=16,
    steps=6,
)
OPTIMISERS = {
    **pccore.OPTIMISERS,
    "own": pccore.OPTIMISERS[pccore.OPTIMISERS.name(clipped_lion)],
}
OF_OPTAX = [name for name in pccore.OPTIMISERS if name not in ("adam", "sgd")]


def steps_of(optimiser, gradients, weights, eta):
    """Return the weights after a step for each gradient."""
    state = optimiser.init(weights)
    for gradient in gradients:
        step, state = optimiser.update(optimiser.clipped(gradient), state, weights, eta)
        weights = jax.tree.map(jnp.subtract, weights, step)
    return weights


def gradients(seed=0, size=1.0, count=8):
    keys = jax.random.split(jax.random.key(seed), count)
    return [size * jax.random.normal(key, (3, 2)) for key in keys]


@pytest.mark.parametrize("name", OF_OPTAX)
def test_optimiser_of_optax_takes_the_steps_of_optax(name):
    weights = jnp.ones((3, 2))
    ours = steps_of(pccore.OPTIMISERS[name](), gradients(), weights, 0.1)
    reference = getattr(optax, name)(learning_rate=0.1)
    state, theirs = reference.init(weights), weights
    for gradient in gradients():
        updates, state = reference.update(gradient, state, theirs)
        theirs = optax.apply_updates(theirs, updates)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", sorted(pccore.OPTIMISERS))
def test_likeness_tells_how_steps_grow_with_gradients(name):
    """Gradients far above the terms of denominators: c times as large, same or c times the step."""
    kind = pccore.OPTIMISERS[name]
    small = {f.name: 0.0 for f in fields(kind) if f.name in ("weight_decay", "initial_scale")}
    optimiser, weights, c = kind(**small), jnp.zeros((3, 2)), 64.0
    last = []
    for factor in (1.0, c):  # the last of many steps: radam's first ones are those of momentum
        state = optimiser.init(weights)
        for gradient in gradients(size=1e4, count=12):
            step, state = optimiser.update(factor * gradient, state, weights, 1.0)
        last.append(step)
    one, scaled = last
    expected = {ADAPTIVE: one, PROPORTIONAL: c * one}[kind.like]
    np.testing.assert_allclose(scaled, expected, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw", "lion", "own"])
def test_nothing_recompiles_when_only_the_learning_rate_changes(name):
    schedule = pccore.Schedule(warmup=2, decay="cosine")
    optimiser = OPTIMISERS[name](schedule=schedule, clip=1.0)
    config = replace(CONFIG, optimiser=optimiser)

    def losses(rates):
        lanes = [pccore.Lane(rate, None, 0) for rate in rates]
        return [float(o.curve.test_loss[-1]) for o in pccore.fit_many(config, DATA, lanes)]

    slow, fast = losses([0.001, 0.1])
    compiled = advance._cache_size()
    others = losses([0.02, 0.3])
    assert advance._cache_size() == compiled
    assert len({slow, fast, *others}) == 4  # each lane has its own rate


def test_schedule_is_warm_up_and_the_decay_of_optax():
    schedule = pccore.Schedule(warmup=4, decay="cosine", final=0.1)
    factors = [float(schedule.factor(step, 20)) for step in range(20)]
    np.testing.assert_allclose(factors[:4], [0.25, 0.5, 0.75, 1.0])
    half_way = [0.1 + 0.9 * (1 + math.cos(math.pi * t / 16)) / 2 for t in range(16)]
    np.testing.assert_allclose(factors[4:], half_way, rtol=1e-6)
    linear = pccore.Schedule(decay="linear")
    np.testing.assert_allclose([linear.factor(t, 10) for t in (0, 5, 10)], [1, 0.5, 0], atol=1e-7)
    assert float(pccore.Schedule(warmup=1).factor(0, 5)) == 1


def test_schedule_acts_like_one_of_optax_inside_an_optimiser():
    schedule = pccore.Schedule(warmup=2, decay="linear")
    theirs = pccore.OPTIMISERS[pccore.OPTIMISERS.name(scheduled_sgd)]()
    trained = [
        pccore.train(replace(CONFIG, optimiser=optimiser), DATA, pccore.Lane(0.5, None, 0)).network
        for optimiser in (pccore.SGD(schedule=schedule), theirs, pccore.SGD())
    ]
    ours, reference, constant = map(jax.tree.leaves, trained)
    for one, other in zip(ours, reference, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(ours, constant, strict=True)) > 0.01


def test_clip_bounds_the_norm_over_all_weights():
    gradient = {"a": jnp.full((2, 2), 3.0), "b": jnp.full(3, 4.0)}
    clipped = pccore.SGD(clip=1.0).clipped(gradient)
    norm = sum(float(jnp.sum(part**2)) for part in clipped.values()) ** 0.5
    assert norm == pytest.approx(1.0)
    np.testing.assert_allclose(clipped["b"] / clipped["a"][0, 0], 4 / 3 * np.ones(3), rtol=1e-6)
    unchanged = pccore.SGD(clip=100.0).clipped(gradient)
    np.testing.assert_array_equal(unchanged["a"], gradient["a"])


def test_momentum_is_the_trace_of_optax():
    ours = steps_of(pccore.SGD(momentum=0.9), gradients(), jnp.ones((3, 2)), 0.1)
    reference = optax.sgd(0.1, momentum=0.9)
    weights = jnp.ones((3, 2))
    state = reference.init(weights)
    for gradient in gradients():
        updates, state = reference.update(gradient, state, weights)
        weights = optax.apply_updates(weights, updates)
    np.testing.assert_allclose(ours, weights, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pccore.SGD(clip=0.0), "clip must be positive, got 0.0"),
        (lambda: pccore.Schedule(warmup=-1), "warmup must be at least 0, got -1"),
        (lambda: pccore.Schedule(final=1.5), "final must be at most 1, got 1.5"),
        (lambda: pccore.Schedule(decay="cosin"), "did you mean 'cosine'?"),
        (lambda: pccore.OPTIMISERS["adamw"](b1=1.0), "b1 must be at least 0 and below 1"),
    ],
)
def test_rejects_impossible_settings(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("name", ["adamw", "own"])
def test_instances_of_classes_made_at_run_time_are_pickled(name):
    one = OPTIMISERS[name](b1=0.5, clip=2.0, schedule=pccore.Schedule(3))
    other = pickle.loads(pickle.dumps(one))
    assert other == one
    assert type(other) is type(one)
