"""Unsupervised: images alone. Inference finds ten latents per image, and the weights learn.

python examples/python/unsupervised.py
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import pccore

LATENTS, BATCH = 10, 64
RATE = 0.1  # activity learning rate of one sample: beta / batch size
DESCENT = pccore.GradientDescent(20)


def train(config: pccore.NetworkConfig, images: jax.Array, steps: int) -> pccore.Network:
    """Train with Adam on the gradients of a learning rule that uses no inputs."""
    rule, adam = pccore.Unsupervised(DESCENT), optax.adam(1e-3)

    @jax.jit
    def step(network, state, key):
        y = images[jax.random.choice(key, len(images), (BATCH,))]
        _, gradients = rule.gradients(network, None, y, RATE * BATCH, key)
        updates, state = adam.update(gradients, state)
        return optax.apply_updates(network, updates), state

    network = config.build(jax.random.key(0))
    state = adam.init(network)
    for key in jax.random.split(jax.random.key(1), steps):
        network, state = step(network, state, key)
    return network


def main(steps: int = 1000) -> tuple[float, float, float]:
    """Return mean squared errors of test images: reconstruction, principal components, mean."""
    digits = pccore.data.load("digits")
    train_y, test_y = ((x - digits.mean) / digits.std for x in (digits.train_x, digits.test_x))
    config = pccore.NetworkConfig(
        LATENTS, 64, 64, 1, "tanh", residual=False, parameterisation="sp", bias=True
    )
    network = train(config, jnp.asarray(train_y), steps)

    latents = pccore.complete(network, {-1: test_y}, DESCENT, RATE * len(test_y)).activities[0]
    mean = train_y.mean(axis=0)
    components = np.linalg.svd(train_y - mean, full_matrices=False)[2][:LATENTS]
    by_components = mean + (test_y - mean) @ components.T @ components
    guesses = (network.predict(latents), by_components, np.broadcast_to(mean, test_y.shape))
    errors = tuple(float(np.mean((guess - test_y) ** 2)) for guess in guesses)
    print(f"mean squared error of test images from {LATENTS} latents: {errors[0]:.3f}")
    print(f"from {LATENTS} principal components: {errors[1]:.3f}; mean image: {errors[2]:.3f}")
    return errors


if __name__ == "__main__":
    main()
