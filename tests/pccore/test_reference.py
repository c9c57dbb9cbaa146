"""The losses by which `mupc doctor` judges JAX are those of another implementation, in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

from pccore import data
from pccore.jax_settings import pinned
from pccore.training import reference
from pccore.training.programs import initial_networks, shuffle

CONFIG, LANE = reference.CONFIG, reference.LANE
NETWORK = CONFIG.network


def drawn() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return what float32 training draws: weights W_1 .. W_L, and the order of every epoch."""
    samples = data.info(reference.DATASET).train_size
    seeds = jnp.array([LANE.seed], jnp.uint32)
    epochs = -(-CONFIG.steps * CONFIG.batch_size // samples)
    with pinned():
        network = initial_networks(CONFIG, seeds)
        weights = [network.first[0], *network.hidden[0], network.last[0]]
        orders = [np.asarray(shuffle(seeds, epoch, samples))[0] for epoch in range(epochs)]
    return [np.asarray(W, np.float64) for W in weights], orders


class Reference:
    """muPC networks with skips, inferred by gradient descent and trained by Adam, in NumPy.

    z_1 = a_1 W_1 x, z_l = a_l W_l tanh(z_{l-1}) + z_{l-1}, prediction a_L W_L tanh(z_H).
    """

    def __init__(self, weights: list[np.ndarray]) -> None:
        a, self.depth = NETWORK.scalings, NETWORK.depth
        self.scales = [a.first, *[a.hidden] * (self.depth - 1), a.last]
        self.weights = weights
        self.means = [np.zeros_like(W) for W in weights]
        self.squares = [np.zeros_like(W) for W in weights]

    def layer(self, place: int, below: np.ndarray) -> np.ndarray:
        inputs = below if place == 0 else np.tanh(below)
        prediction = self.scales[place] * inputs @ self.weights[place].T
        return prediction + below if 0 < place < self.depth else prediction

    def forward(self, x: np.ndarray) -> list[np.ndarray]:
        activities = [x]
        for place in range(self.depth + 1):
            activities.append(self.layer(place, activities[-1]))
        return activities

    def loss(self, x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean(0.5 * np.sum((y - self.forward(x)[-1]) ** 2, axis=-1)))

    def update(self, x: np.ndarray, y: np.ndarray, count: int) -> None:
        z = [*self.forward(x)[:-1], y]
        for _ in range(CONFIG.rule.inference.steps):
            errors = self.errors(z)
            slopes = [self.slope(z, errors, place) for place in range(1, self.depth + 1)]
            rate = LANE.activity_lr / len(x)
            z[1:-1] = [now - rate * slope for now, slope in zip(z[1:-1], slopes, strict=True)]
        errors, adam = self.errors(z), CONFIG.optimiser
        for place, error in enumerate(errors):
            inputs = z[place] if place == 0 else np.tanh(z[place])
            gradient = -self.scales[place] * error.T @ inputs / len(x)
            self.means[place] += (1 - adam.b1) * (gradient - self.means[place])
            self.squares[place] += (1 - adam.b2) * (gradient**2 - self.squares[place])
            mean = self.means[place] / (1 - adam.b1**count)
            square = self.squares[place] / (1 - adam.b2**count)
            self.weights[place] = self.weights[place] - LANE.weight_lr * mean / (
                np.sqrt(square) + adam.eps
            )

    def errors(self, z: list[np.ndarray]) -> list[np.ndarray]:
        return [z[place + 1] - self.layer(place, z[place]) for place in range(self.depth + 1)]

    def slope(self, z: list[np.ndarray], errors: list[np.ndarray], place: int) -> np.ndarray:
        """Return B dF/dz of hidden layer `place`, counted from 1."""
        above = errors[place]
        back = self.scales[place] * above @ self.weights[place]
        slope = errors[place - 1] - (1 - np.tanh(z[place]) ** 2) * back
        return slope - above if place < self.depth else slope


def test_losses_are_those_of_another_implementation() -> None:
    weights, orders = drawn()
    samples, network = data.load(reference.DATASET), Reference(weights)
    x, y = samples.train_x.astype(float), samples.train_y.astype(float)
    test_x, test_y = samples.test_x.astype(float), samples.test_y.astype(float)
    per_epoch = len(x) // CONFIG.batch_size
    losses, train, test = [], [], []
    for step in range(CONFIG.steps):
        epoch, place = divmod(step, per_epoch)
        batch = orders[epoch][place * CONFIG.batch_size : (place + 1) * CONFIG.batch_size]
        losses.append(network.loss(x[batch], y[batch]))
        network.update(x[batch], y[batch], step + 1)
        if (step + 1) % CONFIG.eval_every == 0:
            train.append(np.mean(losses[-CONFIG.eval_every :]))
            test.append(network.loss(test_x, test_y))
    assert train == pytest.approx(reference.TRAIN_LOSSES, rel=1e-7)
    assert test == pytest.approx(reference.TEST_LOSSES, rel=1e-7)


def test_this_jax_computes_right() -> None:
    assert reference.deviation() < 1e-4
