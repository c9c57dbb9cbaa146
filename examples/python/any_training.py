"""Any training: the learning rate of an Equinox network with Optax, from 4 layers to 16.

mupc tunes, transfers and judges a function of your own. This one trains a residual network with
muPC's scalings by backpropagation and Adam on digits; any other framework would do.

python examples/python/any_training.py
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from sklearn.datasets import load_digits

import mupc

BATCH, STEPS = 64, 60


class Residual(eqx.Module):
    """A residual network: unit-variance weights, scaled by 1/sqrt(N L) in every hidden layer."""

    first: jax.Array
    hidden: list[jax.Array]
    last: jax.Array

    def __init__(self, width, depth, key):
        keys = jax.random.split(key, depth + 2)
        self.first = jax.random.normal(keys[0], (64, width)) / 8
        self.hidden = [jax.random.normal(each, (width, width)) for each in keys[1:-1]]
        self.last = jax.random.normal(keys[-1], (width, 10)) / width

    def __call__(self, x):
        z = x @ self.first
        for weights in self.hidden:
            z = z + jax.nn.relu(z) @ weights / jnp.sqrt(z.shape[-1] * (len(self.hidden) + 1))
        return z @ self.last


def loss_of(network, x, y):
    """Return the cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(network(x), y).mean()


def train(shape, rates, seed):
    """Train a network of this shape and return its losses."""
    images, labels = load_digits(return_X_y=True)
    x, y = jnp.asarray(images / 8 - 1, jnp.float32), jnp.asarray(labels)
    network = Residual(shape.width, shape.depth, jax.random.key(seed))
    optimiser = optax.adam(rates["learning_rate"])

    @eqx.filter_jit
    def step(network, state, key):
        batch = jax.random.choice(key, len(x), (BATCH,))
        loss, gradients = eqx.filter_value_and_grad(loss_of)(network, x[batch], y[batch])
        updates, state = optimiser.update(gradients, state)
        return eqx.apply_updates(network, updates), state, loss

    state, losses = optimiser.init(eqx.filter(network, eqx.is_array)), []
    for key in jax.random.split(jax.random.key(seed + 1), STEPS):
        network, state, loss = step(network, state, key)
        losses.append(float(loss))
    return {"curve": losses, "loss": sum(losses[-10:]) / 10}


def main(ledger="runs", seeds=3, target=16):
    """Tune at 4 layers, rerun at `target` by two rules, and print the verdicts."""
    result = mupc.sweep(
        train,
        {"learning_rate": [0.01, 0.02, 0.04, 0.08, 0.16, 0.32]},
        small=(32, 4),
        targets=(32, target),
        rule=["zero_shot", "depth_mup"],
        seeds=seeds,
        ledger=ledger,
    )
    print(result)
    print(result.summary)
    return result


if __name__ == "__main__":
    main()
