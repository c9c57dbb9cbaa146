"""Generative: labels to images. One network then draws digits and reads them.

python examples/python/generative.py
"""

import jax
import jax.numpy as jnp
import optax

import pccore

BATCH = 64
RATE = 0.1  # of one sample's activities: beta / batch size
CONFIG = pccore.NetworkConfig(
    10, 64, 64, 2, "gelu", residual=False, parameterisation="sp", bias=True, activity_decay=0.1
)


def train(config: pccore.NetworkConfig, data: pccore.data.Dataset, steps: int) -> pccore.Network:
    """Adam on the gradients of a learning rule, as in any JAX program."""
    rule = pccore.PredictiveCoding(pccore.GradientDescent(20))
    x, y, adam = jnp.asarray(data.train_x), jnp.asarray(data.train_y), optax.adam(1e-3)

    @jax.jit
    def step(network, state, key):
        batch = jax.random.choice(key, len(x), (BATCH,))
        _, gradients = rule.gradients(network, x[batch], y[batch], RATE * BATCH, key)
        updates, state = adam.update(gradients, state)
        return optax.apply_updates(network, updates), state

    network = config.build(jax.random.key(0))
    state = adam.init(network)
    for key in jax.random.split(jax.random.key(1), steps):
        network, state = step(network, state, key)
    return network


def main(steps: int = 800) -> float:
    """Train on digits; the accuracy of labels inferred for test images."""
    digits = pccore.data.load("digits")
    data = pccore.data.generative(digits)  # one-hot labels in, standardised images out
    network = train(CONFIG, data, steps)

    drawn = network.predict(jnp.eye(10))  # a forward pass from a label
    for row in range(8):
        lines = drawn[:, 8 * row : 8 * row + 8] > 0
        print("  ".join("".join(" #"[int(pixel)] for pixel in line) for line in lines))

    images, descent = data.test_y, pccore.GradientDescent(50)
    inferred = pccore.complete(network, {-1: images}, descent, RATE * len(images))
    right = float(jnp.mean(inferred.activities[0].argmax(axis=1) == digits.test_y))
    print(f"labels inferred for test images, by a network trained to draw: {right:.1%} right")
    return right


if __name__ == "__main__":
    main()
