"""One training step, by our closed forms, by automatic differentiation, and inside `pccore.fit`."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import pccore
from measure import BATCH, INPUTS, OUTPUTS, Clock, Shape, made_up, training
from pccore.training.programs import COMPILER_OPTIONS

Gradients = Callable[[pccore.Network, jax.Array, jax.Array], pccore.Network]
Timed = Callable[[], float]


def batch() -> tuple[jax.Array, jax.Array]:
    """Return the inputs and one-hot targets of a batch."""
    x = jax.random.normal(jax.random.key(1), (BATCH, INPUTS))
    return x, jax.nn.one_hot(jnp.arange(BATCH) % OUTPUTS, OUTPUTS)


def closed_form(shape: Shape) -> Gradients:
    """Return a function for weight gradients by the learning rule that trains."""
    return by_rule(training(shape, 1).rule)


def by_rule(rule: pccore.LearningRule, beta: float = 1.0) -> Gradients:
    """Return a function for weight gradients by any learning rule."""
    key = jax.random.key(0)

    def gradients(net: pccore.Network, x: jax.Array, y: jax.Array) -> pccore.Network:
        return rule.gradients(net, x, y, jnp.asarray(beta), key)[1]

    return gradients


def differentiated(shape: Shape) -> Gradients:
    """Return a function for weight gradients by automatic differentiation of the energy."""

    def energy(net: pccore.Network, z: list, x: jax.Array, y: jax.Array) -> jax.Array:
        return pccore.energy(net.layers(), z, x, y)

    def gradients(net: pccore.Network, x: jax.Array, y: jax.Array) -> pccore.Network:
        def descend(_: int, z: list) -> list:
            slopes = jax.grad(energy, argnums=1)(net, z, x, y)
            return jax.tree.map(lambda a, g: a - 1.0 * g, z, slopes)

        z = jax.lax.fori_loop(0, shape[0], descend, list(net.forward(x)))
        return jax.grad(energy)(net, z, x, y)

    return gradients


def adam_step(gradients: Gradients, x: jax.Array, y: jax.Array) -> Callable[[Any, Any], Any]:
    """Return the weight update: (weights, Adam's state) -> the same, one step later."""
    adam = pccore.Adam().transformation()

    def step(net: pccore.Network, state: Any) -> tuple[pccore.Network, Any]:
        direction, state = adam.update(gradients(net, x, y), state)
        return jax.tree.map(lambda w, d: w - 1e-4 * d, net, direction), state

    return step


def stepper(
    shape: Shape,
    gradients: Gradients,
    activation: str,
    count: int,
    clock: Clock = time.perf_counter,
    lanes: int = 1,
) -> Timed:
    """Return a function that takes `count` steps in one compiled loop and returns seconds per step.

    Networks are side by side in `lanes` lanes, as in `pccore.fit_many`. Weights and Adam's state
    are donated: at 128 x 512 every copy of them is 400 MB.
    """
    x, y = batch()
    step = jax.vmap(adam_step(gradients, x, y))
    build = training(shape, 1, activation=activation).network.build
    net = jax.vmap(build)(jax.random.split(jax.random.key(0), lanes))
    held = [(net, jax.vmap(pccore.Adam().transformation().init)(net))]

    def loop(carry: tuple) -> tuple:
        return jax.lax.fori_loop(0, count, lambda _, carry: step(*carry), carry)

    run = jax.jit(loop, donate_argnums=0, compiler_options=COMPILER_OPTIONS)
    del net

    def timed() -> float:
        start = clock()
        held.append(jax.block_until_ready(run(held.pop())))
        return (clock() - start) / count

    timed()
    return timed


def fits(
    shape: Shape,
    activation: str,
    count: int,
    lanes: int = 1,
    clock: Clock = time.perf_counter,
) -> dict[str, Timed]:
    """Return trainings by `pccore.fit_many` of `count` and of three times as many steps, timed.

    Half their difference, over `count`, is what a step costs there: see `per_fit_step`.
    """
    data = made_up(train=64 * BATCH, test=BATCH)
    group = [pccore.Lane(weight_lr=1e-4, activity_lr=1.0, seed=seed) for seed in range(lanes)]

    def training_of(steps: int) -> Timed:
        config = training(shape, steps, steps, activation)

        def timed() -> float:
            start = clock()
            outcomes = pccore.fit_many(config, data, group)
            seconds = clock() - start
            if any(outcome.steps != steps for outcome in outcomes):
                raise RuntimeError(f"a training of {shape} ended early: {outcomes[0].status}")
            return seconds

        timed()
        return timed

    return {"fit": training_of(count), "long fit": training_of(3 * count)}


def per_fit_step(times: dict[str, float], count: int) -> float:
    """Return seconds per step inside `fit`; costs that its steps share cancel."""
    return (times["long fit"] - times["fit"]) / (2 * count)
